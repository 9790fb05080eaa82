"""Say what moving a key's usage of the open period to another customer comes to. Writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.pricing import Money
from sync.domain.quantities import as_text, exact_sum
from sync.domain.timeline import Span, subtract
from sync.models import Customer, Enrolment, Subject, UsageReport
from sync.operations.find_move_start import MoveStart, check_movable, check_standing, find_move_start
from sync.operations.measure_open_move import KeyMove, MeterMove, SliceMove, measure_open_move
from sync.operations.plan_slices import PlannedReport
from sync.ports import InvalidInput, UsageSource
from sync.queries.amounts import UnitMove, amounts_of, total
from sync.queries.held_units import Asked, held_units
from sync.queries.open_enrolments import OpenEnrolment, open_enrolments

Status = UsageReport.Status
DECIDE = "Report usage and decide on it first."


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceChange:
    """Units of a meter that enter a customer's open invoice, below zero leave it, and their worth."""

    enrolment: Enrolment
    units: Decimal
    amounts: Sequence[Money]
    """One amount per currency; empty where no price is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMove:
    """A move as it was planned: what it changes on invoices, and the plans that store it."""

    key: KeyMove
    start: MoveStart
    until: datetime
    """Up to where usage is measured; what comes later is the new customer's from the beginning."""
    changes: Sequence[InvoiceChange]
    moves: Sequence[MeterMove]
    marks: Mapping[int, tuple[datetime | None, int]]
    """Enrolment of either customer → `planned_through` and `anew`, as the plans were made from them."""
    held: int
    """How many reports of the new customer would wait for a person."""
    unbilled: Sequence[str]
    """What leaves the old customer's invoice and enters none, one sentence each."""


def plan_open_move(
    *, subject: Subject, customer: Customer, source: UsageSource, brake_percent: int, now: datetime
) -> OpenMove:
    """Return what it comes to when the key's usage since the open period began is the customer's.

    The subject is loaded with its customer. One question to OpenMeter per meter. Raises `InvalidInput` where
    it cannot be done without billing something twice, or to nobody, or without a person's decision on
    something else; `SyncError` where OpenMeter does not answer.
    """
    check_movable(subject, customer, now=now)
    found = open_enrolments([subject.customer, customer], now=now)
    start = find_move_start(subject, customer, found, now=now)
    live = [one for one in found if one.billed_after(start.at)]
    check_standing(live, start, now=now)
    key = KeyMove(subject=subject, customer=customer, at=start.at)
    moves = measure_open_move(key=key, live=live, source=source, brake_percent=brake_percent, now=now)
    held = sum(_count_held(move, start.at) for move in moves)
    _check_takers(moves, live, key)
    _check_floors(moves, live, now)
    until = max((one.piece.span.end for move in moves for one in move.slices), default=start.at)
    return OpenMove(
        key=key,
        start=start,
        until=until,
        changes=_changes(moves, live),
        moves=moves,
        marks={one.enrolment.pk: (one.to_plan.planned_through, one.to_plan.anew) for one in found},
        held=held,
        unbilled=list(_unbilled(moves, live, key, until)),
    )


def _changes(moves: Sequence[MeterMove], live: Sequence[OpenEnrolment]) -> list[InvoiceChange]:
    """Return what changes, on top of what the invoices would bill without the move."""
    slices = [one for move in moves for one in move.slices]
    first = [UnitMove(one.enrolment_id, one.piece.event_at, one.missing) for one in slices]
    then = [UnitMove(one.enrolment_id, one.piece.event_at, one.units) for one in slices]
    amounts = amounts_of([*first, *then])[len(first) :]
    changes = [
        InvoiceChange(
            enrolment=one.enrolment,
            units=exact_sum([s.units for s in slices if s.enrolment_id == one.enrolment.pk]),
            amounts=total(
                a for s, a in zip(slices, amounts, strict=True) if s.enrolment_id == one.enrolment.pk
            ),
        )
        for one in live
    ]
    return [change for change in changes if change.units]


# --- what would go wrong -----------------------------------------------------------------------------------


