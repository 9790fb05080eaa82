"""Half-open stretches of time and the grids they are cut on. All instants are aware UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The stretch `[start, end)`."""

    start: datetime
    end: datetime

    def overlaps(self, other: "Span") -> bool:
        """Whether the two share at least an instant."""
        return self.start < other.end and other.start < self.end

    def meet(self, other: "Span") -> "Span | None":
        """Return what the two share, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Span(start, end) if start < end else None

    def covers(self, other: "Span") -> bool:
        """Whether the other lies wholly inside."""
        return self.start <= other.start and other.end <= self.end


def floor_to(instant: datetime, step: timedelta) -> datetime:
    """Return the latest point of the UTC grid of `step` that is not after `instant`."""
    return instant - (instant - _EPOCH) % step


def ceil_to(instant: datetime, step: timedelta) -> datetime:
    """Return the earliest point of the UTC grid of `step` that is not before `instant`."""
    return instant + (_EPOCH - instant) % step


def subtract(span: Span, taken: list[Span]) -> list[Span]:
    """Return the parts of `span` that none of `taken` (sorted, disjoint) covers."""
    left: list[Span] = []
    start = span.start
    for other in taken:
        if other.end <= start or other.start >= span.end:
            continue
        if other.start > start:
            left.append(Span(start, other.start))
        start = max(start, other.end)
    if start < span.end:
        left.append(Span(start, span.end))
    return left
