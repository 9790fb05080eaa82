"""Compare what OpenMeter, the ledger and Stripe say of a meter's days, and explain each difference."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sync.domain.comparison import Comparison
from sync.domain.quantities import as_text, billed_units, exact_add, exact_sum
from sync.domain.reconciliation import Cause
from sync.domain.summaries import SummarySource
from sync.domain.timeline import DAY, Span, floor_to
from sync.models import Enrolment, Meter
from sync.operations.compare_days import ComparedDay, Totals, compare_days
from sync.operations.compare_with_stripe import Unreadable, Wanted, compare_with_stripe
from sync.ports import UsageSource
from sync.queries.ledger_days import LedgerDay, ledger_days
from sync.queries.planning import EnrolmentToPlan, Scope, enrolments_to_plan
from sync.queries.silent_customers import living_items
from sync.queries.unbilled_rules import rules_of_days
from sync.queries.unowned_usage import customers_billed_elsewhere, unowned_usage

BATCH = 200
"""Enrolments whose ledger rows and Stripe's totals are in memory at once."""
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A difference: units that the later side lacks (negative: has more), whose, when and why."""

    cause: Cause
    units: Decimal
    customer_id: int | None = None
    subject: str = ""
    day: datetime | None = None
    period_id: int | None = None
    detail: str = ""


@dataclass(slots=True)
class Sides:
    """What a day comes to on each side, of all customers; `held` is None where Stripe was not asked."""

    used: Decimal = NOTHING
    measured: Decimal = NOTHING
    told: Decimal = NOTHING
    held: Decimal | None = None

    def add(self, *, used: Decimal, measured: Decimal, told: Decimal, held: Decimal | None) -> None:
        """Add one customer's day."""
        self.used, self.measured = exact_add(self.used, used), exact_add(self.measured, measured)
        self.told = exact_add(self.told, told)
        if held is not None:
            self.held = exact_add(self.held or NOTHING, held)


@dataclass(slots=True, kw_only=True)
class ReconciledMeter:
    """What came of one meter. `problem` says why it is not whole, or is ""."""

    meter: Meter
    days: dict[datetime, Sides] = field(default_factory=lambda: defaultdict(Sides))
    found: list[Found] = field(default_factory=list)
    compared: int = 0
    """How many customers Stripe was asked about."""
    stripe_problem: str = ""


def reconcile_meter(
    *,
    meter: Meter,
    scope: Scope,
    span: Span,
    openmeter: UsageSource,
    stripe: SummarySource,
    clock: Callable[[], datetime],
    every_customer: bool,
    progress: Callable[[int, int], None],
) -> ReconciledMeter:
    """Return what the meter's whole UTC days in `span` come to on all sides; nothing is written.

    Stripe is asked about customers who used something or have reports, once for every 35 days or so; with
    `every_customer` about all. Raises `SyncError` where OpenMeter does not answer, and whatever `progress`
    raises. Where Stripe does not, the rest is without its side.
    """
    now, result = clock(), ReconciledMeter(meter=meter)
    enrolments = enrolments_to_plan(meter, scope=scope, since=now, now=now, paused_too=True)
    used: dict[int, list[ComparedDay]] = defaultdict(list)
    unowned: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for chunk in compare_days(
        meter=meter,
        enrolments=enrolments,
        source=openmeter,
        since=span.start,
        until=span.end,
        everybody=not scope.customer,
        on_answer=lambda: progress(0, len(enrolments)),
    ):
        for day in chunk.days:
            used[day.enrolment.id].append(day)
        for subject, days in chunk.unowned.items():
            unowned[subject] |= days
    for first in range(0, len(enrolments), BATCH):
        progress(first, len(enrolments))
        _add_batch(result, enrolments[first : first + BATCH], used, span, stripe, clock, every_customer)
    if not scope.customer and living_items().filter(meter=meter).exists():
        result.found += _unowned(meter, unowned)
    elsewhere = customers_billed_elsewhere(meter)
    result.found = [
        one
        for one in result.found
        # What another definition of the meter measures is billed by that one.
        if not (one.cause is Cause.NO_SUBSCRIPTION and one.customer_id in elsewhere)
    ]
    return result


