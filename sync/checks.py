"""System checks: settings that would lose money or leak are refused before anything runs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError

from sync.conf import STRIPE_ADDRESS, load_config
from sync.domain.settling import why_reported_too_late
from sync.models import Meter
from sync.schedules import REPORT_MINUTES

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


@checks.register()
def check_reports_beat_the_invoice(**_: Any) -> list[checks.CheckMessage]:
    """sync.E004: the last hour of a period settles and is reported before its invoice becomes final."""
    field = Meter._meta.get_field("settle_seconds")  # noqa: SLF001 - Django's documented accessor
    return _too_late("the usual settle time", timedelta(seconds=field.default))


@checks.register(checks.Tags.database)
def check_meters_beat_the_invoice(
    databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """sync.E004 for each meter's own settle time, where the database may be asked (`check --database`)."""
    if not databases:
        return []
    try:
        living = Meter.objects.filter(active=True, deleted_at=None)
        meters = list(living.order_by("-settle_seconds").values_list("event_name", "settle_seconds"))
    except DatabaseError:
        # Not migrated yet, or away: whoever asks for more than this check will say so.
        return []
    return [
        message
        for name, seconds in meters
        for message in _too_late(f"the settle time of meter {name}", timedelta(seconds=seconds))
    ]


def _too_late(what: str, settle: timedelta) -> list[checks.CheckMessage]:
    """Return the error where a slice may be reported after its invoice became final."""
    sentence = why_reported_too_late(
        what=what,
        settle=settle,
        every=timedelta(minutes=REPORT_MINUTES),
        grace=load_config().invoice_grace,
    )
    if not sentence:
        return []
    return [
        checks.Error(
            sentence,
            hint=(
                "Let Stripe keep invoices open for longer (Settings > Billing > Invoices) and set "
                "INVOICE_GRACE_MINUTES to that, or shorten the meter's settle time on its page."
            ),
            id="sync.E004",
        )
    ]


@checks.register(checks.Tags.security)
def check_webhook_secrets(**_: Any) -> list[checks.CheckMessage]:
    """sync.E005: what is to verify Stripe's signatures is a signing secret, and each address has its own."""
    config = load_config()
    secrets = {
        "STRIPE_WEBHOOK_SECRET": config.webhook_secret,
        "STRIPE_THIN_WEBHOOK_SECRET": config.thin_webhook_secret,
    }
    found = [
        f"{name} is no signing secret of a webhook: it must begin with whsec_."
        for name, secret in secrets.items()
        if secret and not secret.startswith("whsec_")
    ]
    if config.webhook_secret and config.webhook_secret == config.thin_webhook_secret:
        found.append(f"{' and '.join(secrets)} are the same: Stripe gives each endpoint a secret of its own.")
    hint = "Stripe shows it under Developers, Webhooks, on the page of the endpoint."
    return [checks.Error(sentence, hint=hint, id="sync.E005") for sentence in found]
