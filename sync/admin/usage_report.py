"""The ledger: what was measured, and what Stripe was told."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)
from unfold.paginator import InfinitePaginator
from unfold.sections import TemplateSection

from sync.admin.chips import report_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.decide_reports import DecideReports
from sync.admin.dialogs.report_dialogs import REPORT_DIALOGS
from sync.admin.export_columns import REPORTS
from sync.admin.exports import ExportAdmin
from sync.admin.filters import DaysFilter, WaitsFilter
from sync.admin.formats import from_to, stripe_link, units
from sync.admin.links import row_link
from sync.admin.period_words import explained
from sync.admin.report_fields import telling_fieldsets
from sync.admin.worth import amount_cell, amount_sentence, price
from sync.models import Customer, Enrolment, UsageReport
from sync.queries.report_story import report_story
from sync.queries.report_worth import ReportWorth
from sync.queries.reports_of_call import reports_of_call


class AttemptsSection(TemplateSection):  # type: ignore[misc] # unfold ships no types
    """The calls to Stripe that did not deliver a report, under its row."""

    template_name = "sync/report_attempts.html"

    def get_context_data(self, request: HttpRequest, instance: UsageReport) -> dict[str, Any]:  # noqa: ARG002 - unfold's signature
        """Return the attempts, which the list has loaded for all its rows at once."""
        return {"report": instance, "attempts": instance.delivery_attempts.all()}


@admin.register(UsageReport)
class UsageReportAdmin(ExportAdmin, ReadOnlyAdmin):
    """Every report there ever was; docs/ledger.md says what each status means."""

    resource_classes = [REPORTS]
    export_related = ("enrolment__customer", "enrolment__meter")
    dialogs: ClassVar[Sequence[type[DecideReports]]] = REPORT_DIALOGS

    list_display = [
        "id",
        "state",
        "customer",
        "meter",
        "slice",
        "quantity_units",
        "value_units",
        "amount",
        "delivered_at",
    ]
    # Loaded afterwards: joined, SQLite would walk through all customers instead of the newest reports.
    list_select_related = ()
    list_filter = [
        WaitsFilter,
        ("status", ChoicesDropdownFilter),
        ("enrolment__meter", RelatedDropdownFilter),
        ("enrolment__customer", AutocompleteSelectFilter),
        ("slice_end", DaysFilter),
    ]
    list_sections = [AttemptsSection]
    search_fields = ["identifier"]
    search_help_text = "Number, identifier, Stripe request, or a customer's name, e-mail address or id"
    when_empty = "Reports come from runs: Report usage… on Runs makes the first ones."
    ordering = ["-slice_end", "-id"]
    # Millions of rows are neither counted nor sorted by what no index holds.
    paginator = InfinitePaginator
    list_disable_select_all = True
    sortable_by = ("id", "slice")
    change_form_before_template = "sync/report_state.html"
    change_form_after_template = "sync/report_story.html"

    readonly_fields = [
        "customer",
        "meter",
        "slice",
        "measured_units",
        "carried_units",
        "quantity_units",
        "value_units",
        "amount_explained",
        "stripe_call",
        "may_have_arrived",
        "planned_in",
        "sent_in",
        "comes_from",
        "goes_into",
    ]
    fieldsets = [
        (
            "Usage",
            {
                "fields": [
                    "customer",
                    "meter",
                    "slice",
                    "revision",
                    "measured_units",
                    "carried_units",
                    "quantity_units",
                    "value_units",
                    "amount_explained",
                    "event_at",
                    "closes_at",
                ]
            },
        ),
        (
            "Delivery",
            {
                "fields": [
                    "identifier",
                    "stripe_call",
                    "attempts",
                    "may_have_arrived",
                    "next_attempt_at",
                    "first_sent_at",
                    "delivered_at",
                    "planned_in",
                    "sent_in",
                    "comes_from",
                    "goes_into",
                    "created_at",
                ]
            },
        ),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: UsageReport | None = None) -> Any:
        """Leave out what is said of few reports: what was carried, cut off, or is tried again."""
        return telling_fieldsets(super().get_fieldsets(request, obj), obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer no decision on a list of reports that do not wait for it."""
        status, offered = request.GET.get("status__exact"), super().get_actions(request)
        fit = {one.name for one in self.dialogs if not status or status in one.waiting}
        return {name: action for name, action in offered.items() if name in fit}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Price a whole page with a few queries."""
        listed = super().get_changelist_instance(request)
        # The rows stay in the query set that the page then goes through.
        price(list(listed.result_list), ReportWorth())
        return listed

    def export_reader(self) -> Callable[[Sequence[UsageReport]], None]:
        """Price a file's rows as they are read."""
        return partial(price, worth=ReportWorth())

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageReport]:
        """Load the attempts of a whole page with one query."""
        rows: QuerySet[UsageReport] = super().get_queryset(request)
        return rows.prefetch_related("enrolment__customer", "enrolment__meter", "delivery_attempts")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageReport], search_term: str
    ) -> tuple[QuerySet[UsageReport], bool]:
        """Look a term up where an index can find it, instead of reading the whole ledger."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        named = Customer.objects.filter(
            Q(stripe_id=term) | Q(external_key=term) | Q(name__icontains=term) | Q(email__icontains=term)
        )
        # Without a join, each side of the OR has an index of its own.
        found = Q(identifier=term) | Q(enrolment__in=Enrolment.objects.filter(customer__in=named))
        if term.startswith("req_"):
            found = Q(pk__in=reports_of_call(term))
        elif term.isascii() and term.isdecimal():
            found |= Q(pk=int(term[:18]))
        return queryset.filter(found), False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what the state means, the attempts, and the other revisions of the slice."""
        report = context["original"]
        context |= {
            "report": report,
            "explained": explained(report),
            "story": report_story(report),
            "subtitle": report.page_name,
        }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description="status", ordering="status")
    def state(self, report: UsageReport) -> SafeString:
        """How it stands."""
        return report_chip(report.status)

    @admin.display
    def customer(self, report: UsageReport) -> str:
        """Whose usage it is."""
        return row_link(report.enrolment.customer, report.enrolment.customer.label)

    @admin.display
    def meter(self, report: UsageReport) -> str:
        """What was used."""
        return row_link(report.enrolment.meter, report.enrolment.meter.slug)

    @admin.display(description="slice", ordering="slice_end")
    def slice(self, report: UsageReport) -> SafeString:
        """When it was used."""
        return from_to(report.slice_start, report.slice_end)

    @admin.display(description="measured in OpenMeter")
    def measured_units(self, report: UsageReport) -> str:
        """What OpenMeter said, unscaled and unrounded."""
        return units(report.measured)

    @admin.display(description="carried along")
    def carried_units(self, report: UsageReport) -> str:
        """What came along from a slice whose period had closed."""
        return f"{units(report.carried)}, of a slice whose period had closed"

    @admin.display(description="units")
    def quantity_units(self, report: UsageReport) -> str:
        """What the slice comes to."""
        return units(report.quantity)

    @admin.display(description="value for Stripe")
    def value_units(self, report: UsageReport) -> str:
        """What Stripe is told."""
        return units(report.value)

    @admin.display(description="estimated amount")
    def amount(self, report: UsageReport) -> str | SafeString:
        """What it adds to the bill, in a list."""
        return amount_cell(report)

    @admin.display(description="estimated amount")
    def amount_explained(self, report: UsageReport) -> str:
        """What it adds to the bill, on its page."""
        return amount_sentence(report)

    @admin.display(description="Stripe's request")
    def stripe_call(self, report: UsageReport) -> str:
        """Show the call that delivered it, in Stripe's own log."""
        return stripe_link("request", report.stripe_request_id)

    @admin.display(description="planned by")
    def planned_in(self, report: UsageReport) -> str:
        """The run that measured it."""
        return row_link(report.run)

    @admin.display(description="sent by")
    def sent_in(self, report: UsageReport) -> str:
        """The run that sent it last, which may be a later one."""
        return row_link(report.sender) if report.sender else "nobody yet"

    @admin.display(description="may have arrived")
    def may_have_arrived(self, report: UsageReport) -> str:  # noqa: ARG002 - shown only where it is so
        """Whether some attempt may have reached Stripe without our learning of it."""
        return "A call was cut off, so Stripe may have it although it did not say so."

    @admin.display(description="carries usage of")
    def comes_from(self, report: UsageReport) -> str:
        """The late report whose usage it carries."""
        return row_link(report.corrects, report.corrects.page_name if report.corrects else None)

    @admin.display(description="carried into")
    def goes_into(self, report: UsageReport) -> str:
        """The report that took its usage along."""
        made = report.corrections.select_related("enrolment__customer", "enrolment__meter")
        taker = made.order_by("-revision").first()
        return row_link(taker, taker.page_name if taker else None)
