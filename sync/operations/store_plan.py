"""Put a plan into the ledger: whole enrolments, each together or not at all."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Q

from sync.domain.slices import claimed_span
from sync.domain.timeline import Span
from sync.models import Enrolment, Finding, Meter, ReportRun, UsageReport
from sync.operations.plan_reports import MeterPlan
from sync.operations.plan_slices import EnrolmentPlan, PlannedReport
from sync.operations.record_findings import FoundIssue, end_report_findings, record_findings
from sync.operations.store_decisions import StalePlanError, store_decisions
from sync.operations.sum_up_days import mark_days

BATCH = 200
"""Enrolments per transaction: few commits, and a short lock on SQLite."""

Status = UsageReport.Status


@dataclass(slots=True, kw_only=True)
class StoredPlan:
    """What became of a plan. `refused` counts enrolments that another run planned meanwhile."""

    reports: int = 0
    refused: int = 0


def store_plan(plan: MeterPlan, *, run: ReportRun, now: datetime) -> StoredPlan:
    """The plan is in the ledger and committed, but for enrolments that somebody else planned meanwhile.

    Safe to repeat: a second store of the same plan is refused.
    """
    stored = StoredPlan()
    changed = [one for one in plan.enrolments if one.changes_something]
    for first in range(0, len(changed), BATCH):
        batch = changed[first : first + BATCH]
        if _try_to_store(batch, plan.meter, run=run, now=now):
            stored.reports += sum(len(one.reports) for one in batch)
            continue
        for one in batch:
            if _try_to_store([one], plan.meter, run=run, now=now):
                stored.reports += len(one.reports)
            else:
                stored.refused += 1
                one.reports.clear()
    record_findings(_findings(plan), now=now)
    return stored


def _try_to_store(batch: Sequence[EnrolmentPlan], meter: Meter, *, run: ReportRun, now: datetime) -> bool:
    """Store several enrolments in one transaction; False if the ledger moved on for any of them.

    Or if the database undid it to end a deadlock: the plan is made again by the next run.
    """
    reports = [report for one in batch for report in one.reports]
    try:
        with transaction.atomic():
            _lock_unchanged(batch)
            _supersede([pk for one in batch for pk in one.superseded])
            anew = [report for one in batch for report in one.decided_anew]
            store_decisions(anew, now=now)
            _check_slices(reports, sets_hours=meter.sets_hours)
            UsageReport.objects.bulk_create([_row(report, run, now) for report in reports], batch_size=500)
            days = {(meter.pk, report.piece.span.start) for report in (*reports, *anew)}
            mark_days(days, now=now)
            _end_findings([pk for one in batch for pk in one.superseded], now=now)
            _move_closings(batch)
            _move_planned_through(batch)
    except IntegrityError as error:
        if len(batch) == 1 and "check constraint" in str(error).lower():
            # No other planner did that: it would be refused in every run, and nobody would know.
            batch[0].problem = _contradiction(batch[0], meter)
        return False
    except (OperationalError, StalePlanError):
        return False
    return True


def _contradiction(one: EnrolmentPlan, meter: Meter) -> str:
    return (
        f"The ledger refuses what was planned for {one.enrolment.customer_id} on {meter.slug} as "
        "contradicting itself; nothing of it is reported. Tell those who look after the console."
    )


def _lock_unchanged(batch: Sequence[EnrolmentPlan]) -> None:
    """Nobody else plans these enrolments until the commit; refuse if somebody did since they were read."""
    locked = (
        Enrolment.objects.select_for_update(no_key=True)
        .filter(pk__in=[one.enrolment.id for one in batch])
        .order_by("pk")
        .values_list("pk", "planned_through", "anew")
    )
    now = {pk: (through, anew) for pk, through, anew in locked}
    if any(now.get(one.enrolment.id) != (one.enrolment.planned_through, one.enrolment.anew) for one in batch):
        raise StalePlanError


def _check_slices(reports: Sequence[PlannedReport], *, sets_hours: bool) -> None:
    """Refuse a first revision that overlaps a stored slice, and any revision of a slice blocked since.

    Two planners may cut differently (whole days or hours), so the unique key on starts is not enough.
    A newer revision of the same slice hits that key.
    """
    if not reports:
        return
    spans = [claimed_span(report.piece.span, sets_hours=sets_hours) for report in reports]
    stored = UsageReport.objects.filter(
        enrolment__in={report.enrolment.id for report in reports},
        slice_end__gt=min(span.start for span in spans),
        slice_start__lt=max(span.end for span in spans),
    )
    rows: dict[int, list[tuple[Span, str]]] = defaultdict(list)
    for pk, start, end, status in stored.values_list("enrolment", "slice_start", "slice_end", "status"):
        rows[pk].append((Span(start, end), status))
    for report, span in zip(reports, spans, strict=True):
        for other, status in rows[report.enrolment.id]:
            same = other.start == report.piece.span.start
            if span.overlaps(other) and (not same or status in UsageReport.BLOCKING):
                raise StalePlanError


def _supersede(ids: Sequence[int]) -> None:
    """Take back rows that nobody claimed; a claim in between refuses the plan."""
    if not ids:
        return
    never_sent = Q(status__in=(Status.PENDING, Status.LATE)) | Q(status=Status.HELD, half_closed=True)
    taken_back = UsageReport.objects.filter(never_sent, pk__in=ids, first_sent_at=None).update(
        status=Status.SUPERSEDED, next_attempt_at=None
    )
    if taken_back != len(ids):
        raise StalePlanError


def _end_findings(superseded: Sequence[int], *, now: datetime) -> None:
    """Nobody is asked any more about late reports whose place a newer reading took."""
    if superseded:
        rows = UsageReport.objects.filter(pk__in=superseded).select_related("enrolment__meter")
        end_report_findings(rows, now=now, resolution="A newer measurement took its place.")


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
        closes_at=report.outlook.closes_at,
        identifier=report.identifier,
        status=report.status,
        error=report.error,
        half_closed=report.half_closed,
        run=run,
        created_at=now,
    )


def _move_closings(batch: Sequence[EnrolmentPlan]) -> None:
    """Rows that may yet be sent say when their period closes by what is known now."""
    by_instant: dict[datetime, list[int]] = defaultdict(list)
    for one in batch:
        for pk, closes_at in one.closings.items():
            by_instant[closes_at].append(pk)
    for closes_at, ids in by_instant.items():
        UsageReport.objects.filter(pk__in=ids).update(closes_at=closes_at)


def _move_planned_through(batch: Sequence[EnrolmentPlan]) -> None:
    """Move each enrolment's mark forward."""
    by_mark: dict[datetime, list[int]] = defaultdict(list)
    for one in batch:
        if one.planned_through:
            by_mark[one.planned_through].append(one.enrolment.id)
    for mark, ids in by_mark.items():
        Enrolment.objects.filter(pk__in=ids).update(planned_through=mark)


