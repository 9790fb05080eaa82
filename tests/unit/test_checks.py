"""System checks refuse settings that would leak or lose money."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.utils import timezone

from sync.checks import (
    check_live_key_stays_at_stripe,
    check_meters_beat_the_invoice,
    check_no_debug_with_live_key,
    check_reports_beat_the_invoice,
    check_secret_key,
    check_webhook_secrets,
)
from sync.models import Meter

LIVE, TEST = "sk_live_1", "sk_test_1"
STRIPE, SANDBOX = "https://api.stripe.com", "http://127.0.0.1:8801/stripe"


def ids(messages):
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("key", "address", "found"),
    [(LIVE, SANDBOX, ["sync.E002"]), (LIVE, STRIPE, []), (TEST, SANDBOX, []), ("", SANDBOX, [])],
)
def test_a_live_key_stays_at_stripe(settings, key, address, found):
    settings.STRIPE_KEY, settings.STRIPE_API_BASE = key, address
    assert ids(check_live_key_stays_at_stripe()) == found


@pytest.mark.parametrize(
    ("snapshots", "thin", "found"),
    [
        ("", "", 0),
        ("whsec_1", "", 0),
        ("whsec_1", "whsec_2", 0),
        ("whsec_1", "whsec_1", 1),
        ("sk_test_1", "we_1", 2),
    ],
)
def test_webhook_secrets_are_such(settings, snapshots, thin, found):
    settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_THIN_WEBHOOK_SECRET = snapshots, thin
    messages = check_webhook_secrets()
    assert ids(messages) == ["sync.E005"] * found
    assert not any("sk_test_1" in str(message) for message in messages)


@pytest.mark.parametrize(
    ("debug", "key", "found"), [(True, LIVE, ["sync.E003"]), (True, TEST, []), (False, LIVE, [])]
)
def test_debug_and_a_live_key_never_meet(settings, debug, key, found):
    settings.DEBUG, settings.STRIPE_KEY = debug, key
    assert ids(check_no_debug_with_live_key()) == found


@pytest.mark.parametrize(
    ("debug", "secret", "found"),
    [(False, "insecure-abc", ["sync.E001"]), (True, "insecure-abc", []), (False, "x" * 50, [])],
)
def test_pages_need_a_secret_key(settings, debug, secret, found):
    settings.DEBUG, settings.SECRET_KEY = debug, secret
    assert ids(check_secret_key()) == found


@pytest.mark.parametrize(("grace", "found"), [(60, []), (22, []), (21, ["sync.E004"])])
def test_the_last_hour_of_a_period_is_reported_before_its_invoice_is_final(settings, grace, found):
    settings.INVOICE_GRACE_MINUTES = grace
    messages = check_reports_beat_the_invoice()
    assert ids(messages) == found
    for message in messages:
        assert "(2 min), the reporting interval (5 min) and a margin (15 min) come to 22 min" in message.msg
        assert "INVOICE_GRACE_MINUTES" in message.hint


class TestMetersSettleTimes:
    @pytest.fixture(autouse=True)
    def _meter(self, db):
        Meter.objects.create(
            stripe_id="mtr_1", event_name="tokens", settle_seconds=41 * 60, fetched_at=timezone.now()
        )

    def test_are_held_against_the_invoice_where_the_database_may_be_asked(self):
        assert check_meters_beat_the_invoice(databases=None) == []
        assert ids(check_meters_beat_the_invoice(databases=["default"])) == ["sync.E004"]
        with pytest.raises(SystemCheckError, match="the settle time of meter tokens"):
            call_command("check", databases=["default"])

    @pytest.mark.parametrize("changes", [{"settle_seconds": 40 * 60}, {"active": False}])
    def test_are_well_where_they_are_short_or_nothing_is_reported(self, changes):
        Meter.objects.update(**changes)
        assert check_meters_beat_the_invoice(databases=["default"]) == []
