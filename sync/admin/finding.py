"""Findings: differences and obstacles that a person should look at."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.views import ChangeList as UnfoldChangeList

from sync.admin.chips import yes_no_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.resolve_finding import ResolveFinding
from sync.admin.export_columns import FINDING_ROWS
from sync.admin.exports import ExportAdmin
from sync.admin.filters import OpenFilter
from sync.admin.formats import NOTHING, amounts, wrapped
from sync.admin.links import list_url, row_link
from sync.domain.remedies import FINDINGS
from sync.models import Finding, UsageReport
from sync.queries.finding_stakes import ONE_REPORT, WAITING, Stakes, report_of, stakes_of


class FindingChangeList(UnfoldChangeList):  # type: ignore[misc] # unfold ships no types
    """Knows what is at stake in all findings of a page at once."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's rows, and what their reports come to."""
        super().get_results(request)
        stakes = stakes_of(self.result_list)
        for finding in self.result_list:
            finding.stakes = stakes.get(finding.pk, Stakes())


@admin.register(Finding)
class FindingAdmin(ExportAdmin, ReadOnlyAdmin):
    """What is the matter, since when, what to do, and how it ended."""

    resource_classes = [FINDING_ROWS]
    export_related = ("customer", "meter", "item")
    dialogs = (ResolveFinding,)

    list_display = ["kind", "message_shown", "at_stake", "customer_shown", "meter_shown", "found_at", "state"]
    list_select_related = ["customer", "meter", "item"]
    list_filter = [OpenFilter, ("kind", ChoicesDropdownFilter), ("meter", RelatedDropdownFilter)]
    search_fields = ["message", "fingerprint", "customer__stripe_id", "customer__name"]
    search_help_text = "A word of the message, or a customer's name or id"
    when_empty = "No obstacle and no difference was found."
    ordering = ["-found_at", "-id"]
    change_form_before_template = "sync/finding_state.html"
    fields = ["customer_shown", "meter_shown", "item_shown", "found_at", "seen_at", "resolved_at"]
    readonly_fields = ["customer_shown", "meter_shown", "item_shown"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        """Return the list that knows what is at stake."""
        return FindingChangeList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what to do and what is at stake."""
        finding = context["original"]
        stakes = stakes_of([finding]).get(finding.pk, Stakes())
        context |= {
            "finding": finding,
            "remedy": FINDINGS[finding.kind],
            "stakes": stakes,
            "reports_url": _reports_url(finding) if stakes.reports else "",
            "report": report_of(finding),
            "meter_reports_url": _meter_reports_url(finding),
        }
        finding.stakes = stakes
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description="what")
    def message_shown(self, finding: Finding) -> SafeString:
        """What is the matter with whom."""
        return wrapped(finding.message)

    @admin.display(description="at stake")
    def at_stake(self, finding: Finding) -> str:
        """The money in reports that still wait because of it."""
        stakes: Stakes = getattr(finding, "stakes", Stakes())
        return amounts(stakes.amounts) if stakes.reports else NOTHING

    @admin.display(description="customer", ordering="customer__name")
    def customer_shown(self, finding: Finding) -> str:
        """Whom it concerns; where it is about a meter, whose reports wait because of it."""
        if finding.customer:
            return row_link(finding.customer, finding.customer.label)
        stakes: Stakes = getattr(finding, "stakes", Stakes())
        if len(stakes.customers) > 1:
            link = '<a class="inward" href="{}">{} customers</a>'
            return format_html(link, _reports_url(finding), len(stakes.customers))
        return row_link(stakes.customers[0], stakes.customers[0].label) if stakes.customers else NOTHING

    @admin.display(description="meter", ordering="meter__event_name")
    def meter_shown(self, finding: Finding) -> str:
        """What is measured."""
        return row_link(finding.meter, finding.meter and finding.meter.slug)

    @admin.display(description="subscription item")
    def item_shown(self, finding: Finding) -> str:
        """What is billed."""
        return row_link(finding.item)

    @admin.display(description="state", ordering="resolved_at")
    def state(self, finding: Finding) -> SafeString:
        """Whether somebody still has to look."""
        return yes_no_chip(is_good=finding.resolved_at is not None, good="resolved", bad="open")


def _reports_url(finding: Finding) -> str:
    """Return the list of the reports that a finding is about."""
    if finding.fingerprint.startswith(ONE_REPORT):
        return list_url(UsageReport, q=finding.fingerprint.removeprefix(ONE_REPORT))
    return list_url(
        UsageReport,
        waits="person",
        status__exact=WAITING[finding.kind],
        enrolment__meter__id__exact=finding.meter_id,
    )


def _meter_reports_url(finding: Finding) -> str:
    """Return the list of all reports of the meter that a finding about reports is about, or ""."""
    if finding.kind not in WAITING or not finding.meter_id or finding.fingerprint.startswith(ONE_REPORT):
        return ""
    return list_url(UsageReport, enrolment__meter__id__exact=finding.meter_id)
