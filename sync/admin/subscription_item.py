"""Subscription items, as Stripe has them."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import SubscriptionItem


@admin.register(SubscriptionItem)
class SubscriptionItemAdmin(ReadOnlyAdmin):
    """Which price and meter is on which subscription."""

    list_display = ["stripe_id", "customer", "subscription", "price", "meter", "created_at", "deleted_at"]
    list_select_related = ["subscription__customer", "price", "meter"]
    search_fields = [
        "stripe_id",
        "subscription__stripe_id",
        "subscription__customer__stripe_id",
        "subscription__customer__name",
        "price__stripe_id",
    ]
    ordering = ["-created_at", "id"]

    @admin.display(ordering="subscription__customer__name")
    def customer(self, item: SubscriptionItem) -> str:
        """Who pays for it."""
        return str(item.subscription.customer)
