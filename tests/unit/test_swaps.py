"""What a change of price does to a billing period."""

from datetime import UTC, datetime, timedelta

import pytest

from sync.domain.periods import Period
from sync.domain.swaps import PriceChange, PriceStretch, cut_at_swaps, other_meters, path
from sync.domain.timeline import Span

START = datetime(2026, 3, 1, tzinfo=UTC)
A, B = 1, 2


def day(number: int) -> datetime:
    return START + timedelta(days=number)


MONTH = Period(span=Span(day(0), day(31)), closes_at=day(32))
AFTER = Period(span=Span(day(31), day(61)), closes_at=day(62))


def prices(*changes: tuple[int, int], ends: int | None = None) -> list[PriceStretch]:
    """Return prices from (day, meter) pairs; the last ends on a day, or goes on."""
    days = [*(number for number, _ in changes[1:]), ends]
    return [
        PriceStretch(meter=meter, start=day(begins), end=day(end) if end is not None else None)
        for (begins, meter), end in zip(changes, days, strict=True)
    ]


@pytest.mark.parametrize(
    ("history", "keeps", "expected"),
    [
        # The same meter: what was used before can be reported after, but nothing after the period's end.
        (prices((0, A), (10, A)), True, [(0, 10, 31), (10, 31, 31), (31, 61, 62)]),
        (prices((0, A), (10, A)), False, [(0, 10, 10), (10, 31, 31), (31, 61, 62)]),
        (prices((0, A), (10, B)), True, [(0, 10, 10), (10, 31, 31), (31, 61, 62)]),
        (prices((0, A), (10, A), (20, B)), True, [(0, 10, 20), (10, 20, 20), (20, 31, 31), (31, 61, 62)]),
        (prices((0, A), (31, B)), True, [(0, 31, 32), (31, 61, 61)]),
        (prices((0, A), ends=10), True, [(0, 10, 10), (31, 61, 62)]),
        (prices((0, A), (10, B), ends=20), True, [(0, 10, 10), (10, 20, 20), (31, 61, 62)]),
    ],
)
def test_cuts_periods_and_says_when_each_part_closes(history, keeps, expected):
    parts = cut_at_swaps([MONTH, AFTER], history, keeps_usage=keeps)
    assert [(p.span.start, p.span.end, p.closes_at) for p in parts] == [
        tuple(day(number) for number in part) for part in expected
    ]


def test_the_first_price_counts_from_ever():
    assert [one.end for one in other_meters(prices((5, B), (10, A)), A)] == [day(10)]
    assert other_meters(prices((5, B), (10, A)), A)[0].start < day(0)
    assert other_meters(prices((5, B), (10, A)), B)[0].start == day(10)


class TestThePathFromOnePriceToAnother:
    def change(self, number: int, before: str, after: str) -> PriceChange:
        return PriceChange(item="si_1", at=day(number), before=before, after=after)

    def test_leaves_out_what_was_before_and_what_came_since(self):
        events = [
            self.change(3, "c", "d"),
            self.change(0, "x", "a"),
            self.change(2, "b", "c"),
            self.change(1, "a", "b"),
        ]
        assert [one.after for one in path(events, before="a", after="c")] == ["b", "c"]

    def test_is_none_where_a_step_is_missing(self):
        assert path([self.change(1, "a", "b")], before="a", after="c") == []
