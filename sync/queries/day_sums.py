"""What ledger rows come to, day by day: the one place that adds them up for people."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import groupby
from typing import NamedTuple

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from sync.domain.accounts import Counts
from sync.domain.quantities import exact_add
from sync.domain.timeline import SECOND, Span
from sync.models import UsageReport
from sync.models.ledger import how_it_counts

Status = UsageReport.Status
DELIVERED = Status.DELIVERED.value
NOTHING = Decimal(0)


class DayState(Enum):
    """How a day stands: the worst of its reports decides, but a few that failed are not a lost day."""

    FAILED = "failed"
    SOME_FAILED = "some failed"
    WAITING = "waiting"
    DISMISSED = "some dismissed"
    DELIVERED = "delivered"
    NOTHING = "nothing used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One UTC day: reports by what becomes of them, and billed units."""

    day: date
    delivered: int = 0
    """Reports that Stripe has."""
    waiting: int = 0
    """Reports that will be sent without anybody's doing."""
    failed: int = 0
    """Reports that wait for a person."""
    measured_units: Decimal = Decimal(0)
    delivered_units: Decimal = Decimal(0)

    @property
    def state(self) -> DayState:
        """How it stands."""
        if self.failed:
            return DayState.SOME_FAILED if self.delivered > self.failed else DayState.FAILED
        if self.waiting:
            return DayState.WAITING
        if self.missing_units:
            return DayState.DISMISSED
        return DayState.DELIVERED if self.delivered else DayState.NOTHING

    @property
    def missing_units(self) -> Decimal:
        """What was measured and is not delivered."""
        return exact_add(self.measured_units, -self.delivered_units)


@dataclass(slots=True, kw_only=True)
class Sums:
    """Adds slices up, one after the other."""

    sets_hours: bool
    measured: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    """What Stripe holds by the ledger."""
    delivered: int = 0
    waiting: int = 0
    failed: int = 0

    def add(self, revisions: Iterable["SumRow"]) -> None:
        """Add one slice, by its revisions in order."""
        quantity, held, given_up, carried = NOTHING, NOTHING, NOTHING, NOTHING
        for row in revisions:
            if row.status == DELIVERED:  # nearly all of them
                self.delivered += 1
                quantity, value = Decimal(row.quantity), Decimal(row.value)
                held = exact_add(held, value) if held and not self.sets_hours else value
                continue
            if how_it_counts(row.status, written_off=row.written_off) is not Counts.NOT:
                quantity = Decimal(row.quantity)
            if row.status == Status.CARRIED or row.written_off:
                before, given_up = given_up, exact_add(quantity, -held)
                if row.status == Status.CARRIED:
                    # It shows on the day that took it along, as on the bill.
                    units = exact_add(given_up, -before) if self.sets_hours else Decimal(row.value)
                    carried = exact_add(carried, units)
            if row.waits:
                self.waiting += 1
            elif row.status in UsageReport.BLOCKING:
                self.failed += 1
        self.measured = exact_add(self.measured, exact_add(quantity, -carried))
        self.held = exact_add(self.held, held)

    def as_day(self, day: date) -> Day:
        """Return them as what a day comes to."""
        return Day(
            day=day,
            delivered=self.delivered,
            waiting=self.waiting,
            failed=self.failed,
            measured_units=self.measured,
            delivered_units=self.held,
        )


class SumRow(NamedTuple):
    """What adding up needs of a report. Instants and quantities stay text: converting them costs most."""

    enrolment: int
    slice_start: str
    status: str
    written_off: bool
    next_attempt_at: datetime | None
    quantity: str
    value: str

    @property
    def waits(self) -> bool:
        """Whether it will be sent without anybody's doing."""
        return self.status in {Status.PENDING, Status.SENDING} or (
            self.status == Status.UNKNOWN and self.next_attempt_at is not None
        )

    @property
    def day(self) -> str:
        """Its slice's UTC day, as 2026-03-10."""
        return self.slice_start[:10]


def sum_rows(reports: QuerySet[UsageReport]) -> Iterator[SumRow]:
    """Yield these reports slice by slice, revisions in order; memory stays flat however many there are."""
    rows = reports.order_by("enrolment", "slice_start", "revision").values_list(
        "enrolment_id",
        Cast("slice_start", TextField()),
        "status",
        "written_off",
        "next_attempt_at",
        Cast("quantity", TextField()),
        Cast("value", TextField()),
    )
    return map(SumRow._make, rows.iterator(chunk_size=2000))


def slices(rows: Iterable[SumRow]) -> Iterator[Iterator[SumRow]]:
    """Yield the rows of each slice."""
    for _slice, revisions in groupby(rows, key=lambda row: row[:2]):
        yield revisions


def days_of_enrolment(enrolment_id: int, span: Span, *, sets_hours: bool) -> Sequence[Day]:
    """Return every UTC day that the span touches, by the enrolment's reports whose event lies in it."""
    reports = UsageReport.objects.filter(
        enrolment=enrolment_id, event_at__gte=span.start, event_at__lt=span.end
    )
    found: dict[str, Day] = {}
    for day, rows in groupby(sum_rows(reports), key=lambda row: row.day):
        sums = Sums(sets_hours=sets_hours)
        for revisions in slices(rows):
            sums.add(revisions)
        found[day] = sums.as_day(date.fromisoformat(day))
    first, last = span.start.astimezone(UTC).date(), (span.end - SECOND).astimezone(UTC).date()
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    # A boundary is floored to the minute, so a period's first slice may begin on the day before.
    early = [found[day] for day in sorted(found) if date.fromisoformat(day) < first]
    return [*early, *(found.get(day.isoformat()) or Day(day=day) for day in every)]
