"""Customers, as Stripe has them."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.link_subject import LinkCustomerSubject
from sync.admin.dialogs.pause_reporting import PauseReporting, ResumeReporting
from sync.admin.dialogs.report_usage import ReportCustomer
from sync.admin.dialogs.set_up_stripe import SubscribeCustomer
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.models import Customer


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    """Who pays."""

    dialogs = (
        SyncStripe,
        ReportCustomer,
        LinkCustomerSubject,
        SubscribeCustomer,
        PauseReporting,
        ResumeReporting,
    )

    list_display = ["stripe_id", "name", "email", "external_key", "deleted_at", "fetched_at"]
    search_fields = ["stripe_id", "name", "email", "external_key", "subjects__key"]
    ordering = ["name", "id"]
