"""Say where a late report's usage could be carried, and what that would come to. Writes nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db.models import F

from sync.domain.accounts import account_of
from sync.domain.closings import Outlook, outlook, price_changed_later
from sync.domain.pricing import Money
from sync.domain.quantities import as_text, exact_sum
from sync.domain.settling import MARGIN
from sync.domain.slices import Slice
from sync.domain.timeline import Span
from sync.models import BillingPeriod, UsageReport
from sync.operations.measured_slices import measured_slices
from sync.ports import InvalidInput
from sync.queries.amounts import UnitMove, amounts_of
from sync.queries.held_units import Asked, held_units
from sync.queries.item_prices import span_at, swapped_items
from sync.queries.planning import EnrolmentToPlan

Status = UsageReport.Status
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The slice of an open period that takes late usage along."""

    piece: Slice
    outlook: Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryPlan:
    """What carrying a late report forward comes to, in billed units; `rest` stays late.

    A rest is left where the open period would fall below zero, which Stripe bills as nothing.
    """

    report: UsageReport
    target: Target
    carried: Decimal
    rest: Decimal
    amounts_then: Sequence[Money] = ()
    """What all of it would have added to the bill of its own period."""
    amounts_now: Sequence[Money] = ()
    """What is carried adds to the bill of the open period; empty where no price is known."""

    @property
    def amounts_agree(self) -> bool:
        """Whether the customer pays exactly what they would have paid in time."""
        return bool(self.amounts_then) and not self.rest and self.amounts_then == self.amounts_now


def plan_carry(report: UsageReport, *, now: datetime) -> CarryPlan:
    """Return where a late report's usage could be carried.

    The report is loaded with enrolment, meter and customer. Raises `InvalidInput` where it is not late, or
    where nothing is open that could take it.
    """
    (plan,) = plan_carries([report], now=now)
    if isinstance(plan, InvalidInput):
        raise plan
    return plan


def plan_carries(reports: Sequence[UsageReport], *, now: datetime) -> list[CarryPlan | InvalidInput]:
    """Return for each report, in their order, what `plan_carry` returns or raises.

    One after the other: what one takes off an open period is gone for the next. A few queries per meter.
    """
    targets, lacking = _targets(reports, now), _missing_units(reports)
    floors = _Floors(
        [
            (one, targets[one.enrolment_id])
            for one in reports
            if targets[one.enrolment_id] and lacking[one.pk] < 0
        ]
    )
    found: list[CarryPlan | InvalidInput] = []
    moves: list[UnitMove] = []
    for report in reports:
        target, units = targets[report.enrolment_id], lacking[report.pk]
        carried = floors.take(report, units) if target else NOTHING
        if target is None or report.status != Status.LATE or report.compared_at is None or not carried:
            found.append(_why_not(report, target, units))
            continue
        plan = CarryPlan(report=report, target=target, carried=carried, rest=units - carried)
        found.append(plan)
        moves += [
            UnitMove(report.enrolment_id, report.event_at, units),
            UnitMove(report.enrolment_id, target.piece.event_at, carried),
        ]
    amounts = iter(amounts_of(moves))
    return [
        replace(plan, amounts_then=next(amounts), amounts_now=next(amounts))
        if isinstance(plan, CarryPlan)
        else plan
        for plan in found
    ]


def _why_not(report: UsageReport, target: Target | None, units: Decimal) -> InvalidInput:
    if report.status != Status.LATE:
        return InvalidInput(
            f"Report {report.pk} is {report.status_word}: only late reports are carried forward."
        )
    if report.compared_at is None:
        return InvalidInput(
            f"Report {report.pk} cannot be carried forward yet: whether Stripe holds its usage already is "
            "not known. The next run finds out, once whatever else of this customer is held is decided on."
        )
    if target:
        return InvalidInput(
            f"Report {report.pk} takes {as_text(-units)} units away, and the open period holds nothing that "
            "they could be taken off: give a credit note in Stripe and dismiss it, or carry it forward later."
        )
    enrolment = report.enrolment
    return InvalidInput(
        f"Report {report.pk} cannot be carried forward now: no measured hour of {enrolment.customer.label} "
        f"on {enrolment.meter.slug} lies in a billing period that is open for another quarter of an hour "
        "and neither paused nor cut short by an end, or reporting stands still. Try again once the customer "
        "is billed again, or add an invoice item in Stripe and dismiss it."
    )


