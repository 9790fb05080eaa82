"""Billing periods: every one that was ever seen."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.views import ChangeList

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.filters import DaysFilter
from sync.admin.formats import billed, days, stripe_link, units
from sync.admin.links import row_link
from sync.models import BillingPeriod
from sync.queries.billed_periods import BilledPeriod, billed_periods


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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        """Return the list that adds up its page."""
        return PeriodList

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


def _line(period: Any) -> BilledPeriod:
    """Return what the list's page was asked for, or ask for this one row."""
    if not hasattr(period, "line"):
        (period.line,) = billed_periods([period], now=timezone.now())
    line: BilledPeriod = period.line
    return line
