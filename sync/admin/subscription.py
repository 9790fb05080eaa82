"""Subscriptions, as Stripe has them."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.report_usage import ReportUsage
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.models import Subscription


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    """Who is subscribed, since when and until when."""

    dialogs = (SyncStripe, ReportUsage)

    list_display = ["stripe_id", "customer", "status", "start_date", "trial_end", "ended_at", "fetched_at"]
    list_select_related = ["customer"]
    list_filter = ["status"]
    search_fields = ["stripe_id", "customer__stripe_id", "customer__name", "customer__email"]
    ordering = ["-created_at", "id"]
