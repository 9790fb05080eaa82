"""The reports that wait for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, Q

from sync.models import UsageReport
from sync.queries.planning import Scope, enrolments_in

Status = UsageReport.Status

WAITS_FOR_A_PERSON = Q(
    status__in=(Status.HELD, Status.LATE, Status.REJECTED, Status.UNKNOWN), next_attempt_at=None
)
"""Held, late and refused reports have no next attempt; one of unknown outcome has one while it is tried on.
Said in this way, an index answers it however large the ledger is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReport:
    """A report somebody has to decide on, and why."""

    id: int
    status: str
    customer: str
    meter: str
    value: Decimal
    start: datetime
    end: datetime
    reason: str


def count_waiting(scope: Scope) -> dict[str, int]:
    """Return how many reports of the scope wait for a person, by status; statuses without any are absent."""
    rows = UsageReport.objects.filter(WAITS_FOR_A_PERSON)
    if scope != Scope():
        rows = rows.filter(enrolment__in=enrolments_in(scope))
    return dict(rows.order_by().values_list("status").annotate(Count("pk")))


def waiting_words(counts: Mapping[str, int]) -> str:
    """Return how many reports wait, by status, like "3 reports wait (1 held, 2 late)"; "" where none does."""
    if not counts:
        return ""
    total = sum(counts.values())
    parts = ", ".join(f"{count:,} {Status(status).word}" for status, count in sorted(counts.items()))
    return f"{total:,} {'report waits' if total == 1 else 'reports wait'} ({parts})"


def pending_sentence(scope: Scope) -> str:
    """Return what a stopped run leaves to the next one, as a sentence."""
    count = UsageReport.objects.filter(
        enrolment__in=enrolments_in(scope), status__in=(Status.PENDING, Status.SENDING)
    ).count()
    if not count:
        return "Nothing that was planned is left to send; what was not planned yet is up to the next run."
    left = "1 planned report is" if count == 1 else f"{count} planned reports are"
    return f"{left} still pending: the next run sends them, unless reporting is paused."


def waiting_reports(*, meter: str = "", customer: str = "", status: str = "") -> list[WaitingReport]:
    """Return held, late and refused reports, and those whose outcome nobody will learn, oldest first."""
    rows = UsageReport.objects.filter(WAITS_FOR_A_PERSON).select_related(
        "enrolment__customer", "enrolment__meter"
    )
    if meter:
        rows = rows.filter(Q(enrolment__meter__openmeter_slug=meter) | Q(enrolment__meter__event_name=meter))
    if customer:
        rows = rows.filter(enrolment__customer__stripe_id=customer)
    if status:
        rows = rows.filter(status=status)
    return [
        WaitingReport(
            id=row.pk,
            status=row.status,
            customer=row.enrolment.customer.stripe_id,
            meter=row.enrolment.meter.slug,
            value=row.value,
            start=row.slice_start,
            end=row.slice_end,
            reason=row.error,
        )
        for row in rows.order_by("slice_start", "pk")
    ]


def has_open_calls(scope: Scope) -> bool:
    """Return whether earlier runs left reports of the scope whose call has no known end yet."""
    open_calls = (UsageReport.Status.SENDING, UsageReport.Status.UNKNOWN)
    return UsageReport.objects.filter(status__in=open_calls, enrolment__in=enrolments_in(scope)).exists()
