"""Connections: which Stripe account and which OpenMeter the console talks to, and how well."""

import time
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from sync.admin.console_admin import ReadOnlyAdmin
from sync.conf import Config, load_config
from sync.models import Meter, StripeAccount
from sync.operations.check_connections import ConnectionReport, check_connections
from sync.ports import Misconfigured
from sync.queries.waiting_notices import notice_facts
from sync.wiring import connect_briefly, guard

SHORTEST_KEY = 12
"""A shorter text is no key, and its last four characters would be much of it."""


@admin.register(StripeAccount)
class StripeAccountAdmin(ReadOnlyAdmin):
    """What is configured, and on demand how both sides answer."""

    list_display = ["stripe_id", "livemode", "pinned_at"]
    search_fields = ["stripe_id"]
    ordering = ["stripe_id", "id"]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the one account there is, and both connections; with ?check, only how they are now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if "check" in request.GET:
            return TemplateResponse(request, "sync/connections_check.html", _checked())
        config = load_config()
        context = {
            **self.admin_site.each_context(request),
            "title": "Connections",
            "opts": self.opts,
            "account": StripeAccount.objects.first(),
            "config": config,
            "key_tail": _tail(config.stripe_key),
            "problem": _refused(config),
            "webhooks": _webhooks(config),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "sync/connections.html", context)


def _webhooks(config: Config) -> list[dict[str, Any]]:
    """Return how each of Stripe's webhooks stands."""
    styles = (
        ("What changed in Stripe", config.webhook_secret, "webhooks/stripe", False),
        ("What Stripe refuses later", config.thin_webhook_secret, "webhooks/stripe/thin", True),
    )
    return [
        {"name": name, "is_set_up": bool(secret), "address": address, "facts": notice_facts(thin=thin)}
        for name, secret, address, thin in styles
    ]


def _checked() -> dict[str, Any]:
    """Return how both sides are now, or why they cannot be asked."""
    config = load_config()
    try:
        probes = connect_briefly(config)
    except Misconfigured as error:
        return {"problem": str(error)}
    report = check_connections(
        stripe=probes.stripe,
        openmeter=probes.openmeter,
        timer=time.perf_counter,
        unrestricted=config.unrestricted,
    )
    return {"report": report, "meters": _with_stripe(report)}


def _with_stripe(report: ConnectionReport) -> list[dict[str, Any]]:
    """Return OpenMeter's meters with those of Stripe that they measure."""
    tied: dict[str, list[Meter]] = {}
    for meter in Meter.objects.filter(deleted_at=None).exclude(openmeter_id=""):
        tied.setdefault(meter.openmeter_id, []).append(meter)
    return [{"source": source, "tied": tied.get(source.id, [])} for source in report.meters]


def _refused(config: Config) -> str:
    """Return why this configuration must not be used, or ""."""
    try:
        guard(config)
    except Misconfigured as error:
        return str(error)
    return ""


def _tail(secret: str) -> str:
    return secret[-4:] if len(secret) >= SHORTEST_KEY else ""
