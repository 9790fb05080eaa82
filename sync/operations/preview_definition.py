"""Measure the open periods by a meter's definition and by the one that is to replace it. Writes nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Min

from sync.domain.filters import Filters, keys_of, takes
from sync.domain.quantities import as_measured, billed_units, exact_add, exact_sum
from sync.domain.timeline import DAY, HOUR, Span, floor_to
from sync.models import BillingPeriod, Meter
from sync.operations.collect_usage import SUBJECTS_PER_FILTER
from sync.operations.compare_days import ask_by_days, day_chunks
from sync.operations.redefine_meter import Definition, check_definition
from sync.ports import UsageRow, UsageSource
from sync.queries.taken_usage import BilledCustomer, billed_customers

LONGEST = 31 * DAY
"""Longer periods are not looked at from their beginning: a month tells how two definitions differ."""
SHORTEST = 7 * DAY
"""So much is looked at where no period is open."""
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedDay:
    """What customers on the old meter used on a UTC day, in billed units by either definition."""

    span: Span
    """The day, or what has passed of it in whole hours."""
    old: Decimal
    new: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionPreview:
    """Both definitions side by side; days without usage by either are left out."""

    span: Span
    days: Sequence[DefinedDay]

    @property
    def old(self) -> Decimal:
        """All of it by the old definition."""
        return exact_sum([day.old for day in self.days])

    @property
    def new(self) -> Decimal:
        """All of it by the new one."""
        return exact_sum([day.new for day in self.days])


def preview_definition(
    *, meter: Meter, definition: Definition, openmeter: UsageSource, now: datetime
) -> DefinitionPreview:
    """Return what the meter's customers used in their open periods, day by day, by either definition.

    Counted are the days of which anything is billed to them on the meter, whole. Each day is rounded once,
    so it is an estimate: bills round each slice. One question for each OpenMeter meter, for all keys that
    both definitions are filtered by. Raises `InvalidInput` as `redefine_meter` does before it creates
    anything, other `SyncError`s where OpenMeter does not answer.
    """
    check_definition(meter, definition, openmeter)
    span = Span(_first_day(meter, now), floor_to(now, HOUR))
    holders = _Holders(billed_customers([meter], since=span.start, now=now))
    wanted = [(meter.openmeter_slug, meter.filters), (definition.openmeter_slug, definition.filters)]
    measured = _measure(wanted, span, holders, openmeter)
    days = [
        DefinedDay(
            span=day,
            old=billed_units(old, scale=meter.scale, decimals=meter.decimals),
            new=billed_units(new, scale=definition.scale, decimals=definition.decimals),
        )
        for day in _days(span)
        for old, new in (tuple(each.get(day.start, NOTHING) for each in measured),)
        if old or new
    ]
    return DefinitionPreview(span=span, days=days)


def _first_day(meter: Meter, now: datetime) -> datetime:
    """Return the day on which the first period that is open began, within the last month."""
    open_ones = BillingPeriod.objects.filter(item__meter=meter, start__lte=now, end__gt=now)
    began: datetime | None = open_ones.aggregate(first=Min("start"))["first"]
    return floor_to(max(began or now - SHORTEST, now - LONGEST), DAY)


def _days(span: Span) -> Iterator[Span]:
    start = span.start
    while start < span.end:
        yield Span(start, min(start + timedelta(days=1), span.end))
        start += DAY


class _Holders:
    """Whose a key is, and whether its usage of a day is billed on the meter."""

    def __init__(self, customers: Mapping[str, BilledCustomer]) -> None:
        self._by_key: dict[str, list[BilledCustomer]] = defaultdict(list)
        self._known: dict[tuple[str, datetime], bool] = {}
        for customer in customers.values():
            for key in {subject.key for subject in customer.subjects}:
                self._by_key[key].append(customer)

    @property
    def keys(self) -> list[str]:
        """Every key of somebody who is billed."""
        return sorted(self._by_key)

    def are_billed(self, key: str, day: datetime) -> bool:
        """Whether somebody is billed for usage under the key on this day."""
        asked = (key, day)
        if asked not in self._known:
            span = Span(day, day + DAY)
            owners = self._by_key.get(key, ())
            self._known[asked] = any(owner.enrolments_on(key, span) for owner in owners)
        return self._known[asked]


def _measure(
    wanted: Sequence[tuple[str, Filters]], span: Span, holders: _Holders, openmeter: UsageSource
) -> list[dict[datetime, Decimal]]:
    """Return the days of each of these slugs and filters, unscaled; a slug is asked once for all."""
    found: list[dict[datetime, Decimal]] = [{} for _ in wanted]
    for slug in dict.fromkeys(slug for slug, _ in wanted):
        mine = [(days, filters) for days, (one, filters) in zip(found, wanted, strict=True) if one == slug]
        for row in _rows(slug, span, holders, openmeter, keys_of([filters for _, filters in mine])):
            day = floor_to(row.start, DAY)
            if not holders.are_billed(row.subject, day):
                continue
            for days, filters in mine:
                if takes(filters, row.group):
                    days[day] = exact_add(days.get(day, NOTHING), as_measured(row.value))
    return found


def _rows(
    slug: str, span: Span, holders: _Holders, openmeter: UsageSource, group_by: Sequence[str]
) -> Iterator[UsageRow]:
    keys = holders.keys
    if not keys or span.start >= span.end:
        return
    names = keys if len(keys) <= SUBJECTS_PER_FILTER else None
    for chunk in day_chunks(span, len(keys)):
        yield from ask_by_days(openmeter, slug, chunk, names, group_by)
