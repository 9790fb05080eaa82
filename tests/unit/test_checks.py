"""System checks refuse settings that would leak or lose money."""

import pytest

from sync.checks import check_live_key_stays_at_stripe, check_no_debug_with_live_key, check_secret_key

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
