"""Where billing periods lay that nobody saw."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.cycles import Cycle, unseen_periods
from sync.domain.timeline import Span

MONTH = Cycle("month", 1)


def at(text: str) -> datetime:
    """Return the UTC instant of 2026 that "month-day" names."""
    return datetime.fromisoformat(f"2026-{text}T10:30:05").replace(tzinfo=UTC)


def bounds(start, end, *known, cycle=MONTH):
    spans = unseen_periods(Span(at(start), at(end)), cycle=cycle, known=[at(one) for one in known])
    return [(span.start.strftime("%m-%d"), span.end.strftime("%m-%d")) for span in spans]


class TestUnseenPeriods:
    @pytest.mark.parametrize(
        ("cycle", "middle"),
        [
            (Cycle("day", 10), ["03-11", "03-21"]),
            (Cycle("week", 2), ["03-03", "03-17"]),
            (Cycle("month", 2), []),
            (Cycle("year", 1), []),
            (Cycle("", 1), []),
            (Cycle("month", 0), []),
        ],
    )
    def test_are_as_long_as_the_price_says_but_for_the_first(self, cycle, middle):
        cut = ["03-01", *middle, "03-31"]
        assert bounds("03-01", "03-31", cycle=cycle) == list(itertools.pairwise(cut))

    @pytest.mark.parametrize("known", [["01-31"], ["05-31"], ["02-28", "05-31"]])
    def test_end_on_the_last_day_of_short_months(self, known):
        assert bounds("02-28", "04-30", *known) == [("02-28", "03-31"), ("03-31", "04-30")]

    def test_pass_over_boundaries_of_an_anchor_that_was_given_up(self):
        assert bounds("02-28", "05-15", "01-31", "06-15") == [
            ("02-28", "03-15"),
            ("03-15", "04-15"),
            ("04-15", "05-15"),
        ]

    @given(
        interval=st.sampled_from(["day", "week", "month", "year"]),
        count=st.integers(1, 12),
        anchor=st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
        number=st.integers(1, 40),
        early=st.timedeltas(timedelta(0), timedelta(days=400)),
    )
    def test_leave_neither_gap_nor_overlap_and_lie_on_the_grid(self, interval, count, anchor, number, early):
        cycle = Cycle(interval, count)
        anchor = anchor.replace(tzinfo=UTC)
        end = cycle.after(anchor, number)
        start = cycle.after(anchor, number - 1) - early - timedelta(microseconds=1)
        spans = unseen_periods(Span(start, end), cycle=cycle, known=[anchor])
        assert (spans[0].start, spans[-1].end) == (start, end)
        assert all(one.end == two.start for one, two in itertools.pairwise(spans))
        assert all(cycle.number_of(anchor, span.end) is not None for span in spans)
