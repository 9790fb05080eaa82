"""What each meter's days come to, for the grid and the charts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Q

from sync.models import Meter, UsageDay
from sync.queries.day_sums import Day


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterDays:
    """One meter's days, every one of them, oldest first."""

    meter: Meter
    days: Sequence[Day]

    @property
    def reports(self) -> int:
        """How many reports there are in all: what is used most comes first."""
        return sum(day.delivered + day.waiting + day.failed for day in self.days)


def meter_days(*, first: date, last: date) -> list[MeterDays]:
    """Return the days of every meter that is in use or was in that time, by name. Two queries."""
    sums: dict[int, dict[date, UsageDay]] = defaultdict(dict)
    for row in UsageDay.objects.filter(day__gte=first, day__lte=last):
        sums[row.meter_id][row.day] = row
    in_use = Q(active=True, deleted_at=None) & ~Q(openmeter_slug="")
    meters = Meter.objects.filter(in_use | Q(pk__in=list(sums))).order_by("event_name", "pk")
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [
        MeterDays(meter=meter, days=[_day(day, sums[meter.pk].get(day)) for day in days]) for meter in meters
    ]


def busiest(rows: Iterable[MeterDays]) -> list[MeterDays]:
    """Return the meters that anything was reported on, the one with most reports first."""
    used = [row for row in rows if row.reports]
    return sorted(used, key=lambda row: -row.reports)


def _day(day: date, row: UsageDay | None) -> Day:
    if row is None:
        return Day(day=day)
    return Day(
        day=day,
        delivered=row.delivered,
        waiting=row.waiting,
        failed=row.failed,
        measured_units=row.measured_units,
        delivered_units=row.delivered_units,
    )
