"""Why the usage of a billing period was billed, or was not."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import groupby

from django.db.models import QuerySet

from sync.domain.accounts import Counts
from sync.domain.quantities import exact_add, exact_sum
from sync.domain.shares import shares
from sync.domain.timeline import DAY, Span
from sync.domain.unbilled import Unbilled
from sync.models import BillingPeriod, Enrolment, UsageReport
from sync.queries.billed_periods import BilledPeriod, billed_periods
from sync.queries.day_sums import Day, DayState, days_of_enrolment
from sync.queries.item_prices import PricePart, price_parts
from sync.queries.unbilled_time import unbilled_time

Status = UsageReport.Status
NOTHING = Decimal(0)
ON_ITS_WAY = Status.PENDING
"""Stands for everything that will be sent without anybody's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What reports of one status add to what was used; pending stands for all that is on its way."""

    status: UsageReport.Status
    reports: int
    units: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodStory:
    """A billing period of an item with everything that decided about its bill.

    Without an enrolment the item's price is not billed by meter events. Units are billed units.
    """

    line: BilledPeriod
    enrolment: Enrolment | None
    measured: Decimal = NOTHING
    """What was used, as last measured, and what was carried into it."""
    taken_along: Decimal = NOTHING
    """What of that was carried forward from periods that had closed; below zero what is taken off."""
    parts: Sequence[Part] = ()
    days: Sequence[Day] = ()
    unbilled: Sequence[Unbilled] = ()
    day: date | None = None
    """The UTC day whose slices are shown."""
    prices: Sequence[PricePart] = ()
    """The prices that the item had in the period, in order, if it had several."""
    slices: Sequence[Sequence[UsageReport]] = ()
    """The revisions of each slice of that day, in order, the calls that did not deliver them loaded."""

    @property
    def delivered(self) -> Decimal:
        """What Stripe has."""
        return self._units(Status.DELIVERED)

    @property
    def is_coming(self) -> Decimal:
        """What will be sent without anybody's doing."""
        return self._units(ON_ITS_WAY)

    @property
    def waits(self) -> Decimal:
        """What waits for a person."""
        return exact_sum([part.units for part in self.parts if part.status in WAITS_FOR_A_PERSON])

    @property
    def given_up(self) -> Decimal:
        """What people decided not to bill in this period."""
        return exact_add(self._units(Status.DISMISSED), self._units(Status.CARRIED))

    def _units(self, status: UsageReport.Status) -> Decimal:
        return exact_sum([part.units for part in self.parts if part.status == status])


WAITS_FOR_A_PERSON = (Status.HELD, Status.LATE, Status.REJECTED, Status.UNKNOWN)


def period_story(
    period: BillingPeriod, *, day: date | None, now: datetime, meter: int | None = None
) -> PeriodStory:
    """Return the story, with the slices of one UTC day; a constant number of queries.

    Where the item changed its meter it is told of one: that which is asked for (a local id), else the last.

    The period is loaded with its item, the item's subscription and customer, price and meter. Without a
    day, or with one on which nothing was used, it is the last day with something that waits, else the last.
    """
    (line,) = billed_periods([period], now=now)
    (parts,) = price_parts([(period.item, Span(period.start, period.end))])
    prices = parts if len(parts) > 1 else ()
    enrolment = _enrolment(period, parts, meter)
    if enrolment is None:
        return PeriodStory(line=line, enrolment=None, prices=prices)
    reports = UsageReport.objects.filter(
        enrolment=enrolment, event_at__gte=period.start, event_at__lt=period.end
    )
    measured, taken_along, shares_of = _sum_up(reports.order_by("slice_start", "revision"), enrolment)
    days = days_of_enrolment(
        enrolment.pk, Span(period.start, period.end), sets_hours=enrolment.meter.sets_hours
    )
    used = [one for one in days if one.state is not DayState.NOTHING]
    shown = day if day in {one.day for one in used} else _most_telling(used)
    return PeriodStory(
        line=line,
        enrolment=enrolment,
        measured=measured,
        taken_along=taken_along,
        parts=shares_of,
        prices=prices,
        days=[one for one in days if one.day <= now.astimezone(UTC).date()],
        unbilled=unbilled_time(period, enrolment, now=now),
        day=shown,
        slices=_slices(reports, shown) if shown else (),
    )


def _enrolment(period: BillingPeriod, parts: Sequence[PricePart], meter: int | None) -> Enrolment | None:
    meters = [part.meter_id for part in parts if part.meter_id]
    if not meters:
        return None
    wanted = meter if meter in meters else meters[-1]
    rows = Enrolment.objects.filter(customer=period.item.subscription.customer_id, meter=wanted)
    return rows.select_related("meter", "customer").first()


def _sum_up(rows: Iterable[UsageReport], enrolment: Enrolment) -> tuple[Decimal, Decimal, list[Part]]:
    """Return what was used, what of it was carried along, and which reports speak for which part."""
    measured, taken_along, counts = NOTHING, NOTHING, defaultdict[Status, int](int)
    units: dict[Status, Decimal] = defaultdict(lambda: NOTHING)
    for _start, found in groupby(rows, key=lambda row: row.slice_start):
        revisions = list(found)
        counted = [row for row in revisions if row.counts is not Counts.NOT]
        if counted:
            measured = exact_add(measured, counted[-1].quantity)
            taken_along = exact_add(taken_along, counted[-1].carried)
        added = shares(revisions, sets_hours=enrolment.meter.sets_hours)
        for row, share in zip(revisions, added, strict=True):
            status = _status(row)
            counts[status] += 1
            units[status] = exact_add(units[status], share)
    parts = [
        Part(status=status, reports=counts[status], units=units[status])
        for status in Status
        if counts[status] and status not in UsageReport.WITHDRAWN
    ]
    return measured, taken_along, parts


def _status(row: UsageReport) -> UsageReport.Status:
    tried_again = row.status == Status.UNKNOWN and row.next_attempt_at is not None
    return ON_ITS_WAY if tried_again or row.status == Status.SENDING else Status(row.status)


def _most_telling(days: Sequence[Day]) -> date | None:
    waiting = [one.day for one in days if one.failed or one.waiting]
    return max(waiting or [one.day for one in days], default=None)


def _slices(reports: QuerySet[UsageReport], day: date) -> list[list[UsageReport]]:
    start = datetime.combine(day, time(), UTC)
    rows = reports.filter(slice_start__gte=start, slice_start__lt=start + DAY)
    rows = rows.order_by("slice_start", "revision").prefetch_related("delivery_attempts")
    return [list(found) for _start, found in groupby(rows, key=lambda row: row.slice_start)]
