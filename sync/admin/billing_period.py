"""Billing periods: every one that was ever seen."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.formats import units
from sync.models import BillingPeriod


@admin.register(BillingPeriod)
class BillingPeriodAdmin(ReadOnlyAdmin):
    """When an item is billed, and when its invoice closes."""

    list_display = ["item", "customer", "start", "end", "closes_at", "finalized_at", "billed"]
    list_select_related = ["item__subscription__customer"]
    search_fields = [
        "item__stripe_id",
        "item__subscription__stripe_id",
        "item__subscription__customer__stripe_id",
        "item__subscription__customer__name",
        "invoice_id",
    ]
    ordering = ["-start", "id"]
    fields = ["item", "customer", "start", "end", "closes_at", "finalized_at", "invoice_id", "billed"]
    readonly_fields = ["customer", "billed"]

    @admin.display(ordering="item__subscription__customer__name")
    def customer(self, period: BillingPeriod) -> str:
        """Who gets the invoice."""
        return str(period.item.subscription.customer)

    @admin.display(description="billed units")
    def billed(self, period: BillingPeriod) -> str:
        """The quantity on the final invoice."""
        return units(period.billed_quantity)
