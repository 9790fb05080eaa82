"""System checks: settings that would lose money or leak are refused before anything runs."""

from typing import Any

from django.conf import settings
from django.core import checks

from sync.conf import STRIPE_ADDRESS, load_config

SHORTEST_SECRET = 50
"""What Django's own check asks for, too."""


@checks.register(checks.Tags.security, deploy=True)
def check_secret_key(**_: Any) -> list[checks.CheckMessage]:
    """sync.E001: pages and the queue are signed with a key that every process shares and nobody guesses."""
    if settings.DEBUG or not settings.SECRET_KEY.startswith("insecure-"):
        return []
    return [
        checks.Error(
            "DJANGO_SECRET_KEY is not set, so every process signs sessions and queued work on its own.",
            hint=f"Set it to {SHORTEST_SECRET} or more random characters, the same for console and workers.",
            id="sync.E001",
        )
    ]


@checks.register(checks.Tags.security)
def check_live_key_stays_at_stripe(**_: Any) -> list[checks.CheckMessage]:
    """sync.E002: a live key is never sent to a sandbox, or to any address that is not Stripe's."""
    config = load_config()
    if not config.livemode:
        return []
    if config.stripe_api_base == STRIPE_ADDRESS:
        return []
    return [
        checks.Error(
            "STRIPE_KEY is a live key and STRIPE_API_BASE is not Stripe's own address.",
            hint=f"Use a test key (sk_test_…) with the sandbox, or set STRIPE_API_BASE={STRIPE_ADDRESS}.",
            id="sync.E002",
        )
    ]


@checks.register(checks.Tags.security)
def check_no_debug_with_live_key(**_: Any) -> list[checks.CheckMessage]:
    """sync.E003: error pages that show settings and variables never meet a live key."""
    if not (settings.DEBUG and load_config().livemode):
        return []
    return [
        checks.Error(
            "DJANGO_DEBUG is on while STRIPE_KEY is a live key.",
            hint="Unset DJANGO_DEBUG, or use a test key (sk_test_…).",
            id="sync.E003",
        )
    ]
