"""What a report would send, planned as the run would plan it, before anybody confirms it. Writes nothing."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from sync.domain.closings import is_late
from sync.domain.pricing import Money
from sync.domain.quantities import exact_sum
from sync.domain.stake import Movement, Stake, stake_of
from sync.models import Enrolment, UsageReport
from sync.operations.confirm_plan import confirmation_of
from sync.operations.confirmed_reports import shown_with
from sync.operations.plan_meters import Remarks, plan_meters
from sync.operations.plan_reports import MeterPlan
from sync.operations.report_request import ReportRequest, ReportRules, check_scope
from sync.ports import UsageSource
from sync.queries.amounts import UnitMove, amounts_of, total
from sync.queries.pauses import unpaused
from sync.queries.planning import Scope, enrolments_in
from sync.queries.report_lines import held_before

SHOWN = 100
"""Lines that a person is shown; the totals speak for all of them."""

Status = UsageReport.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewLine:
    """`units` would go to Stripe for a customer's usage of a meter in `[start, end)`."""

    customer: str
    meter: str
    start: datetime
    end: datetime
    units: Decimal
    amounts: Sequence[Money]
    """What they add to the customer's bills, one amount per currency; empty where no price is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPreview:
    """What a run would send if it planned as of this instant."""

    as_of: datetime
    confirmed: Mapping[str, str]
    """What a person confirms with it: see `confirmation_of`."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What is due beside the plan and the money of both: see `shown_with`."""
    lines: Sequence[PreviewLine] = ()
    """The largest amounts first, at most `SHOWN`."""
    customers: int = 0
    units: Mapping[str, Decimal] = field(default_factory=dict)
    """Meter's name → units of all lines."""
    amounts: Sequence[Money] = ()
    """The money of all lines, one amount per currency."""
    stake: Stake = field(default_factory=Stake)
    """What all reports move, before lines set ups and downs off against each other."""
    more: int = 0
    """How many lines there are beside those shown."""
    due: int = 0
    """How many of the reports were planned before and only wait to be sent."""
    in_doubt: int = 0
    """How many reports may have reached Stripe already, and are sent again under their names."""
    aside: Mapping[str, int] = field(default_factory=dict)
    """Status → how many new reports would wait for a person instead of being sent."""
    errors: Sequence[str] = ()
    notes: Sequence[str] = ()
    standing: bool = False
    """Whether everything that was asked for is paused."""
    nobody: bool = False
    """Whether nobody in scope is on any meter."""

    @property
    def does_something(self) -> bool:
        """Whether a run would send or keep anything."""
        return bool(self.lines or self.aside)


@dataclass(frozen=True, slots=True)
class _Move:
    """Units of one report: of whom, of what, from when to when."""

    enrolment_id: int
    start: datetime
    end: datetime
    at: datetime
    units: Decimal


def preview_report(
    *, scope: Scope, source: UsageSource, rules: ReportRules, now: datetime, as_if_over: int = 0
) -> ReportPreview:
    """Return what a run of this scope would send if it planned now; nothing is written.

    `as_if_over` is a pause that is not minded: then this is what would be sent if it were resumed.

    OpenMeter is asked exactly as the run asks it. What was planned before and waits to be sent is part of
    it. Raises `InvalidInput` for a scope that the console does not know.
    """
    check_scope(scope)
    remarks = Remarks()
    plans = list(
        plan_meters(
            request=ReportRequest(scope=scope, as_of=now, as_if_over=as_if_over),
            source=source,
            rules=rules,
            clock=lambda: now,
            remarks=remarks,
        )
    )
    superseded = {pk for plan in plans for one in plan.enrolments for pk in one.superseded}
    superseded |= {report.stored.id for plan in plans for report in plan.decided if report.stored}
    pending = _pending(scope, as_if_over)
    waiting = [(row, move) for row, move in pending if row.pk not in superseded]
    due = [move for row, move in waiting if not _comes_too_late(row, now)]
    priced = _priced([*due, *_planned(plans)], without=[move for _, move in pending])
    known = _known(priced)
    lines, units, customers = _lines(priced, known)
    aside = Counter(report.status.value for plan in plans for report in plan.decided)
    aside.pop(Status.PENDING.value, None)
    if too_late := len(waiting) - len(due):
        aside[Status.LATE.value] += too_late
    enrolments = enrolments_in(scope)
    in_doubt = _in_doubt(scope, as_if_over)
    amounts = total([amounts for _, amounts in priced])
    return ReportPreview(
        as_of=now,
        confirmed=confirmation_of(plans),
        shown=shown_with(
            due=[*(row.pk for row, _ in waiting), *in_doubt], units=_units(waiting, now), amounts=amounts
        ),
        lines=lines[:SHOWN],
        more=max(0, len(lines) - SHOWN),
        customers=customers,
        units=units,
        amounts=amounts,
        stake=stake_of(
            Movement(known[move.enrolment_id].meter.slug, move.units, amounts) for move, amounts in priced
        ),
        due=len(due),
        in_doubt=len(in_doubt),
        aside=dict(aside),
        errors=[*remarks.errors, *(problem for plan in plans for problem in plan.problems)],
        notes=remarks.notes,
        standing=enrolments.exists() and not unpaused(enrolments, as_if_over=as_if_over).exists(),
        nobody=not enrolments.exists(),
    )