# --- what people are told ----------------------------------------------------------------------------------


def _findings(plan: MeterPlan) -> Iterable[FoundIssue]:
    """Yield one finding per meter and kind for what was stored held, late or refused."""
    by_kind: dict[Finding.Kind, list[PlannedReport]] = defaultdict(list)
    for report in plan.decided:
        if kind := _kind(report):
            by_kind[kind].append(report)
    for kind, word in _WORDS.items():
        if reports := by_kind.get(kind):
            yield FoundIssue(
                kind=kind,
                fingerprint=f"meter:{plan.meter.stripe_id}",
                message=(
                    f"{len(reports)} {word} on {plan.meter.slug}: {reports[0].error} "
                    "Decide on them under Reports."
                ),
                meter_id=plan.meter.pk,
            )


_WORDS = {
    Finding.Kind.BRAKE: "held",
    Finding.Kind.HALF_CLOSED: "held",
    Finding.Kind.LATE: "late",
    Finding.Kind.REJECTED: "refused",
}


def _kind(report: PlannedReport) -> Finding.Kind | None:
    if report.status == Status.HELD:
        return Finding.Kind.HALF_CLOSED if report.half_closed else Finding.Kind.BRAKE
    kinds = {Status.LATE: Finding.Kind.LATE, Status.REJECTED: Finding.Kind.REJECTED}
    return kinds.get(report.status)
