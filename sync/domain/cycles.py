"""How long billing periods are, and where the ones lay that nobody saw."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dateutil.relativedelta import relativedelta

from sync.domain.timeline import Span

_ABOUT = {
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=365.2425 / 12),
    "year": timedelta(days=365.2425),
}


@dataclass(frozen=True, slots=True)
class Cycle:
    """The length of a billing period: a number of days, weeks, months or years, as a price has it."""

    interval: str
    count: int

    @property
    def is_known(self) -> bool:
        """Whether it is a length at all; a price that was never seen has none."""
        return self.interval in _ABOUT and self.count > 0

    def after(self, anchor: datetime, number: int) -> datetime:
        """Return the instant `number` periods after the anchor, before it if negative.

        Months are counted from the anchor itself: one on the 31st ends short months on their last day.
        """
        steps = number * self.count
        match self.interval:
            case "day":
                return anchor + timedelta(days=steps)
            case "week":
                return anchor + timedelta(weeks=steps)
            case "month":
                return anchor + relativedelta(months=steps)
            case _:
                return anchor + relativedelta(years=steps)

    def number_of(self, anchor: datetime, instant: datetime) -> int | None:
        """Return how many periods after the anchor the instant is, None where it is not a whole number."""
        guess = round((instant - anchor) / (_ABOUT[self.interval] * self.count))
        near = (guess - 1, guess, guess + 1)
        return next((number for number in near if self.after(anchor, number) == instant), None)


def unseen_periods(gap: Span, *, cycle: Cycle, known: Iterable[datetime]) -> list[Span]:
    """Cut the time before a period into the periods that lay there, counted back from the gap's end.

    `known` are other boundaries of the same item. Of those that the gap's end can be counted from, the one
    latest in its month tells the anchor: a period that began on the 28th of February may have been
    anchored on the 31st. A first period that does not fill a cycle is short.
    """
    if not cycle.is_known:
        return [gap]
    counted = [instant for instant in known if cycle.number_of(instant, gap.end) is not None]
    anchor = max((gap.end, *counted), key=lambda instant: instant.day)
    number = cycle.number_of(anchor, gap.end) or 0
    bounds = [gap.end]
    while bounds[-1] > gap.start:
        number -= 1
        bounds.append(max(cycle.after(anchor, number), gap.start))
    return [Span(start, end) for start, end in pairwise(reversed(bounds))]
