"""Reconciliations: whether OpenMeter, the ledger, Stripe and its invoices say the same."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from sync.admin.charts import sides_chart
from sync.admin.chips import run_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.compare_sides import CompareSides
from sync.admin.formats import days
from sync.admin.links import list_url, row_link
from sync.domain.reconciliation import SETTLED
from sync.models import Difference, Reconciliation
from sync.queries.reconciled import reconciliation_page

MOST_DIGITS = 18


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Each comparison by meter, with what differs and why."""

    dialogs = (CompareSides,)
    list_display = ["compared_days", "run_shown", "state", "differences_shown"]
    list_select_related = ["run"]
    search_fields = ["=run__id", "run__requested_by"]
    search_help_text = "A run's number, or who asked for it"
    when_empty = "Compare all sides… makes the first one; the schedule makes one a day."
    ordering = ["-id"]
    fields = ["compared_days", "run_shown", "state"]
    readonly_fields = ["compared_days", "run_shown", "state"]
    change_form_after_template = "sync/reconciliation.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reconciliation]:
        """Bring along how many differences somebody has to mend."""
        to_mend = ~Q(differences__cause__in=[cause.value for cause in SETTLED])
        rows: QuerySet[Reconciliation] = super().get_queryset(request).select_related("run")
        return rows.annotate(to_mend=Count("differences", filter=to_mend))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the meters, and one of them by day and cause."""
        kept = context["original"]
        page = reconciliation_page(kept, meter_id=_meter(request))
        meter = page.shown.meter if page.shown else None
        context |= {
            "page": page,
            "subtitle": f"{kept.start:%Y-%m-%d} to {kept.end:%Y-%m-%d}",
            "chart": sides_chart(page.shown.days) if page.shown else None,
            "causes": [
                (one, list_url(Difference, run=kept.pk, cause__exact=one.cause, meter__id__exact=meter.pk))
                for one in page.causes
                if meter
            ],
        }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description="days (UTC)", ordering="start")
    def compared_days(self, kept: Reconciliation) -> SafeString:
        """Which days were compared; the last one is not among them."""
        return days(kept.start, kept.end)

    @admin.display(description="run", ordering="run")
    def run_shown(self, kept: Reconciliation) -> str:
        """The run that compared."""
        return row_link(kept.run, f"Run {kept.run_id}")

    @admin.display(description="status", ordering="run__status")
    def state(self, kept: Reconciliation) -> SafeString:
        """How the run stands."""
        return run_chip(kept.run.status)

    @admin.display(description="differences", ordering="to_mend")
    def differences_shown(self, kept: Any) -> str:
        """How many somebody has to mend."""
        return f"{kept.to_mend:,}"


def _meter(request: HttpRequest) -> int | None:
    """Return the meter that the address asks for, None where it asks for none or writes it wrongly."""
    text = request.GET.get("meter", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS else None
