"""Measure what a key's move changes, by one answer of OpenMeter read both ways. Writes nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sync.domain.accounts import Account, account_of
from sync.domain.quantities import billed_units, exact_sum
from sync.domain.slices import Slice
from sync.domain.timeline import HOUR, Span
from sync.models import Customer, Meter, Subject, UsageReport
from sync.operations.collect_usage import Collected
from sync.operations.plan_reports import (
    DueMeter,
    MeterPlan,
    PlanningRules,
    due_slices,
    measure_together,
    plan_meter,
)
from sync.ports import UsageSource
from sync.queries.measured_days import attach_rows_within
from sync.queries.open_enrolments import OpenEnrolment
from sync.queries.planning import EnrolmentToPlan, LedgerRow, SubjectSpan, rows_by_slice

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceMove:
    """What a slice comes to in billed units, as the key is linked now (`before`) and once it has moved."""

    enrolment_id: int
    piece: Slice
    before: Decimal
    after: Decimal
    account: Account
    """What Stripe was told of it or will be, and what was written off."""

    @property
    def units(self) -> Decimal:
        """What the move adds to the slice; below zero it takes away."""
        return self.after - self.before

    @property
    def missing(self) -> Decimal:
        """What reporting would add to the slice without the move."""
        return self.account.target(self.before) - self.account.accounted


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterMove:
    """What the move changes on one meter, and the plan that stores it; `enrolments` are as they will be."""

    meter: Meter
    slices: Sequence[SliceMove]
    plan: MeterPlan

    def units_of(self, enrolment_id: int) -> Decimal:
        """Return what the move adds to an enrolment; below zero it takes away."""
        return exact_sum([one.units for one in self.slices if one.enrolment_id == enrolment_id])


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMove:
    """Which key goes to whom, and from when on."""

    subject: Subject
    customer: Customer
    at: datetime


def measure_open_move(
    *,
    key: KeyMove,
    live: Sequence[OpenEnrolment],
    source: UsageSource,
    brake_percent: int,
    now: datetime,
) -> list[MeterMove]:
    """Return what the move changes on each meter, planned as any run would plan it once the key has moved.

    OpenMeter is asked once per meter of its own, for all keys of both customers; both readings of that
    answer are compared, so that nothing but the move makes a difference. The units that leave are ordered:
    the brake stops no more than what would be lowered beyond them. Raises `SyncError`.
    """
    rules = PlanningRules(tail=timedelta(0), brake_percent=brake_percent)
    together: dict[str, list[Meter]] = defaultdict(list)
    for meter in dict.fromkeys(one.enrolment.meter for one in live):
        together[meter.openmeter_slug].append(meter)
    moved = {one.enrolment.pk: _moved(one, key) for one in live}
    if moved:
        begin = min(one.planned_through or key.at for one in moved.values())
        attach_rows_within(list(moved.values()), Span(begin, now + HOUR))
    found: list[MeterMove] = []
    for meters in together.values():
        due = [_due(meter, live, moved, rules, now) for meter in meters]
        collected = measure_together(
            due=[_read_both_ways(one, live) for one in due],
            others=[one.filters for one in _sharing(meters) if one not in meters],
            source=source,
            rules=rules,
            now=now,
            on_answer=lambda: None,
        )
        found += [_planned(one, collected, rules, key, live, now) for one in due]
    return found


def _moved(one: OpenEnrolment, key: KeyMove) -> EnrolmentToPlan:
    """Return the enrolment as it will be: the key elsewhere, and all since then to be measured anew."""
    through = one.to_plan.planned_through
    return replace(
        one.to_plan,
        subjects=_subjects(one, key),
        # Where nothing was measured yet only this stretch is planned here; the mark stays as it is.
        planned_through=min(through, key.at) if through else key.at,
        anew=one.to_plan.anew + 1,
        rows=[],
    )


def _subjects(one: OpenEnrolment, key: KeyMove) -> list[SubjectSpan]:
    name = key.subject.key
    if one.enrolment.customer_id == key.customer.pk:
        return [*one.to_plan.subjects, SubjectSpan(key=name, valid_from=key.at, valid_to=None)]
    return [
        replace(span, valid_to=key.at) if (span.key, span.valid_to) == (name, None) else span
        for span in one.to_plan.subjects
    ]


def _due(
    meter: Meter,
    live: Sequence[OpenEnrolment],
    moved: dict[int, EnrolmentToPlan],
    rules: PlanningRules,
    now: datetime,
) -> DueMeter:
    mine = [moved[one.enrolment.pk] for one in live if one.enrolment.meter_id == meter.pk]
    return due_slices(meter=meter, enrolments=mine, rules=rules, now=now)


def _read_both_ways(due: DueMeter, live: Sequence[OpenEnrolment]) -> DueMeter:
    """Return the same slices once more, under the enrolments' ids below zero, with the keys of today."""
    today = {one.enrolment.pk: one.to_plan.subjects for one in live}
    shadows = [(replace(one, id=-one.id, subjects=today[one.id]), slices) for one, slices in due.enrolments]
    return replace(due, enrolments=[*due.enrolments, *shadows])


def _sharing(meters: Sequence[Meter]) -> list[Meter]:
    rows = Meter.objects.filter(openmeter_slug=meters[0].openmeter_slug)
    return [one for one in rows if not one.obstacle]


def _planned(
    due: DueMeter,
    collected: Collected,
    rules: PlanningRules,
    key: KeyMove,
    live: Sequence[OpenEnrolment],
    now: datetime,
) -> MeterMove:
    slices = [
        _slice_move(one, number, piece, rows.get(piece.span.start, ()), due.meter, collected)
        for one, pieces in due.enrolments
        for rows in (rows_by_slice(one.rows),)
        for number, piece in enumerate(pieces)
        if piece.span.end > key.at
    ]
    ordered = exact_sum([-one.units for one in slices if one.units < 0])
    plan = plan_meter(due=due, collected=collected, rules=replace(rules, ordered=ordered), now=now)
    unmeasured = {one.enrolment.pk for one in live if one.to_plan.planned_through is None}
    for planned in plan.enrolments:
        if planned.enrolment.id in unmeasured:
            planned.enrolment.planned_through = planned.planned_through = None
    return MeterMove(meter=due.meter, slices=slices, plan=plan)


def _slice_move(
    one: EnrolmentToPlan,
    number: int,
    piece: Slice,
    rows: Sequence[LedgerRow],
    meter: Meter,
    collected: Collected,
) -> SliceMove:
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    carried = standing[-1].carried if standing else NOTHING

    def units(enrolment_id: int) -> Decimal:
        measured = collected.measured(enrolment_id, number)
        return billed_units(measured, scale=meter.scale, decimals=meter.decimals) + carried

    return SliceMove(
        enrolment_id=one.id,
        piece=piece,
        before=units(-one.id),
        after=units(one.id),
        account=account_of(standing, sets_hours=meter.sets_hours),
    )