def _count_held(move: MeterMove, at: datetime) -> int:
    """Return how many reports of this plan would be held; raise `InvalidInput` where that is no way.

    What is taken back has to go out with what takes its place, or both customers would be billed.
    """
    for problem in move.plan.problems:
        raise InvalidInput(problem)
    if move.plan.brake:
        msg = f"{move.plan.brake} That is beside what moves: {DECIDE[0].lower()}{DECIDE[1:]}"
        raise InvalidInput(msg)
    planned = [one for one in move.plan.decided if one.piece.span.end > at and one.status != Status.PENDING]
    for report in planned:
        if report.status != Status.HELD or report.target < report.accounted:
            raise InvalidInput(_stops(move, report))
    for one in move.slices:
        if one.units < 0 and one.account.target(one.after) < 0 < one.account.written_off:
            msg = (
                f"Of the usage from {one.piece.span.start:%Y-%m-%d %H:%M} UTC on, "
                f"{as_text(one.account.written_off)} units of {move.meter.slug} were given up by a decision: "
                "they were never billed, so they cannot be taken back. Use Move… from the next hour on."
            )
            raise InvalidInput(msg)
    return len(planned)


def _stops(move: MeterMove, report: PlannedReport) -> str:
    return (
        f"What {move.meter.slug} comes to from {report.piece.span.start:%Y-%m-%d %H:%M} UTC on would wait "
        f"for a person: {report.error} {DECIDE}"
    )


def _check_takers(moves: Sequence[MeterMove], live: Sequence[OpenEnrolment], key: KeyMove) -> None:
    """Refuse where usage leaves an invoice and no meter of the new customer takes it."""
    takers = [one.enrolment.meter for one in live if one.enrolment.customer_id == key.customer.pk]
    for move in moves:
        taken = any(
            meter.openmeter_slug == move.meter.openmeter_slug and meter.filters in ({}, move.meter.filters)
            for meter in takers
        )
        if not taken and any(one.units for one in move.slices):
            msg = (
                f"{key.customer.label} is not billed on {move.meter.slug} now, so what is taken from "
                f"{key.subject.customer.label} would be on no invoice: subscribe them first, or use Move… "
                "from the next hour on."
            )
            raise InvalidInput(msg)


def _check_floors(moves: Sequence[MeterMove], live: Sequence[OpenEnrolment], now: datetime) -> None:
    """Refuse where an open period would fall below zero: Stripe bills that as nothing."""
    slices = [one for move in moves for one in move.slices]
    lowered = [one for one in live if any(s.units < 0 for s in slices if s.enrolment_id == one.enrolment.pk)]
    asked = {
        Asked(one.enrolment.pk, period.span): one
        for one in lowered
        for item in one.to_plan.items
        for period in item.periods
        if period.span.start <= now < period.span.end
    }
    for (where, one), held in zip(asked.items(), held_units(list(asked)), strict=True):
        units = exact_sum([held, *_adds(slices, where)])
        if units < 0:
            msg = (
                f"The open period of {one.enrolment.customer.label} on {one.enrolment.meter.slug} would fall "
                f"to {as_text(units)} units, and Stripe bills what is below zero as nothing: less is billed "
                "in it than would be taken back. Use Move… from the next hour on."
            )
            raise InvalidInput(msg)


def _adds(slices: Sequence[SliceMove], where: Asked) -> Iterator[Decimal]:
    for one in slices:
        inside = where.span.start <= one.piece.event_at < where.span.end
        if one.enrolment_id == where.enrolment_id and inside:
            yield one.missing
            yield one.units


def _unbilled(
    moves: Sequence[MeterMove], live: Sequence[OpenEnrolment], key: KeyMove, until: datetime
) -> Iterator[str]:
    """Yield what the new customer is not billed for: a trial or a pause lies in the stretch."""
    for move in moves:
        both = [one for one in live if one.enrolment.meter_id == move.meter.pk]
        mine = [one for one in both if one.enrolment.customer_id == key.customer.pk]
        lost = -exact_sum([move.units_of(one.enrolment.pk) for one in both])
        billed = sorted(stretch.span for one in mine for stretch in one.stretches)
        if mine and lost > 0 and key.at < until and subtract(Span(key.at, until), billed):
            yield (
                f"{as_text(lost)} units of {move.meter.slug} will be on no invoice: {key.customer.label} was "
                "not billed all of that time (a trial or a pause)."
            )
