"""The page that says what the console is connected to, how well, and what its key may do."""

import pytest

from sync.models import Meter, StripeAccount
from tests.factories import (
    DeliveryAttemptFactory,
    StripeAccountFactory,
    StripeNoticeFactory,
    UsageReportFactory,
)
from tests.office import dialog_url, text_of
from tests.world import HOUR, START

RESTRICTED = "rk_test_tests_0001"
FORBIDDEN = {
    "status": 403,
    "body": {
        "error": {
            "type": "invalid_request_error",
            "message": (
                "The provided key 'rk_test_*****' does not have the required permissions for this endpoint. "
                "Having the 'rak_customer_read' permission would allow this request to continue."
            ),
        }
    },
}


@pytest.fixture
def page():
    """Return the page's address."""
    return dialog_url("stripeaccount", "changelist")


class TestConnectionsPage:
    def test_shows_account_mode_and_addresses_and_of_the_key_four_characters(self, office, page, settings):
        StripeAccountFactory(stripe_id="acct_northwind")
        settings.OPENMETER_TOKEN = "om_secret_token_value"
        text = text_of(office.get(office.browser(), page))
        assert "acct_northwind" in text
        assert f"ends in …{settings.STRIPE_KEY[-4:]}" in text
        assert settings.STRIPE_API_BASE in text
        assert "SANDBOX" in text
        assert settings.STRIPE_KEY not in text
        assert "om_secret" not in text
        assert "alue" not in text.split("Token")[1].split("</dd>")[0]

    def test_says_whether_webhooks_are_set_up_and_when_the_last_came(self, office, page, settings):
        browser = office.browser()
        assert text_of(office.get(browser, page)).count("not set up: the console takes nothing") == 2
        settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_THIN_WEBHOOK_SECRET = "whsec_shown_1", "whsec_shown_2"
        text = text_of(office.get(browser, page))
        assert text.count("none came yet") == 2
        assert "whsec_shown" not in text
        StripeNoticeFactory()
        text = text_of(office.get(browser, page))
        assert (text.count("the last came"), text.count("some wait since")) == (1, 1)

    def test_asks_nobody_before_it_is_shown(self, world, office, page):
        office.get(office.browser(), page)
        assert world.control.requests() == []

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("STRIPE_KEY", "", "STRIPE_KEY is not set"),
            ("STRIPE_KEY", "pk_test_published_9999", "is no Stripe secret key"),
            ("STRIPE_KEY", "sk_live_0123456789abcd", "is a live key"),
            ("OPENMETER_URL", "http://user:pass@host", "is no usable address"),
        ],
    )
    def test_says_what_the_guard_refuses(self, office, page, settings, name, value, sentence):
        setattr(settings, name, value)
        browser = office.browser()
        for text in (text_of(office.get(browser, page)), text_of(office.get(browser, page, check=""))):
            assert sentence in text
            assert "user:pass" not in text
            assert not value or value not in text

    def test_needs_the_right_to_see_it(self, office, page):
        browser = office.browser("eve", permission="sync.view_customer")
        assert office.get(browser, page).status_code == 403
        assert office.get(browser, page, check="").status_code == 403


class TestCheck:
    def test_both_sides_answer_and_reports_show_that_events_may_be_written(self, world, office, page):
        world.subscriber(world.meter())
        world.use("ada", 1, START + HOUR / 2)
        world.later(hours=2)
        world.report()
        world.control.clear_requests()
        text = text_of(office.get(office.browser(), page, check=""))
        assert text.count("answers") == 2
        assert text.count("granted") == 13
        assert text.count("secret key (sk_…)") == 5
        assert f"as {StripeAccount.objects.get().stripe_id}" in text
        assert Meter.objects.get().event_name in text
        assert {call["method"] for call in world.control.requests()} == {"GET"}

    def test_names_the_permission_that_is_missing(self, world, office, page, settings):
        settings.STRIPE_KEY = RESTRICTED
        world.control.fault("GET /v1/customers", **FORBIDDEN)
        text = text_of(office.get(office.browser(), page, check=""))
        assert text.count("missing") == 1
        assert "rak_customer_read" in text
        assert text.count("granted") == 6
        assert "Trying it would bill somebody" in text

    def test_asks_about_what_set_up_creates_without_creating_anything(self, world, office, page, settings):
        settings.STRIPE_KEY = RESTRICTED
        world.control.fault("POST /v1/customers/{customer}", **FORBIDDEN)
        text = text_of(office.get(office.browser(), page, check=""))
        assert "rak_customer_read" in text.split("Write customers")[1].split("</li>")[0]
        assert text.count("cannot be tried without creating something") == 4
        assert text.count("missing") == 1
        for kind in ("customers", "products", "prices", "subscriptions", "billing/meters"):
            assert world.stripe("GET", f"/{kind}")["data"] == []

    def test_a_refused_report_shows_that_events_may_not_be_written(self, world, office, page):
        UsageReportFactory(status="delivered")
        DeliveryAttemptFactory(
            http_status=403,
            outcome="Misconfigured",
            message="The key lacks the permission rak_x.",
            attempted_at=START + 9 * HOUR,
        )
        text = text_of(office.get(office.browser(), page, check=""))
        assert "The key lacks the permission rak_x." in text

    def test_stops_asking_where_nobody_answers(self, world, office, page, settings):
        settings.STRIPE_API_BASE = settings.OPENMETER_URL = "http://127.0.0.1:1"
        text = text_of(office.get(office.browser(), page, check=""))
        assert "Stripe cannot be reached" in text
        assert "OpenMeter cannot be reached" in text
        assert text.count("not checked") == 13

    def test_does_not_wait_through_repetitions(self, world, office, page):
        world.control.fault("stripe", status=503, times=50)
        text = text_of(office.get(office.browser(), page, check=""))
        assert "Stripe has a fault of its own" in text
        assert [call["path"] for call in world.control.requests()] == ["/v1/account", "/api/v1/meters"]

    def test_says_that_the_database_belongs_to_another_account(self, world, office, page):
        StripeAccountFactory(stripe_id="acct_other")
        text = text_of(office.get(office.browser(), page, check=""))
        assert "This database belongs to acct_other" in text
