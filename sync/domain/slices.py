"""The stretches of time that ledger rows speak for."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.closings import Closing
from sync.domain.periods import Stretch
from sync.domain.timeline import DAY, HOUR, SECOND, Span, ceil_to, floor_to, subtract


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one ledger row speaks for: its bounds, and the billable parts inside that are measured."""

    span: Span
    parts: Sequence[Span]
    event_at: datetime
    closings: Sequence[Closing]
    """When each period that it falls into closes, soonest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSlice:
    """Bounds and event time that a first revision has fixed; `unsettled` ones are due in every run."""

    span: Span
    event_at: datetime
    closes_at: datetime
    unsettled: bool = False


def cut_slices(
    stretches: Sequence[Stretch],
    *,
    stored: Sequence[StoredSlice],
    fresh_from: datetime | None,
    reread_from: datetime,
    horizon: datetime,
    limit: Span | None,
    sets_hours: bool,
) -> list[Slice]:
    """Return the closed slices that are due to be measured, in order.

    A slice is an hour, cut where a stretch begins or ends. It is due if it was never planned (it starts
    at or after `fresh_from`; None means everything) or ends after `reread_from`, and closed if it ends
    by `horizon`. A stored one that is not settled is due, too. A whole UTC day that was never planned and
    lies inside one stretch is one slice. Slices that are stored keep the bounds they have; where one value
    stands for an hour (`sets_hours`), all billable parts of that hour belong to one slice. With a `limit`
    only what lies inside it is due.
    """
    again = [
        row
        for row in stored
        # Where one value stands for an hour, a stretch that begins in a stored slice's hour changes it.
        if row.unsettled
        or row.span.end > reread_from
        or (fresh_from and claimed_span(row.span, sets_hours=sets_hours).end > fresh_from)
    ]
    kept = [_stored_slice(row, stretches, sets_hours=sets_hours) for row in again]
    fixed = [s for s in kept if s.parts and s.span.end <= horizon]
    if limit:
        # A stored day that the limit cuts is measured whole: its bounds are fixed.
        fixed = [s for s in fixed if limit.overlaps(s.span)]
    taken = sorted(claimed_span(row.span, sets_hours=sets_hours) for row in stored)
    cells: list[Slice] = []
    for stretch in stretches:
        open_span = limit.meet(stretch.span) if limit else stretch.span
        for free in subtract(open_span, taken) if open_span else ():
            cells += [
                _cell_slice(cell, stretch.closings)
                for cell in _cells(free, fresh_from=fresh_from, reread_from=reread_from, horizon=horizon)
                if _is_due(cell, fresh_from=fresh_from, reread_from=reread_from)
            ]
    if sets_hours:
        cells = _one_per_hour(cells)
    return sorted(fixed + cells, key=lambda s: s.span)


def _is_due(cell: Span, *, fresh_from: datetime | None, reread_from: datetime) -> bool:
    return fresh_from is None or cell.start >= fresh_from or cell.end > reread_from


def _cells(
    free: Span, *, fresh_from: datetime | None, reread_from: datetime, horizon: datetime
) -> Iterable[Span]:
    """Yield the hours and whole unplanned days of a free stretch that may be due and end by `horizon`."""
    start = free.start
    if fresh_from:
        # A period is weeks old when its newest hour is due: do not walk through all of it.
        start = max(start, floor_to(min(fresh_from, reread_from), HOUR))
    while start < free.end:
        whole_day = floor_to(start, DAY) == start and (fresh_from is None or start >= fresh_from)
        if whole_day and start + DAY <= min(free.end, horizon):
            end = start + DAY
        else:
            end = min(floor_to(start, HOUR) + HOUR, free.end)
        if end > horizon:
            return
        yield Span(start, end)
        start = end


def _cell_slice(cell: Span, closings: Sequence[Closing]) -> Slice:
    return Slice(span=cell, parts=(cell,), event_at=cell.end - SECOND, closings=closings)


def _one_per_hour(cells: list[Slice]) -> list[Slice]:
    """Join what lies in the same hour: Stripe keeps one value for it, in the period it ends in."""
    joined: list[Slice] = []
    for cell in sorted(cells, key=lambda s: s.span):
        last = joined[-1] if joined else None
        if last and floor_to(last.span.start, HOUR) == floor_to(cell.span.start, HOUR):
            span = Span(last.span.start, cell.span.end)
            joined[-1] = Slice(
                span=span,
                parts=(*last.parts, *cell.parts),
                event_at=span.end - SECOND,
                closings=cell.closings,
            )
        else:
            joined.append(cell)
    return joined


def claimed_span(span: Span, *, sets_hours: bool) -> Span:
    """Return what no other slice may cover: the bounds, or the whole hours they touch."""
    if not sets_hours:
        return span
    return Span(floor_to(span.start, HOUR), ceil_to(span.end, HOUR))


def _stored_slice(row: StoredSlice, stretches: Sequence[Stretch], *, sets_hours: bool) -> Slice:
    """Give a stored slice its billable parts and what is known now of its period's closing."""
    claimed = claimed_span(row.span, sets_hours=sets_hours)
    parts = [part for stretch in stretches if (part := claimed.meet(stretch.span))]
    around = (s.closings for s in stretches if s.span.start <= row.event_at < s.span.end)
    # One that was cut before the price changed reaches beyond it: it is too late with its old price.
    ended = [s.closings for s in stretches if claimed.overlaps(s.span) and _is_over(s)]
    closings = next(around, ended[-1] if ended else (Closing(row.closes_at),))
    return Slice(span=row.span, parts=parts, event_at=row.event_at, closings=closings)


def _is_over(stretch: Stretch) -> bool:
    """Whether nothing of it can be reported once it has ended."""
    return all(closing.closes_at <= stretch.span.end for closing in stretch.closings)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a part is measured: by whole hours, and by edges that lie inside one hour each."""

    hours: Span | None
    edges: Sequence[Span]


def reading_of(part: Span) -> Reading:
    """Split a part into whole UTC hours and what is left before and after them."""
    first, last = ceil_to(part.start, HOUR), floor_to(part.end, HOUR)
    if first > last:
        return Reading(None, (part,))
    edges = [Span(part.start, first), Span(last, part.end)]
    return Reading(
        Span(first, last) if first < last else None,
        tuple(edge for edge in edges if edge.start < edge.end),
    )


class HourIndex:
    """Finds the slice that a whole hour belongs to, among one enrolment's slices."""

    def __init__(self, entries: Iterable[tuple[Span, int]]) -> None:
        """Take disjoint stretches of whole hours, each with the number of its slice."""
        self._entries = sorted(entries)
        self._starts = [span.start for span, _ in self._entries]

    def find(self, hour: datetime) -> int | None:
        """Return the number of the slice that `[hour, hour + 1 h)` is measured for, or None."""
        position = bisect_right(self._starts, hour) - 1
        if position < 0:
            return None
        span, number = self._entries[position]
        return number if hour < span.end else None
