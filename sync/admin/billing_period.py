"""Billing periods: every one that was ever seen."""

from django.contrib import admin
from unfold.contrib.filters.admin import RelatedDropdownFilter

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.filters import DaysFilter
from sync.admin.formats import days, stripe_link, units
from sync.admin.links import row_link
from sync.models import BillingPeriod


@admin.register(BillingPeriod)
class BillingPeriodAdmin(ReadOnlyAdmin):
    """When an item is billed, and when its invoice closes."""

    list_display = ["period", "customer", "product", "closes_at", "finalized_at", "invoice", "billed"]
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
        "billed",
    ]
    readonly_fields = ["customer", "subscription", "product", "invoice", "billed"]

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

    @admin.display(description="billed units")
    def billed(self, period: BillingPeriod) -> str:
        """The quantity on the final invoice."""
        return units(period.billed_quantity)
