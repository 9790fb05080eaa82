"""The Stripe account that this database belongs to."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import StripeAccount


@admin.register(StripeAccount)
class StripeAccountAdmin(ReadOnlyAdmin):
    """Which account and mode the first sync pinned."""

    list_display = ["stripe_id", "livemode", "pinned_at"]
    search_fields = ["stripe_id"]
    ordering = ["stripe_id", "id"]