def _comes_too_late(row: UsageReport, now: datetime) -> bool:
    return not row.maybe_arrived and is_late(closes_at=row.closes_at, event_at=row.event_at, now=now)


def _units(waiting: Sequence[tuple[UsageReport, _Move]], now: datetime) -> dict[str, Decimal]:
    """Return the units of what was planned before and will be sent, by meter."""
    by_meter: dict[str, list[Decimal]] = defaultdict(list)
    for row, move in waiting:
        if not _comes_too_late(row, now):
            by_meter[row.enrolment.meter.stripe_id].append(move.units)
    return {meter: exact_sum(units) for meter, units in by_meter.items()}


def _in_doubt(scope: Scope, as_if_over: int) -> list[int]:
    """Return the reports that an earlier run sent without learning whether they arrived."""
    open_calls = Q(status=Status.SENDING) | Q(status=Status.UNKNOWN, next_attempt_at__isnull=False)
    return list(
        UsageReport.objects.filter(open_calls, enrolment__in=_free(scope, as_if_over)).values_list(
            "pk", flat=True
        )
    )


def _free(scope: Scope, as_if_over: int) -> QuerySet[Enrolment]:
    return unpaused(enrolments_in(scope).filter(meter__conflict=""), as_if_over=as_if_over)


def _planned(plans: Sequence[MeterPlan]) -> Iterator[_Move]:
    for plan in plans:
        for report in plan.decided:
            if report.status == Status.PENDING:
                span = report.piece.span
                units = report.target - report.accounted
                yield _Move(report.enrolment.id, span.start, span.end, report.piece.event_at, units)


def _pending(scope: Scope, as_if_over: int) -> list[tuple[UsageReport, _Move]]:
    """Return what was planned before and waits to be sent, revisions of a slice in order."""
    found = UsageReport.objects.filter(status=Status.PENDING, enrolment__in=_free(scope, as_if_over))
    rows = list(found.select_related("enrolment__meter").order_by("enrolment", "slice_start", "revision"))
    before = held_before([row for row in rows if row.enrolment.meter.sets_hours])
    told: dict[tuple[int, datetime], Decimal] = {}
    moves = []
    for row in rows:
        slice_of, units = (row.enrolment_id, row.slice_start), row.value
        if row.enrolment.meter.sets_hours:
            units -= told.get(slice_of, before.get(row.pk, Decimal(0)))
            told[slice_of] = row.value
        move = _Move(row.enrolment_id, row.slice_start, row.slice_end, row.event_at, units)
        moves.append((row, move))
    return moves


def _priced(moves: Sequence[_Move], *, without: Sequence[_Move]) -> list[tuple[_Move, Sequence[Money]]]:
    """Return each move with what it adds to the bills, on top of what Stripe holds but for some moves.

    The ledger counts what is pending as held, so that is first taken off again.
    """
    off = [UnitMove(move.enrolment_id, move.at, -move.units) for move in without]
    on = [UnitMove(move.enrolment_id, move.at, move.units) for move in moves]
    return list(zip(moves, amounts_of([*off, *on])[len(off) :], strict=True))


def _known(priced: Sequence[tuple[_Move, Sequence[Money]]]) -> dict[int, Enrolment]:
    """Return the enrolments that something moves of, with customer and meter."""
    known: dict[int, Enrolment] = {}
    ids = sorted({move.enrolment_id for move, _ in priced})
    for first in range(0, len(ids), 500):
        chosen = Enrolment.objects.filter(pk__in=ids[first : first + 500])
        known |= {one.pk: one for one in chosen.select_related("customer", "meter")}
    return known


def _lines(
    priced: Sequence[tuple[_Move, Sequence[Money]]], known: Mapping[int, Enrolment]
) -> tuple[list[PreviewLine], dict[str, Decimal], int]:
    """Return a line per customer and meter, dearest first; units by meter; and how many customers."""
    grouped: dict[int, list[tuple[_Move, Sequence[Money]]]] = defaultdict(list)
    for move, amounts in priced:
        grouped[move.enrolment_id].append((move, amounts))
    lines: list[PreviewLine] = []
    by_meter: dict[str, list[Decimal]] = defaultdict(list)
    for pk, parts in grouped.items():
        one = known[pk]
        units = exact_sum([move.units for move, _ in parts])
        by_meter[one.meter.slug].append(units)
        lines.append(
            PreviewLine(
                customer=one.customer.name or one.customer.stripe_id,
                meter=one.meter.slug,
                start=min(move.start for move, _ in parts),
                end=max(move.end for move, _ in parts),
                units=units,
                amounts=total([amounts for _, amounts in parts]),
            )
        )
    lines.sort(key=lambda line: (-_weight(line), line.customer, line.meter))
    customers = len({one.customer_id for one in known.values()})
    return lines, {meter: exact_sum(units) for meter, units in sorted(by_meter.items())}, customers


def _weight(line: PreviewLine) -> Decimal:
    return max((abs(amount.major) for amount in line.amounts), default=Decimal(0))
