"""Answering a meter query from the events: one pass in the order of time, one row per window and group."""

import dataclasses
import datetime as dt
import zlib
from collections.abc import Callable, Iterable
from decimal import Decimal

from sync.sandbox.openmeter import aggregation, instants
from sync.sandbox.openmeter.event_log import EventIndex
from sync.sandbox.openmeter.events import Event
from sync.sandbox.openmeter.meters import Meter
from sync.sandbox.openmeter.text_filters import TextFilter
from sync.sandbox.openmeter.windows import Windows

MINUTES = Windows("MINUTE", dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MeterQuery:
    """What is asked of a meter, checked against it."""

    start: dt.datetime | None
    end: dt.datetime | None
    """Exclusive, whatever the published spec says: the real server compares `time < to`."""
    windows: Windows | None
    subjects: frozenset[str]
    """Empty means all."""
    customers: dict[str, str] | None
    """Subject -> OpenMeter customer id, of the customers asked for; None means that all subjects count."""
    group_by: tuple[str, ...]
    filters: dict[str, TextFilter]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One answered row."""

    window_start: dt.datetime
    window_end: dt.datetime
    groups: dict[str, str]
    """The value of each key of `group_by`."""
    value: Decimal


@dataclasses.dataclass(slots=True)
class _Group:
    """What one pass gathers for one row."""

    window: tuple[int, int] | None
    first: int
    latest: int
    readings: list[aggregation.Reading]


_GroupKey = tuple[int, tuple[str, ...]]


def answer(query: MeterQuery, meter: Meter, index: EventIndex) -> list[Row]:
    """The rows: no row for what has no events, except that an undivided count of nothing is zero."""
    groups = _gather(query, meter, meter.events(index, query.start, query.end))
    rows = [
        _row(query, group, values, value)
        for (_, values), group in sorted(groups.items(), key=_arbitrary_within_window)
        if (value := aggregation.aggregate(meter.aggregation, group.readings)) is not None
    ]
    undivided = query.windows is None and not query.group_by
    if undivided and not groups and meter.aggregation in aggregation.COUNTS:
        rows.append(_nothing_counted(query))
    return rows


def _gather(query: MeterQuery, meter: Meter, events: Iterable[Event]) -> dict[_GroupKey, _Group]:
    wanted = _membership(query, meter)
    group_of = _grouping(query, meter)
    read = aggregation.reader(meter)
    groups: dict[_GroupKey, _Group] = {}
    window: tuple[int, int] | None = None
    for event in events:
        if not wanted(event):
            continue
        # Events come in the order of time, so the calendar is asked once per window, not per event.
        if query.windows and (window is None or event.seconds >= window[1]):
            window = query.windows.containing(event.seconds)
        key = (window[0] if window else 0, group_of(event))
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(window, event.seconds, event.seconds, [])
        group.latest = event.seconds
        if (reading := read(event)) is not None:
            group.readings.append(reading)
    return groups


def _membership(query: MeterQuery, meter: Meter) -> Callable[[Event], bool]:
    customers, subjects = query.customers, query.subjects
    filters = [(meter.groups[key], accepts) for key, accepts in query.filters.items()]

    def wanted(event: Event) -> bool:
        if subjects and event.subject not in subjects:
            return False
        if customers is not None and event.subject not in customers:
            return False
        return all(accepts(path.text(event.data)) for path, accepts in filters)

    return wanted


def _grouping(query: MeterQuery, meter: Meter) -> Callable[[Event], tuple[str, ...]]:
    customers = query.customers or {}

    def reader(key: str) -> Callable[[Event], str]:
        if key == "subject":
            return lambda event: event.subject
        if key == "customer_id":
            return lambda event: customers[event.subject]
        path = meter.groups[key]
        return lambda event: path.text(event.data)

    readers = [reader(key) for key in query.group_by]
    return lambda event: tuple(read(event) for read in readers)


def _arbitrary_within_window(item: tuple[_GroupKey, _Group]) -> tuple[int, int]:
    # Only the window is ordered at the real server. A hash keeps answers repeatable and still breaks
    # every client that finds its rows by position or by alphabet.
    (window_start, values), _ = item
    return window_start, zlib.crc32("\0".join(values).encode("utf-8", "surrogatepass"))


def _row(query: MeterQuery, group: _Group, values: tuple[str, ...], value: Decimal) -> Row:
    if query.windows and group.window:
        start, end = (instants.from_seconds(seconds, query.windows.zone) for seconds in group.window)
    else:
        # Without windows a bound that was not asked for is the minute of the first or last event.
        start = query.start or instants.from_seconds(MINUTES.containing(group.first)[0])
        end = query.end or instants.from_seconds(MINUTES.containing(group.latest)[1])
    groups = dict(zip(query.group_by, values, strict=True))
    return Row(window_start=start, window_end=end, groups=groups, value=value)


def _nothing_counted(query: MeterQuery) -> Row:
    start, end = query.start or instants.EPOCH, query.end or instants.EPOCH
    return Row(window_start=start, window_end=end, groups={}, value=Decimal(0))
