"""Billing periods: every one that was ever seen."""

from datetime import date
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_date
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.views import ChangeList

from sync.admin.charts import usage_chart
from sync.admin.chips import DAYS
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.filters import DaysFilter
from sync.admin.formats import billed, days, stripe_link, units
from sync.admin.links import row_link
from sync.admin.period_words import MEANS, answer_of, verdict
from sync.models import BillingPeriod
from sync.queries.billed_periods import BilledPeriod, billed_periods
from sync.queries.day_sums import DayState
from sync.queries.period_story import period_story

MOST_DIGITS = 18


class PeriodList(ChangeList):  # type: ignore[misc] # unfold ships no types
    """Knows what was reported in the periods of its page, and how their invoices stand."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Ask for all rows of the page at once."""
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        for row, line in zip(rows, billed_periods(rows, now=timezone.now()), strict=True):
            row.line = line
        self.result_list = rows


@admin.register(BillingPeriod)
class BillingPeriodAdmin(ReadOnlyAdmin):
    """When an item is billed, and when its invoice closes."""

    list_display = [
        "period",
        "customer",
        "product",
        "closes_at",
        "finalized_at",
        "invoice",
        "reported",
        "billed",
    ]
    list_select_related = ["item__subscription__customer", "item__price"]
    list_filter = [("item__meter", RelatedDropdownFilter), ("closes_at", DaysFilter)]
    search_fields = [
        "item__stripe_id",
        "item__subscription__stripe_id",
        "item__subscription__customer__stripe_id",
        "item__subscription__customer__name",
        "invoice_id",
    ]
    search_help_text = "Customer, or a Stripe id of item, subscription, customer or invoice"
    ordering = ["-id"]  # as they came to be known; there are too many to sort by anything else unasked
    fields = [
        "customer",
        "subscription",
        "product",
        "start",
        "end",
        "closes_at",
        "finalized_at",
        "invoice",
        "standing",
        "reported",
        "billed",
    ]
    readonly_fields = ["customer", "subscription", "product", "invoice", "standing", "reported", "billed"]
    change_form_before_template = "sync/period_head.html"
    change_form_after_template = "sync/period_story.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        """Return the list that adds up its page."""
        return PeriodList

    def get_queryset(self, request: HttpRequest) -> QuerySet[BillingPeriod]:
        """Load what says whose period it is."""
        rows: QuerySet[BillingPeriod] = super().get_queryset(request)
        return rows.select_related("item__subscription__customer", "item__price", "item__meter")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add why its usage was billed or not, day by day and slice by slice."""
        story = period_story(
            context["original"], day=_day(request), meter=_meter(request), now=timezone.now()
        )
        context["original"].line = story.line
        context |= {
            "story": story,
            "subtitle": context["original"].page_name,
            "verdict": verdict(story),
            "parts": [(part, MEANS[part.status]) for part in story.parts],
            "used": [(day, DAYS[day.state]) for day in story.days if day.state is not DayState.NOTHING],
            "chart": usage_chart(story.days) if story.days else None,
            "slices": [[(one, answer_of(one)) for one in revisions] for revisions in story.slices],
        }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(ordering="start")
    def period(self, period: BillingPeriod) -> str:
        """Its days."""
        return days(period.start, period.end)

    @admin.display(ordering="item__subscription__customer__name")
    def customer(self, period: BillingPeriod) -> str:
        """Who gets the invoice."""
        customer = period.item.subscription.customer
        return row_link(customer, customer.label)

    @admin.display(ordering="item__subscription__stripe_id")
    def subscription(self, period: BillingPeriod) -> str:
        """Which subscription it is a period of."""
        return row_link(period.item.subscription, period.item.subscription.stripe_id)

    @admin.display(description="price", ordering="item__price__product_name")
    def product(self, period: BillingPeriod) -> str:
        """What is sold."""
        return row_link(period.item.price, period.item.price.product_name or period.item.price.stripe_id)

    @admin.display(ordering="invoice_id")
    def invoice(self, period: BillingPeriod) -> str:
        """The invoice that closes it."""
        return stripe_link("invoice", period.invoice_id)

    @admin.display(description="how its invoice stands")
    def standing(self, period: BillingPeriod) -> str:
        """Whether it may still change."""
        return _line(period).standing

    @admin.display(description="reported units")
    def reported(self, period: BillingPeriod) -> str:
        """What Stripe has of the period, by the ledger."""
        return units(_line(period).delivered)

    @admin.display(description="billed units")
    def billed(self, period: BillingPeriod) -> str:
        """The quantity on the final invoice, and whether it is what was reported."""
        return billed(_line(period))


def _day(request: HttpRequest) -> date | None:
    """Return the day that the address asks for, None where it asks for none or writes it wrongly."""
    try:
        return parse_date(request.GET.get("day", ""))
    except ValueError:
        return None


def _meter(request: HttpRequest) -> int | None:
    """Return the meter that the address asks for, None where it asks for none or writes it wrongly."""
    text = request.GET.get("meter", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS else None


def _line(period: Any) -> BilledPeriod:
    """Return what the list's page was asked for, or ask for this one row."""
    if not hasattr(period, "line"):
        (period.line,) = billed_periods([period], now=timezone.now())
    line: BilledPeriod = period.line
    return line
