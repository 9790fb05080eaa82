"""Put a plan into the ledger: whole enrolments, each together or not at all."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from sync.models import Enrolment, Finding, ReportRun, UsageReport
from sync.operations.plan_reports import EnrolmentPlan, MeterPlan, PlannedReport
from sync.operations.record_findings import FoundIssue, record_findings

BATCH = 200
"""Enrolments per transaction: few commits, and a short lock on SQLite."""

Status = UsageReport.Status


class StalePlanError(Exception):
    """The ledger moved on since the plan was computed; nothing of that transaction was stored."""


@dataclass(slots=True, kw_only=True)
class Stored:
    """What became of a plan. `refused` counts enrolments that another run planned meanwhile."""

    reports: int = 0
    refused: int = 0


def store_plan(plan: MeterPlan, *, run: ReportRun, now: datetime) -> Stored:
    """The plan is in the ledger and committed, but for enrolments that somebody else planned meanwhile.

    Safe to repeat: a second store of the same plan is refused by the ledger's unique keys.
    """
    stored = Stored()
    changed = [one for one in plan.enrolments if one.changes_something]
    for first in range(0, len(changed), BATCH):
        batch = changed[first : first + BATCH]
        if _try_to_store(batch, run=run, now=now):
            stored.reports += sum(len(one.reports) for one in batch)
            continue
        for one in batch:
            if _try_to_store([one], run=run, now=now):
                stored.reports += len(one.reports)
            else:
                stored.refused += 1
                one.reports.clear()
    record_findings(_findings(plan), now=now)
    return stored


def _try_to_store(batch: Sequence[EnrolmentPlan], *, run: ReportRun, now: datetime) -> bool:
    """Store several enrolments in one transaction; False if the ledger refused any of them."""
    try:
        with transaction.atomic():
            _supersede([pk for one in batch for pk in one.superseded])
            _check_newest([report for one in batch for report in one.reports if report.revision > 1])
            rows = [_row(report, run, now) for one in batch for report in one.reports]
            UsageReport.objects.bulk_create(rows, batch_size=500)
            _move_planned_through(batch)
    except (IntegrityError, StalePlanError):
        return False
    return True


def _supersede(ids: Sequence[int]) -> None:
    """Take back rows that nobody claimed; a claim in between refuses the plan."""
    if not ids:
        return
    taken_back = UsageReport.objects.filter(pk__in=ids, status=Status.PENDING, first_sent_at=None).update(
        status=Status.SUPERSEDED, next_attempt_at=None
    )
    if taken_back != len(ids):
        raise StalePlanError


def _check_newest(reports: Sequence[PlannedReport]) -> None:
    """Refuse the plan if a slice was blocked since it was read; a newer revision hits the unique key."""
    blocked = UsageReport.objects.filter(
        enrolment__in={report.enrolment.id for report in reports},
        slice_start__in={report.piece.span.start for report in reports},
        status__in=UsageReport.BLOCKING,
    )
    slices = {(report.enrolment.id, report.piece.span.start) for report in reports}
    if slices.intersection(blocked.values_list("enrolment_id", "slice_start")):
        raise StalePlanError


def _row(report: PlannedReport, run: ReportRun, now: datetime) -> UsageReport:
    return UsageReport(
        enrolment_id=report.enrolment.id,
        slice_start=report.piece.span.start,
        slice_end=report.piece.span.end,
        revision=report.revision,
        measured=report.measured,
        carried=report.carried,
        quantity=report.quantity,
        value=report.value,
        event_at=report.piece.event_at,
        closes_at=report.piece.closes_at,
        identifier=report.identifier,
        status=report.status,
        error=report.error,
        run=run,
        created_at=now,
    )


def _move_planned_through(batch: Sequence[EnrolmentPlan]) -> None:
    """Move each enrolment's mark forward, never back."""
    by_mark: dict[datetime, list[int]] = defaultdict(list)
    for one in batch:
        if one.planned_through:
            by_mark[one.planned_through].append(one.enrolment.id)
    for mark, ids in by_mark.items():
        Enrolment.objects.filter(Q(planned_through=None) | Q(planned_through__lt=mark), pk__in=ids).update(
            planned_through=mark
        )


# --- what people are told ----------------------------------------------------------------------------------


def _findings(plan: MeterPlan) -> Iterable[FoundIssue]:
    """Yield one finding per meter and kind for what was stored held, late or refused."""
    kinds = {
        Status.HELD: (Finding.Kind.BRAKE, "held"),
        Status.LATE: (Finding.Kind.LATE, "late"),
        Status.REJECTED: (Finding.Kind.REJECTED, "refused"),
    }
    by_status: dict[str, list[PlannedReport]] = defaultdict(list)
    for report in plan.reports:
        by_status[report.status].append(report)
    for status, (kind, word) in kinds.items():
        if reports := by_status.get(status):
            yield FoundIssue(
                kind=kind,
                fingerprint=f"meter:{plan.meter.stripe_id}",
                message=(
                    f"{len(reports)} {word} on {plan.meter.slug}: {reports[0].error} "
                    "Decide with manage.py held_reports."
                ),
                meter_id=plan.meter.pk,
            )
