"""What the ledger says of each enrolment's UTC days: what was measured, and why Stripe lacks part of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from django.db.models import TextField
from django.db.models.functions import Cast

from sync.domain.accounts import Counts
from sync.domain.quantities import billed_units, exact_add, exact_sum
from sync.domain.reconciliation import BY_STATUS, Cause
from sync.domain.timeline import Span
from sync.models import Meter, UsageReport
from sync.models.ledger import how_it_counts
from sync.queries.measured_days import Day

DELIVERED, DISMISSED = UsageReport.Status.DELIVERED.value, UsageReport.Status.DISMISSED.value
NOTHING = Decimal(0)


@dataclass(slots=True)
class LedgerDay:
    """Billed units of one enrolment and day. `measured` is what was delivered and `lacking`, together."""

    measured: Decimal = NOTHING
    lacking: dict[Cause, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """Why Stripe was not told of it; what was carried in from elsewhere is less than nothing."""
    aside: Decimal = NOTHING
    """What Stripe was found to hold in other hours of a slice: counted as billed, though never told."""

    def lack(self, cause: Cause, units: Decimal) -> None:
        """Add units that Stripe was not told of."""
        if units:
            self.lacking[cause] = exact_add(self.lacking[cause], units)


class _Row(NamedTuple):
    enrolment: int
    slice_start: str
    status: str
    written_off: bool
    measured: str
    carried: str
    quantity: str
    value: str
    beside: str | None

    @property
    def counts(self) -> bool:
        return how_it_counts(self.status, written_off=self.written_off) is not Counts.NOT


def ledger_days(meter: Meter, enrolments: Sequence[int], span: Span) -> Mapping[Day, LedgerDay]:
    """Return what the slices in the span come to, by enrolment and day; days without slices are missing."""
    rows = (
        UsageReport.objects.filter(
            enrolment__in=enrolments, slice_start__gte=span.start, slice_start__lt=span.end
        )
        .order_by("enrolment", "slice_start", "revision")
        .values_list(
            "enrolment_id",
            Cast("slice_start", TextField()),
            "status",
            "written_off",
            *(Cast(name, TextField()) for name in ("measured", "carried", "quantity", "value", "beside")),
        )
    )
    found: dict[Day, LedgerDay] = defaultdict(LedgerDay)
    every = map(_Row._make, rows.iterator(chunk_size=2000))
    for (pk, start), revisions in groupby(every, key=lambda row: row[:2]):
        day = datetime.fromisoformat(start[:10]).replace(tzinfo=UTC)
        _add_slice(found[pk, day], [row for row in revisions if row.counts], meter)
    return found


def _add_slice(day: LedgerDay, rows: Sequence[_Row], meter: Meter) -> None:
    if not rows:
        return
    newest = rows[-1]
    units = billed_units(Decimal(newest.measured), scale=meter.scale, decimals=meter.decimals)
    day.measured = exact_add(day.measured, units)
    if meter.sets_hours:
        day.aside = exact_sum([day.aside, *map(Decimal, _aside(rows)[-1:])])
    for cause, lacking in _lacking(rows, sets_hours=meter.sets_hours):
        day.lack(cause, lacking)
    day.lack(Cause.CARRIED, -Decimal(newest.carried))


def _lacking(rows: Sequence[_Row], *, sets_hours: bool) -> Iterable[tuple[Cause, Decimal]]:
    """Yield what Stripe was not told of a slice, and why."""
    if not sets_hours:
        for row in rows:
            if row.status != DELIVERED:
                yield BY_STATUS[row.status], Decimal(row.value)
        return
    newest = rows[-1]
    told = [row.value for row in rows if row.status == DELIVERED]
    if newest.status != DELIVERED:
        # Of one value an hour the newest says what the hour should be.
        holds = exact_sum([Decimal(units) for units in (*told[-1:], *_aside(rows)[-1:])])
        yield BY_STATUS[newest.status], exact_add(Decimal(newest.quantity), -holds)


def _aside(rows: Sequence[_Row]) -> list[str]:
    """Return what Stripe holds in other hours of a slice: `held_units.ASIDE`, among rows that count."""
    return [
        row.value
        for row in rows
        if row.status == DISMISSED and row.beside and Decimal(row.beside) == Decimal(row.value)
    ]
