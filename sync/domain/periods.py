"""Which stretches of time Stripe bills an enrolment for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sync.domain.closings import Closing
from sync.domain.statuses import BILLABLE
from sync.domain.timeline import HOUR, MINUTE, Span, floor_to, subtract


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A billing period and the instant after which its invoice may be final."""

    span: Span
    closes_at: datetime
    price_ended: bool = False
    """It closes with a price that was changed or taken off."""
    price_changed_later: bool = False
    """A part of a period after which another price of the same meter came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledItem:
    """What decides when one subscription item is billed.

    `starts_at` is when the item came to be (the start date of a backdated subscription); `ends_at` is
    when it ended or will end for good, or None while it renews. `unbilled` are its trial and its pauses,
    in any order.
    """

    id: str = ""
    status: str
    periods: Sequence[Period]
    starts_at: datetime
    ends_at: datetime | None
    unbilled: Sequence[Span] = ()

    def goes_on(self, at: datetime, *, now: datetime) -> bool:
        """Whether nothing stands in the way of an invoice for the period that holds `at`.

        Stripe may drop the usage of a period during which a subscription is paused or ends.
        """
        period = next((one.span for one in self.periods if one.span.start <= at < one.span.end), None)
        if period is None or any(span.start <= now < span.end for span in self.unbilled):
            return False
        return self.ends_at is None or (now < self.ends_at and period.end <= self.ends_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A billable stretch inside one billing period of every item it belongs to."""

    span: Span
    closings: Sequence[Closing]
    """When the period of each of these items closes, soonest first."""

    @property
    def closes_at(self) -> datetime:
        """When the first of its periods closes."""
        return self.closings[0].closes_at


def item_start(*, created_at: datetime, subscription_created_at: datetime, start_date: datetime) -> datetime:
    """Return when an item's usage begins to count.

    An item that came with a backdated subscription counts from the backdated start; one that was added
    later counts from its own creation.
    """
    came_with_subscription = created_at - subscription_created_at < MINUTE
    return start_date if came_with_subscription else created_at


def billable_stretches(
    items: Iterable[BilledItem], *, report_from: datetime | None, sets_hours: bool
) -> list[Stretch]:
    """Return the disjoint stretches in which the enrolment is billed, in order.

    A boundary between two billed stretches is floored to the minute (to the hour where one value stands
    for an hour), so the rest slips into the next period. A boundary with nothing billed on its other
    side, the first start and the last end, is exact to the second. The end of a period that may yet be
    followed by another counts as between two stretches: what lies after the floor is not in the result
    until that item was read again.
    """
    pieces = [piece for item in items for piece in _pieces(item, report_from)]
    step = HOUR if sets_hours else MINUTE
    return _floor_shared_boundaries(_sweep(pieces), step)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    span: Span
    closings: Sequence[Closing]
    ends_for_good: bool


def _pieces(item: BilledItem, report_from: datetime | None) -> Iterable[_Piece]:
    """Yield the billed parts of one item's periods."""
    if item.status not in BILLABLE:
        return
    begin = max(item.starts_at, report_from) if report_from else item.starts_at
    unbilled = sorted(span for span in item.unbilled if span.start < span.end)
    for period in item.periods:
        end = min(period.span.end, item.ends_at) if item.ends_at else period.span.end
        start = max(period.span.start, begin)
        if start >= end:
            continue
        for span in subtract(Span(start, end), unbilled):
            yield _Piece(
                span=span,
                closings=(
                    Closing(period.closes_at, item.id, period.price_ended, period.price_changed_later),
                ),
                ends_for_good=span.end != period.span.end or _stops_at(span.end, item.ends_at, unbilled),
            )


def _stops_at(end: datetime, ends_at: datetime | None, unbilled: Iterable[Span]) -> bool:
    """Whether nothing billed follows at once: the item ends here, or a trial or a pause begins."""
    return end == ends_at or any(span.start <= end < span.end for span in unbilled)


def _sweep(pieces: list[_Piece]) -> list[_Piece]:
    """Cut overlapping pieces of several items at each other's boundaries."""
    points = sorted({point for piece in pieces for point in (piece.span.start, piece.span.end)})
    cut: list[_Piece] = []
    for start, end in pairwise(points):
        span = Span(start, end)
        over = [piece for piece in pieces if piece.span.covers(span)]
        if over:
            ends_for_good = all(piece.ends_for_good or piece.span.end != end for piece in over)
            closings = sorted({closing for piece in over for closing in piece.closings})
            cut.append(_Piece(span=span, closings=closings, ends_for_good=ends_for_good))
    return cut


def _floor_shared_boundaries(pieces: list[_Piece], step: timedelta) -> list[Stretch]:
    stretches: list[Stretch] = []
    for index, piece in enumerate(pieces):
        before = pieces[index - 1].span.end if index else None
        after = pieces[index + 1].span.start if index + 1 < len(pieces) else None
        start, end = piece.span.start, piece.span.end
        if start == before:
            # What the stretch before could not keep is this one's, but never what lies before both.
            start = max(floor_to(start, step), _first_of_run(pieces, index))
        if end == after or not piece.ends_for_good:
            end = floor_to(end, step)
        if start < end:
            stretches.append(Stretch(span=Span(start, end), closings=piece.closings))
    return stretches


def _first_of_run(pieces: list[_Piece], index: int) -> datetime:
    """Return where the unbroken run of stretches that `index` belongs to begins."""
    while index and pieces[index - 1].span.end == pieces[index].span.start:
        index -= 1
    return pieces[index].span.start