def _missing_units(reports: Sequence[UsageReport]) -> dict[int, Decimal]:
    """Return what each report says that Stripe lacks of its slice, below zero what Stripe has too much.

    Where one value stands for an hour that is what no report before it speaks for.
    """
    hours = [one for one in reports if one.enrolment.meter.sets_hours]
    rows = UsageReport.objects.filter(
        enrolment__in={one.enrolment_id for one in hours}, slice_start__in={one.slice_start for one in hours}
    )
    others: dict[tuple[int, datetime], list[UsageReport]] = defaultdict(list)
    for row in rows.order_by("revision") if hours else ():
        if row.status not in UsageReport.WITHDRAWN:
            others[row.enrolment_id, row.slice_start].append(row)
    found = {one.pk: one.value for one in reports}
    for one in hours:
        before = [row for row in others[one.enrolment_id, one.slice_start] if row.revision < one.revision]
        account = account_of(before, sets_hours=True)
        found[one.pk] = exact_sum([one.quantity, -account.accounted, -account.written_off])
    return found


def _targets(reports: Sequence[UsageReport], now: datetime) -> dict[int, Target | None]:
    """Return for each enrolment the first slice of the period that is open longest.

    It is the same one whenever it is asked for: a ledger that was put back and carries again gives the report
    the name that Stripe knows, or has it compared with Stripe's totals, as the slice is old.
    """
    found: dict[int, Target | None] = {one.enrolment_id: None for one in reports}
    for one, slices in measured_slices([report.enrolment for report in reports], now=now):
        fit = [_fit(piece, one, now) for piece in slices]
        found[one.id] = max(filter(None, fit), key=lambda target: target.outlook.closes_at, default=None)
    return found


def _fit(piece: Slice, one: EnrolmentToPlan, now: datetime) -> Target | None:
    seen = outlook(piece.closings, event_at=piece.event_at, now=now)
    is_open = not seen.is_late and not seen.is_half_closed and seen.closes_at - MARGIN > now
    billed_by = {closing.item for closing in piece.closings}
    goes_on = all(item.goes_on(piece.event_at, now=now) for item in one.items if item.id in billed_by)
    # What is sent of a slice from before a change of price has the later price, and a line that may be short.
    fits = is_open and goes_on and not price_changed_later(piece.closings)
    return Target(piece=piece, outlook=seen) if fits else None


class _Floors:
    """What open periods still hold that units could be taken off, shared out in order."""

    def __init__(self, negative: Sequence[tuple[UsageReport, Target | None]]) -> None:
        self._left = self._held(
            {report.enrolment_id: (report, target) for report, target in negative if target}
        )

    def take(self, report: UsageReport, units: Decimal) -> Decimal:
        """Return as many of the units as leave every open period at zero or more."""
        if units >= 0:
            return units
        left = self._left.get(report.enrolment_id, NOTHING)
        carried = max(units, -left)
        self._left[report.enrolment_id] = left + carried
        return carried

    @staticmethod
    def _held(by_enrolment: Mapping[int, tuple[UsageReport, Target]]) -> dict[int, Decimal]:
        if not by_enrolment:
            return {}
        instants = [target.piece.event_at for _report, target in by_enrolment.values()]
        periods = list(
            BillingPeriod.objects.filter(
                item__subscription__customer__enrolments__in=by_enrolment,
                item__meter=F("item__subscription__customer__enrolments__meter"),
                start__lte=max(instants),
                end__gt=min(instants),
            ).values_list("item__subscription__customer__enrolments", "item", "start", "end")
        )
        swapped = swapped_items(item for _pk, item, _start, _end in periods)
        asked = [
            # What was billed at an earlier price is on a line of its own.
            Asked(pk, span_at(at, Span(start, end), swapped.get(item, ())))
            for pk, item, start, end in periods
            if start <= (at := by_enrolment[pk][1].piece.event_at) < end
        ]
        held: dict[int, list[Decimal]] = defaultdict(list)
        for one, units in zip(asked, held_units(asked), strict=True):
            held[one.enrolment_id].append(units)
        return {pk: max(min(units), NOTHING) for pk, units in held.items()}