def _add_batch(
    result: ReconciledMeter,
    batch: Sequence[EnrolmentToPlan],
    used: Mapping[int, Sequence[ComparedDay]],
    span: Span,
    stripe: SummarySource,
    clock: Callable[[], datetime],
    every_customer: bool,  # noqa: FBT001 - private
) -> None:
    ids = [one.id for one in batch]
    ledger = ledger_days(result.meter, ids, span)
    reported = {pk for pk, _day in ledger}
    rows = Enrolment.objects.filter(pk__in=ids).select_related("customer", "meter").order_by("pk")
    by_id = {row.pk: row for row in rows}
    asked = [row for row in by_id.values() if every_customer or row.pk in reported or used.get(row.pk)]
    held = _held(result, asked, span, stripe, clock)
    outside = [day for one in batch for day in used.get(one.id, ()) if _is_outside(day)]
    rules = rules_of_days({by_id[day.enrolment.id].customer_id for day in outside})
    for one in batch:
        customer = by_id[one.id].customer_id
        days = {day.span.start: day for day in used.get(one.id, ())}
        mine = held.get(one.id, {})
        starts = {*days, *mine, *(start for pk, start in ledger if pk == one.id)}
        for start in sorted(starts):
            day, known = days.get(start), ledger.get((one.id, start), LedgerDay())
            result.found += _explain(day, known, mine.get(start), customer, start, result.meter, rules)
            total = exact_sum(list(known.lacking.values()))
            result.days[start].add(
                used=_units(day.used, result.meter) if day else NOTHING,
                measured=known.measured,
                told=exact_add(known.measured, -total),
                held=mine[start][0] if start in mine else None,
            )


def _units(measured: Decimal, meter: Meter) -> Decimal:
    return billed_units(measured, scale=meter.scale, decimals=meter.decimals)


def _is_outside(day: ComparedDay) -> bool:
    return day.differs and day.is_cut and day.used > day.measured


Held = tuple[Decimal, Decimal]
"""What Stripe holds on a day, and what it holds beside what it was told (less than nothing: it lacks it)."""


def _held(
    result: ReconciledMeter,
    asked: Sequence[Enrolment],
    span: Span,
    stripe: SummarySource,
    clock: Callable[[], datetime],
) -> dict[int, dict[datetime, Held]]:
    """Return what Stripe holds, by enrolment and day, as far as it answers."""
    found: dict[int, dict[datetime, Held]] = {}
    if result.stripe_problem:
        return found
    wanted = [Wanted(enrolment=one, span=span) for one in asked]
    for page in compare_with_stripe(wanted, source=stripe, clock=clock):
        for one in page:
            if isinstance(one, Unreadable):
                result.stripe_problem = str(one.error)
            else:
                found[one.enrolment_id] = _by_day(one)
                result.compared += 1
    return found


def _by_day(one: Comparison) -> dict[datetime, Held]:
    found: dict[datetime, Held] = {}
    for cell in one.cells:
        day = floor_to(cell.span.start, DAY)
        units, beside = found.get(day, (NOTHING, NOTHING))
        more = cell.unexplained
        if cell.units or more or day in found:
            found[day] = exact_add(units, cell.units), exact_add(beside, more)
    return found


def _explain(
    day: ComparedDay | None,
    known: LedgerDay,
    held: Held | None,
    customer: int,
    start: datetime,
    meter: Meter,
    rules: Callable[[int, Span], Cause],
) -> Iterator[Found]:
    """Yield every difference of one customer's day, from OpenMeter on to Stripe."""

    def found(cause: Cause, units: Decimal) -> Found:
        return Found(cause=cause, units=units, customer_id=customer, day=start)

    if day and day.differs:
        units = exact_add(_units(day.used, meter), -known.measured)
        if _is_outside(day):
            ours = day.enrolment.report_from
            cause = Cause.NOT_OURS if ours and day.span.start < ours else rules(customer, day.span)
        else:
            cause = Cause.CHANGED
        if units:
            yield found(cause, units)
    for cause, units in known.lacking.items():
        if units:
            yield found(cause, units)
    beside = exact_add(held[1], -known.aside) if held else NOTHING
    if beside:
        yield found(Cause.SURPLUS if beside > 0 else Cause.MISSING, -beside)


def _unowned(meter: Meter, unowned: Totals) -> Iterator[Found]:
    for one in unowned_usage(unowned):
        if units := _units(one.used, meter):
            yield Found(
                cause=Cause.NO_SUBSCRIPTION if one.customer_id else Cause.NO_CUSTOMER,
                units=units,
                customer_id=one.customer_id,
                subject=one.subject,
                detail=f"{as_text(units)} units on {one.days} days from {one.first:%Y-%m-%d} on",
            )
