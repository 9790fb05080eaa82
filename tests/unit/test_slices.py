"""The stretches that ledger rows speak for."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sync.domain.closings import Closing, is_late
from sync.domain.periods import Stretch
from sync.domain.slices import HourIndex, StoredSlice, cut_slices, reading_of
from sync.domain.timeline import DAY, HOUR, SECOND, Span, floor_to


def at(text: str) -> datetime:
    """Return the UTC instant of March 2026 that "day hour:minute:second" names."""
    return datetime.fromisoformat(f"2026-03-{text.replace(' ', 'T')}").replace(tzinfo=UTC)


def stretch(start: str, end: str) -> Stretch:
    return Stretch(span=Span(at(start), at(end)), closings=(Closing(at(end) + HOUR),))


def cut(*stretches, stored=(), fresh_from=None, reread_from=None, horizon, limit=None, sets_hours=False):
    slices = cut_slices(
        stretches,
        stored=[StoredSlice(span=s, event_at=s.end - SECOND, closes_at=s.end + HOUR) for s in stored],
        fresh_from=fresh_from,
        reread_from=reread_from or horizon - 3 * HOUR,
        horizon=horizon,
        limit=limit,
        sets_hours=sets_hours,
    )
    return [(s.span.start, s.span.end) for s in slices]


class TestCutSlices:
    def test_are_hours_cut_at_the_stretch(self):
        assert cut(stretch("01 09:20:33", "01 11:45:00"), horizon=at("01 12:30:00")) == [
            (at("01 09:20:33"), at("01 10:00:00")),
            (at("01 10:00:00"), at("01 11:00:00")),
            (at("01 11:00:00"), at("01 11:45:00")),
        ]

    def test_are_only_those_that_have_settled(self):
        assert cut(stretch("01 09:00:00", "02 00:00:00"), horizon=at("01 10:59:59")) == [
            (at("01 09:00:00"), at("01 10:00:00"))
        ]

    def test_are_whole_days_in_a_backlog(self):
        found = cut(stretch("01 22:00:00", "09 00:00:00"), horizon=at("04 01:30:00"))
        assert found == [
            (at("01 22:00:00"), at("01 23:00:00")),
            (at("01 23:00:00"), at("02 00:00:00")),
            (at("02 00:00:00"), at("03 00:00:00")),
            (at("03 00:00:00"), at("04 00:00:00")),
            (at("04 00:00:00"), at("04 01:00:00")),
        ]

    def test_are_hours_on_a_day_that_was_partly_planned(self):
        found = cut(
            stretch("01 00:00:00", "09 00:00:00"), fresh_from=at("01 21:00:00"), horizon=at("02 00:30:00")
        )
        assert found == [
            (at("01 21:00:00"), at("01 22:00:00")),
            (at("01 22:00:00"), at("01 23:00:00")),
            (at("01 23:00:00"), at("02 00:00:00")),
        ]

    def test_read_the_tail_again(self):
        found = cut(
            stretch("01 00:00:00", "09 00:00:00"),
            fresh_from=at("05 12:00:00"),
            reread_from=at("05 09:30:00"),
            horizon=at("05 12:30:00"),
        )
        assert found[0] == (at("05 09:00:00"), at("05 10:00:00"))
        assert found[-1] == (at("05 11:00:00"), at("05 12:00:00"))

    def test_keep_the_bounds_that_are_stored(self):
        day = Span(at("04 00:00:00"), at("05 00:00:00"))
        found = cut(
            stretch("01 00:00:00", "09 00:00:00"),
            stored=[day],
            fresh_from=at("05 00:00:00"),
            reread_from=at("04 23:00:00"),
            horizon=at("05 01:30:00"),
        )
        assert found == [(day.start, day.end), (at("05 00:00:00"), at("05 01:00:00"))]

    def test_fill_what_a_stored_slice_left_of_its_hour(self):
        stored = Span(at("01 09:00:00"), at("01 09:20:00"))
        found = cut(
            stretch("01 09:00:00", "01 09:20:00"),
            stretch("01 09:20:00", "02 00:00:00"),
            stored=[stored],
            horizon=at("01 10:30:00"),
        )
        assert found == [(stored.start, stored.end), (at("01 09:20:00"), at("01 10:00:00"))]

    def test_are_one_per_hour_where_one_value_stands_for_it(self):
        gap = (stretch("01 09:00:00", "01 09:10:00"), stretch("01 09:40:00", "02 00:00:00"))
        assert cut(*gap, horizon=at("01 10:30:00"), sets_hours=True) == [
            (at("01 09:00:00"), at("01 10:00:00"))
        ]

    def test_stay_inside_a_limit(self):
        limit = Span(at("01 10:00:00"), at("01 12:00:00"))
        found = cut(
            stretch("01 09:00:00", "02 00:00:00"),
            reread_from=limit.start,
            horizon=at("01 15:00:00"),
            limit=limit,
        )
        assert found == [(at("01 10:00:00"), at("01 11:00:00")), (at("01 11:00:00"), at("01 12:00:00"))]

    @given(
        first=st.integers(0, 4 * 86_400),
        cuts=st.lists(st.integers(60, 3 * 86_400), min_size=1, max_size=4),
        horizons=st.lists(st.integers(0, 12 * 86_400), min_size=1, max_size=4),
        sets_hours=st.booleans(),
    )
    def test_of_many_runs_cover_every_second_once(self, first, cuts, horizons, sets_hours):
        begin = at("01 00:00:00") + timedelta(seconds=first)
        grid = HOUR if sets_hours else timedelta(minutes=1)
        stretches, start = [], begin
        for length in cuts:
            end = floor_to(start + timedelta(seconds=length), grid)
            if end > start:
                stretches.append(Stretch(span=Span(start, end), closings=(Closing(end),)))
                start = end
        stored: dict[datetime, Span] = {}
        planned = None
        for offset in sorted(horizons):
            horizon = at("01 00:00:00") + timedelta(seconds=offset)
            found = cut_slices(
                stretches,
                stored=[
                    StoredSlice(span=s, event_at=s.end - SECOND, closes_at=s.end) for s in stored.values()
                ],
                fresh_from=planned,
                reread_from=horizon - 3 * HOUR,
                horizon=horizon,
                limit=None,
                sets_hours=sets_hours,
            )
            for piece in found:
                assert stored.setdefault(piece.span.start, piece.span) == piece.span
            planned = max([planned or begin, *(piece.span.end for piece in found)])
        spans = sorted(stored.values())
        assert all(a.end == b.start for a, b in itertools.pairwise(spans))
        assert not spans or (spans[0].start, spans[-1].end) == (begin, planned)
        for span in spans:
            assert span.end - span.start == DAY or floor_to(span.end - SECOND, HOUR) <= span.start


class TestReadingOf:
    def test_is_whole_hours_and_the_edges_beside_them(self):
        reading = reading_of(Span(at("01 09:20:33"), at("01 12:05:00")))
        assert reading.hours == Span(at("01 10:00:00"), at("01 12:00:00"))
        assert list(reading.edges) == [
            Span(at("01 09:20:33"), at("01 10:00:00")),
            Span(at("01 12:00:00"), at("01 12:05:00")),
        ]

    def test_is_one_edge_inside_an_hour(self):
        part = Span(at("01 09:20:00"), at("01 09:45:00"))
        assert (reading_of(part).hours, list(reading_of(part).edges)) == (None, [part])


class TestHourIndex:
    def test_finds_the_slice_of_an_hour_and_nothing_beside(self):
        index = HourIndex(
            [(Span(at("02 00:00:00"), at("03 00:00:00")), 7), (Span(at("01 09:00:00"), at("01 10:00:00")), 3)]
        )
        assert index.find(at("02 13:00:00")) == 7
        assert index.find(at("01 09:00:00")) == 3
        assert index.find(at("01 10:00:00")) is None
        assert index.find(at("01 08:00:00")) is None


class TestIsLate:
    def test_leaves_two_minutes_before_the_invoice_may_be_final(self):
        closes_at = at("08 14:45:37")
        event_at = at("08 13:44:59")
        assert not is_late(closes_at=closes_at, event_at=event_at, now=at("08 14:43:36"))
        assert is_late(closes_at=closes_at, event_at=event_at, now=at("08 14:43:37"))

    def test_counts_what_stripe_would_refuse_as_too_old(self):
        now = at("20 00:00:00")
        assert is_late(closes_at=now + DAY, event_at=now - timedelta(days=34), now=now)
        assert not is_late(closes_at=now + DAY, event_at=now - timedelta(days=34) + SECOND, now=now)
