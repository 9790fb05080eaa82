"""Calls to Stripe that did not deliver their report."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.paginator import InfinitePaginator

from sync.admin.chips import ATTEMPTS, attempt_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.filters import DaysFilter
from sync.admin.formats import stripe_link
from sync.admin.links import row_link
from sync.models import DeliveryAttempt


class OutcomeFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Attempts of one outcome."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer every outcome that there can be, without reading the table for it."""
        return [(outcome, word) for outcome, (word, _, _) in ATTEMPTS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        return queryset.filter(outcome=self.value()) if self.value() else queryset


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(ReadOnlyAdmin):
    """What went wrong, when, and what Stripe said."""

    list_display = [
        "id",
        "report_shown",
        "number",
        "state",
        "http_status",
        "code",
        "stripe_call",
        "attempted_at",
    ]
    list_select_related = ["report", "run"]
    list_filter = [OutcomeFilter, ("attempted_at", DaysFilter)]
    search_fields = ["=report__identifier", "=stripe_request_id", "=code"]
    search_help_text = "A report's identifier, a Stripe request, or a code of Stripe's"
    ordering = ["-id"]
    paginator = InfinitePaginator
    list_disable_select_all = True
    sortable_by = ("id",)
    fields = [
        "report_shown",
        "run",
        "number",
        "state",
        "http_status",
        "code",
        "message",
        "stripe_call",
        "attempted_at",
    ]
    readonly_fields = ["report_shown", "state", "stripe_call"]

    @admin.display(description="report")
    def report_shown(self, attempt: DeliveryAttempt) -> str:
        """The report that it was to deliver."""
        return row_link(attempt.report, f"Report {attempt.report_id}")

    @admin.display(description="outcome")
    def state(self, attempt: DeliveryAttempt) -> SafeString:
        """What came of it."""
        return attempt_chip(attempt.outcome)

    @admin.display(description="Stripe's request")
    def stripe_call(self, attempt: DeliveryAttempt) -> str:
        """The call in Stripe's own log."""
        return stripe_link("request", attempt.stripe_request_id)
