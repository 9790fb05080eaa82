"""The commit that comes before every call: from here on, the report may have reached Stripe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import NullIf

from sync.domain.closings import is_late
from sync.domain.retries import may_resend
from sync.models import Enrolment, Finding, ReportRun, UsageReport
from sync.operations.record_findings import about_report, record_findings
from sync.operations.reserve_calls import reserve_calls
from sync.queries.pauses import unpaused

Status = UsageReport.Status


@dataclass(slots=True, kw_only=True)
class Marked:
    """Reports that are `sending` now, and those that were set aside instead, by what they became."""

    sending: list[UsageReport] = field(default_factory=list)
    set_aside: dict[str, list[UsageReport]] = field(default_factory=dict)
    lost: list[UsageReport] = field(default_factory=list)
    lead_seconds: float = 0.0


def mark_sending(
    reports: Sequence[UsageReport], *, owner: str, run: ReportRun, now: datetime, calls_per_second: int
) -> Marked:
    """As many reports as the rate limit grants are committed as `sending` by this run, first of all.

    A report whose period closed becomes `late`, one whose outcome has been unknown for 23 h stays
    `unknown` for a person; neither is sent. `lost` are those that another worker or planner took over, and
    those that were paused meanwhile.
    """
    marked = Marked()
    asked = {report.enrolment_id for report in reports}
    mine_to_send = unpaused(Enrolment.objects.filter(pk__in=asked, lease_owner=owner))
    with transaction.atomic():
        mine = set(
            UsageReport.objects.select_for_update(of=("self",))
            .filter(
                pk__in=[report.pk for report in reports],
                enrolment__in=mine_to_send,
                status__in=(Status.PENDING, Status.SENDING, Status.UNKNOWN),
            )
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        held = [report for report in reports if report.pk in mine]
        for report in held:
            # Left `sending` by a worker that died, or timed out: Stripe may have it already.
            report.maybe_arrived |= report.status in (Status.SENDING, Status.UNKNOWN)
        marked.set_aside = _set_aside(held, now)
        aside = {report.pk for reports in marked.set_aside.values() for report in reports}
        ready = [report for report in held if report.pk not in aside]
        granted, marked.lead_seconds = reserve_calls(wanted=len(ready), per_second=calls_per_second)
        marked.sending = ready[:granted]
        _commit_sending(marked.sending, run, now)
    marked.lost = [report for report in reports if report.pk not in mine]
    return marked


def _commit_sending(reports: Sequence[UsageReport], run: ReportRun, now: datetime) -> None:
    common = {
        "status": Status.SENDING,
        "attempts": F("attempts") + 1,
        "next_attempt_at": None,
        # Nothing where the run planned it itself: then the index has no entry to write.
        "sent_by": NullIf(Value(run.pk), F("run")),
    }
    again = {report.pk for report in reports if report.maybe_arrived}
    fresh = {report.pk for report in reports} - again
    # What surely never arrived may count its 23 h from now on.
    for ids, differs in ((fresh, {"first_sent_at": now}), (again, {"maybe_arrived": True})):
        if ids:
            UsageReport.objects.filter(pk__in=ids).update(**common, **differs)
    for report in reports:
        report.status, report.next_attempt_at = Status.SENDING, None
        report.attempts += 1
        if report.pk in fresh:
            report.first_sent_at = now


def _set_aside(reports: Sequence[UsageReport], now: datetime) -> dict[str, list[UsageReport]]:
    """Write down the reports that must not be sent any more, and why."""
    aside: dict[str, list[UsageReport]] = {}
    for report in reports:
        late = is_late(closes_at=report.closes_at, event_at=report.event_at, now=now)
        too_old = not may_resend(
            first_sent_at=report.first_sent_at or now, maybe_arrived=report.maybe_arrived, now=now
        )
        if late and not report.maybe_arrived:
            report.status = Status.LATE
            report.error = "Its billing period closed before Stripe could be reached."
        elif late or too_old:
            report.status = Status.UNKNOWN
            report.error = (
                "It may have reached Stripe before its billing period closed; nobody knows."
                if late
                else "It may have reached Stripe over 23 hours ago; sending it again could bill it twice."
            )
        else:
            continue
        report.next_attempt_at = None
        aside.setdefault(report.status.value, []).append(report)
    changed = [report for reports in aside.values() for report in reports]
    UsageReport.objects.bulk_update(
        changed, ["status", "error", "next_attempt_at", "maybe_arrived"], batch_size=200
    )
    record_findings([about_report(report, _KINDS[report.status]) for report in changed], now=now)
    _set_aside_behind(aside.get(Status.LATE.value, ()))
    return aside


def _set_aside_behind(late: Sequence[UsageReport]) -> None:
    """What waits behind a late report of the same slice is late with it: nothing goes out before that."""
    if not late:
        return
    slices = {(report.enrolment_id, report.slice_start) for report in late}
    behind = UsageReport.objects.filter(
        status=Status.PENDING,
        maybe_arrived=False,
        enrolment__in={enrolment for enrolment, _ in slices},
        slice_start__in={start for _, start in slices},
    )
    found = behind.values_list("pk", "enrolment_id", "slice_start")
    mine = [pk for pk, *where in found if tuple(where) in slices]
    UsageReport.objects.filter(pk__in=mine, status=Status.PENDING).update(
        status=Status.LATE, error=late[0].error, next_attempt_at=None
    )


_KINDS: dict[str, Finding.Kind] = {
    Status.LATE: Finding.Kind.LATE,
    Status.UNKNOWN: Finding.Kind.UNKNOWN_OUTCOME,
}
