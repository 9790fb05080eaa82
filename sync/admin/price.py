"""Prices, as Stripe has them."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.formats import units
from sync.models import Price


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """What a unit costs, and on which meter."""

    list_display = ["stripe_id", "product_name", "meter", "usage_type", "amount", "interval", "active"]
    list_select_related = ["meter"]
    list_filter = ["active", "usage_type"]
    search_fields = ["stripe_id", "product_name", "lookup_key", "meter__event_name"]
    ordering = ["product_name", "id"]
    fields = [
        "stripe_id",
        "active",
        "lookup_key",
        "product_id",
        "product_name",
        "meter",
        "usage_type",
        "amount",
        "billing_scheme",
        "tiers_mode",
        "tiers",
        "transform_quantity",
        "interval",
        "interval_count",
        "deleted_at",
        "fetched_at",
    ]
    readonly_fields = ["amount"]

    @admin.display(description="unit amount", empty_value="–")
    def amount(self, price: Price) -> str:
        """The price of a unit in the currency's smallest unit, as Stripe keeps it."""
        if price.unit_amount_decimal is None:
            return ""
        return f"{units(price.unit_amount_decimal)} {price.currency} minor units"
