"""Enrolments: one customer on one meter."""

from django.contrib import admin
from django.utils.html import format_html
from unfold.contrib.filters.admin import RelatedDropdownFilter

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.start_reporting import StartReporting
from sync.admin.formats import when
from sync.admin.links import list_url, row_link
from sync.models import Enrolment, UsageReport


@admin.register(Enrolment)
class EnrolmentAdmin(ReadOnlyAdmin):
    """How far each customer's usage has been measured."""

    dialogs = (StartReporting,)

    list_display = ["id", "who", "meter_slug", "report_from", "planned_through"]
    list_select_related = ["customer", "meter"]
    list_filter = [("meter", RelatedDropdownFilter)]
    search_fields = ["customer__stripe_id", "customer__name", "customer__email", "meter__openmeter_slug"]
    search_help_text = "Customer, or a meter's slug"
    ordering = ["customer__name", "id"]
    fields = [
        "who",
        "meter_slug",
        "begins",
        "planned_through",
        "checked_at",
        "reports_link",
        "lease_owner",
        "lease_expires_at",
    ]
    readonly_fields = ["who", "meter_slug", "begins", "reports_link"]

    @admin.display(description="customer", ordering="customer__name")
    def who(self, enrolment: Enrolment) -> str:
        """Whose usage it is."""
        return row_link(enrolment.customer, enrolment.customer.label)

    @admin.display(description="meter", ordering="meter__event_name")
    def meter_slug(self, enrolment: Enrolment) -> str:
        """What is used."""
        return row_link(enrolment.meter, enrolment.meter.slug)

    @admin.display(description="reported from")
    def begins(self, enrolment: Enrolment) -> str:
        """From when on its usage is the console's to report."""
        return when(enrolment.report_from) if enrolment.report_from else "everything Stripe would still bill"

    @admin.display(description="reports")
    def reports_link(self, enrolment: Enrolment) -> str:
        """Its rows in the ledger."""
        address = list_url(
            UsageReport,
            enrolment__customer__id__exact=enrolment.customer_id,
            enrolment__meter__id__exact=enrolment.meter_id,
        )
        return format_html('<a class="inward" href="{}">Show</a>', address)
