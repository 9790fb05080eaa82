"""Calls to Stripe that did not deliver their report."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import DeliveryAttempt


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(ReadOnlyAdmin):
    """What went wrong, when, and what Stripe said."""

    list_display = ["report", "number", "outcome", "http_status", "code", "attempted_at", "run"]
    list_select_related = ["report", "run"]
    list_filter = ["outcome"]
    search_fields = ["report__identifier", "stripe_request_id", "code", "message"]
    ordering = ["-attempted_at", "-id"]
