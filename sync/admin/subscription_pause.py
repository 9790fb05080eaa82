"""Stretches in which subscriptions were paused in Stripe."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.links import row_link
from sync.models import SubscriptionPause


@admin.register(SubscriptionPause)
class SubscriptionPauseAdmin(ReadOnlyAdmin):
    """When a subscription was paused, as far as syncs saw it: usage of that time is on no invoice."""

    list_display = ["id", "customer", "subscription_link", "start", "end"]
    list_select_related = ["subscription__customer"]
    list_filter = [("end", admin.EmptyFieldListFilter)]
    search_fields = [
        "subscription__stripe_id",
        "subscription__customer__stripe_id",
        "subscription__customer__name",
    ]
    ordering = ["-start", "id"]
    fields = ["customer", "subscription_link", "start", "end"]
    readonly_fields = ["customer", "subscription_link"]

    @admin.display(ordering="subscription__customer__name")
    def customer(self, pause: SubscriptionPause) -> str:
        """Whose subscription it is."""
        return row_link(pause.subscription.customer, pause.subscription.customer.label)

    @admin.display(description="subscription", ordering="subscription__stripe_id")
    def subscription_link(self, pause: SubscriptionPause) -> str:
        """What was paused."""
        return row_link(pause.subscription, pause.subscription.stripe_id)
