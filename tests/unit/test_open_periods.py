"""From when on everything that bills an enrolment is open."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sync.domain.open_periods import open_periods
from sync.domain.periods import BilledItem, Period, billable_stretches
from sync.domain.timeline import DAY, HOUR, Span

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
NOW = BEGIN + 40 * DAY


def item(*edges: datetime, id_="si_1", status="active", starts_at=None, ends_at=None) -> BilledItem:
    """Return an item whose periods follow each other at these instants."""
    return BilledItem(
        id=id_,
        status=status,
        periods=[Period(span=Span(a, b), closes_at=b + HOUR) for a, b in pairwise(edges)],
        starts_at=starts_at or edges[0],
        ends_at=ends_at,
    )


def days(*numbers: float) -> list[datetime]:
    return [BEGIN + number * DAY for number in numbers]


def since(*items: BilledItem, report_from=None) -> datetime | None:
    return open_periods(items, report_from=report_from, now=NOW).since


class TestOpenPeriods:
    def test_begin_where_the_youngest_of_them_did(self):
        assert since(item(*days(0, 31, 62)), item(*days(5, 36, 67))) == BEGIN + 36 * DAY

    def test_do_not_count_one_that_is_over_though_its_invoice_may_be_a_draft(self):
        over = Period(span=Span(*days(0, 39.99)), closes_at=NOW + 3 * DAY)
        now = Period(span=Span(*days(39.99, 70)), closes_at=NOW + 40 * DAY)
        one = BilledItem(id="si_1", status="active", periods=[over, now], starts_at=BEGIN, ends_at=None)
        assert since(one) == BEGIN + 39.99 * DAY

    def test_begin_where_an_item_came_or_reporting_did_inside_of_one(self):
        edges = days(31, 62)
        assert since(item(*edges, starts_at=BEGIN + 33 * DAY)) == BEGIN + 33 * DAY
        assert since(item(*edges), report_from=BEGIN + 35 * DAY) == BEGIN + 35 * DAY

    def test_begin_where_another_item_ended(self):
        gone = item(*days(31, 62), ends_at=BEGIN + 34 * DAY, id_="si_2")
        assert since(item(*days(20, 51)), gone) == BEGIN + 34 * DAY

    def test_are_unknown_where_the_period_of_now_was_not_read(self):
        found = open_periods([item(*days(0, 31))], report_from=None, now=NOW)
        assert found.unread == ("si_1",)
        assert not open_periods(
            [item(*days(0, 31), ends_at=BEGIN + 31 * DAY)], report_from=None, now=NOW
        ).unread

    def test_are_none_where_nothing_was_ever_billed(self):
        assert since(item(*days(0, 31, 62), status="incomplete")) is None

    @given(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 60 * 24), min_size=2, max_size=5, unique=True).map(sorted),
                st.none() | st.integers(0, 60 * 24),
            ),
            min_size=1,
            max_size=3,
        ),
        st.booleans(),
    )
    def test_hold_nothing_that_is_over(self, lives, sets_hours):
        items = [
            item(
                *(BEGIN + hour * HOUR for hour in edges),
                id_=f"si_{number}",
                ends_at=None if end is None else BEGIN + end * HOUR,
            )
            for number, (edges, end) in enumerate(lives)
        ]
        found = open_periods(items, report_from=None, now=NOW)
        stretches = billable_stretches(items, report_from=None, sets_hours=sets_hours)
        if found.since is None or found.unread:
            return
        for stretch in stretches:
            if stretch.span.end > found.since:
                assert stretch.span.end > NOW - timedelta(hours=1)
                assert stretch.closings[0].closes_at > NOW
