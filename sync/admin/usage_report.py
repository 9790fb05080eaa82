"""The ledger: what was measured, and what Stripe was told."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.release_report import ReleaseReport
from sync.admin.formats import units
from sync.models import UsageReport


@admin.register(UsageReport)
class UsageReportAdmin(ReadOnlyAdmin):
    """Every report there ever was; docs/ledger.md says what each status means."""

    dialogs = (ReleaseReport,)

    list_display = [
        "id",
        "customer",
        "meter",
        "slice_start",
        "slice_end",
        "revision",
        "quantity_units",
        "value_units",
        "status",
        "delivered_at",
    ]
    list_select_related = ["enrolment__customer", "enrolment__meter"]
    list_filter = ["status", "enrolment__meter"]
    search_fields = [
        "identifier",
        "enrolment__customer__stripe_id",
        "enrolment__customer__name",
        "stripe_request_id",
    ]
    ordering = ["-slice_end", "-id"]
    fields = [
        "customer",
        "meter",
        "slice_start",
        "slice_end",
        "revision",
        "measured_units",
        "carried_units",
        "quantity_units",
        "value_units",
        "event_at",
        "closes_at",
        "identifier",
        "status",
        "error",
        "decision",
        "written_off",
        "attempts",
        "maybe_arrived",
        "next_attempt_at",
        "first_sent_at",
        "delivered_at",
        "stripe_request_id",
        "run",
        "corrects",
        "created_at",
    ]
    readonly_fields = [
        "customer",
        "meter",
        "measured_units",
        "carried_units",
        "quantity_units",
        "value_units",
    ]

    @admin.display(ordering="enrolment__customer__name")
    def customer(self, report: UsageReport) -> str:
        """Whose usage it is."""
        return str(report.enrolment.customer)

    @admin.display(ordering="enrolment__meter__event_name")
    def meter(self, report: UsageReport) -> str:
        """What was used."""
        return report.enrolment.meter.slug

    @admin.display(description="measured")
    def measured_units(self, report: UsageReport) -> str:
        """What OpenMeter said, unscaled and unrounded."""
        return units(report.measured)

    @admin.display(description="carried")
    def carried_units(self, report: UsageReport) -> str:
        """What came along from a slice whose period had closed."""
        return units(report.carried)

    @admin.display(description="quantity")
    def quantity_units(self, report: UsageReport) -> str:
        """What the slice comes to."""
        return units(report.quantity)

    @admin.display(description="value sent")
    def value_units(self, report: UsageReport) -> str:
        """What Stripe is told."""
        return units(report.value)
