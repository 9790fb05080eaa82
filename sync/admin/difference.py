"""Differences: units that one side has and the next one has not."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.formats import NOTHING, days, stripe_link, units, wrapped
from sync.admin.links import list_url, row_link
from sync.models import Difference, Reconciliation, UsageReport
from sync.queries.reconciled import latest_reconciliation

NEWEST = 20


class ComparisonFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Differences of one reconciliation: the latest over everything, unless another is asked for."""

    title = "reconciliation"
    parameter_name = "run"
    all_option = ["", "Latest"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer the newest ones."""
        newest = Reconciliation.objects.order_by("-pk")[:NEWEST]
        return [(str(one.pk), f"Run {one.run_id}, up to {one.end:%Y-%m-%d}") for one in newest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        asked = self.value() or ""
        if asked.isascii() and asked.isdecimal() and len(asked) < 18:
            return queryset.filter(reconciliation=int(asked))
        return queryset.filter(reconciliation=latest_reconciliation())


@admin.register(Difference)
class DifferenceAdmin(ReadOnlyAdmin):
    """What differs, whose it is, and where to look."""

    list_display = ["why", "units_shown", "meter_shown", "customer_shown", "when_shown", "reports_shown"]
    list_select_related = ["meter", "customer", "period"]
    list_filter = [ComparisonFilter, ("cause", ChoicesDropdownFilter), ("meter", RelatedDropdownFilter)]
    search_fields = ["customer__stripe_id", "customer__name", "subject"]
    search_help_text = "A customer's name or id, or a subject"
    when_empty = "Nothing differs, as far as was compared."
    ordering = ["meter", "cause", "day", "id"]
    fields = [
        "why",
        "units_shown",
        "meter_shown",
        "in_stripe",
        "customer_shown",
        "when_shown",
        "invoice",
        "reports_shown",
        "detail_shown",
        "reconciliation_shown",
    ]
    readonly_fields = fields

    @admin.display(description="what", ordering="cause")
    def why(self, row: Difference) -> SafeString:
        """Why the sides differ."""
        return wrapped(row.get_cause_display())

    @admin.display(description="units that lack", ordering="units")
    def units_shown(self, row: Difference) -> str:
        """How much the later side lacks; below zero where it has more."""
        return units(row.units)

    @admin.display(description="meter", ordering="meter__event_name")
    def meter_shown(self, row: Difference) -> str:
        """What is measured; its page leads to OpenMeter."""
        return row_link(row.meter, row.meter.slug)

    @admin.display(description="in Stripe")
    def in_stripe(self, row: Difference) -> str:
        """The meter on Stripe's side."""
        return stripe_link("meter", row.meter.stripe_id)

    @admin.display(description="customer", ordering="customer__name")
    def customer_shown(self, row: Difference) -> str:
        """Whose usage it is, or under which name it was used."""
        return row_link(row.customer, row.customer.label) if row.customer else row.subject or NOTHING

    @admin.display(description="day or period (UTC)", ordering="day")
    def when_shown(self, row: Difference) -> str | SafeString:
        """When it was used."""
        if row.period:
            return row_link(row.period, days(row.period.start, row.period.end))
        return f"{row.day:%Y-%m-%d}" if row.day else "all days"

    @admin.display(description="invoice")
    def invoice(self, row: Difference) -> str | SafeString:
        """The invoice that bills otherwise."""
        return stripe_link("invoice", row.period.invoice_id) if row.period else NOTHING

    @admin.display(description="reports")
    def reports_shown(self, row: Difference) -> str | SafeString:
        """The customer's reports of that day."""
        if not (row.customer_id and row.day):
            return NOTHING
        address = list_url(
            UsageReport,
            enrolment__customer__id__exact=row.customer_id,
            enrolment__meter__id__exact=row.meter_id,
            slice_end_from=f"{row.day:%Y-%m-%d}",
            slice_end_to=f"{row.day + timedelta(days=1):%Y-%m-%d}",
        )
        return format_html('<a class="inward" href="{}">Reports of the day</a>', address)

    @admin.display(description="more")
    def detail_shown(self, row: Difference) -> str | SafeString:
        """What else is known."""
        return wrapped(row.detail) if row.detail else NOTHING

    @admin.display(description="found by")
    def reconciliation_shown(self, row: Difference) -> str:
        """The comparison that found it."""
        return row_link(row.reconciliation)
