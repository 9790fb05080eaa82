"""Pauses of subscriptions: when usage was on no invoice."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import SubscriptionPause


@admin.register(SubscriptionPause)
class SubscriptionPauseAdmin(ReadOnlyAdmin):
    """When syncs saw a subscription paused."""

    list_display = ["subscription", "customer", "start", "end"]
    list_select_related = ["subscription__customer"]
    search_fields = [
        "subscription__stripe_id",
        "subscription__customer__stripe_id",
        "subscription__customer__name",
    ]
    ordering = ["-start", "id"]
    fields = ["subscription", "customer", "start", "end"]
    readonly_fields = ["customer"]

    @admin.display(ordering="subscription__customer__name")
    def customer(self, pause: SubscriptionPause) -> str:
        """Who is not billed meanwhile."""
        return str(pause.subscription.customer)
