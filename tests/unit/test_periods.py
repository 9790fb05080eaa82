"""Which stretches Stripe bills an enrolment for."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.periods import BilledItem, Period, billable_stretches, item_start
from sync.domain.timeline import HOUR, MINUTE, Span, floor_to


def at(text: str) -> datetime:
    """Return the UTC instant of March 2026 that "day hour:minute:second" names."""
    return datetime.fromisoformat(f"2026-03-{text.replace(' ', 'T')}").replace(tzinfo=UTC)


def period(start: str, end: str) -> Period:
    return Period(span=Span(at(start), at(end)), closes_at=at(end) + HOUR)


def item(*periods: Period, status="active", starts_at=None, ends_at=None, unbilled=()) -> BilledItem:
    return BilledItem(
        status=status,
        periods=periods,
        starts_at=starts_at or periods[0].span.start,
        ends_at=ends_at,
        unbilled=unbilled,
    )


def spans(*items: BilledItem, sets_hours=False, report_from=None) -> list[tuple[datetime, datetime]]:
    stretches = billable_stretches(items, report_from=report_from, sets_hours=sets_hours)
    return [(s.span.start, s.span.end) for s in stretches]


FIRST = period("01 09:20:33", "08 13:45:37")
SECOND = period("08 13:45:37", "15 13:45:37")


class TestBillableStretches:
    def test_begin_to_the_second_and_end_at_the_minute_while_the_next_period_is_unknown(self):
        assert spans(item(FIRST)) == [(at("01 09:20:33"), at("08 13:45:00"))]

    def test_share_a_boundary_floored_to_the_minute(self):
        assert spans(item(FIRST, SECOND)) == [
            (at("01 09:20:33"), at("08 13:45:00")),
            (at("08 13:45:00"), at("15 13:45:00")),
        ]

    def test_share_a_boundary_floored_to_the_hour_where_one_value_stands_for_it(self):
        assert spans(item(FIRST, SECOND), sets_hours=True) == [
            (at("01 09:20:33"), at("08 13:00:00")),
            (at("08 13:00:00"), at("15 13:00:00")),
        ]

    @pytest.mark.parametrize("sets_hours", [False, True])
    def test_end_to_the_second_where_the_subscription_ends_for_good(self, sets_hours):
        ended = item(FIRST, status="canceled", ends_at=at("08 13:45:37"))
        assert spans(ended, sets_hours=sets_hours)[-1][1] == at("08 13:45:37")

    def test_end_where_an_immediate_cancellation_cut_the_period(self):
        assert spans(item(FIRST, status="canceled", ends_at=at("03 10:00:01"))) == [
            (at("01 09:20:33"), at("03 10:00:01"))
        ]

    def test_leave_the_trial_out_to_the_second(self):
        trial = Span(at("01 09:20:33"), at("02 10:10:10"))
        assert spans(item(FIRST, unbilled=[trial])) == [(at("02 10:10:10"), at("08 13:45:00"))]

    def test_leave_every_pause_out_to_the_second(self):
        trial = Span(at("01 09:20:33"), at("02 10:10:10"))
        over = Span(at("04 11:11:11"), at("05 12:12:12"))
        still = Span(at("07 00:00:01"), datetime.max.replace(tzinfo=UTC))
        assert spans(item(FIRST, SECOND, status="paused", unbilled=[still, over, trial])) == [
            (at("02 10:10:10"), at("04 11:11:11")),
            (at("05 12:12:12"), at("07 00:00:01")),
        ]

    def test_are_not_changed_by_a_trial_without_length(self):
        nothing = Span(at("04 11:11:11"), at("04 11:11:11"))
        assert spans(item(FIRST, unbilled=[nothing])) == spans(item(FIRST))

    def test_end_to_the_second_where_a_pause_begins_with_the_next_period(self):
        pause = Span(at("08 13:45:37"), at("09 00:00:00"))
        assert spans(item(FIRST, SECOND, unbilled=[pause]))[0][1] == at("08 13:45:37")

    def test_leave_out_what_came_before_the_item_or_before_reporting_began(self):
        assert spans(item(FIRST, starts_at=at("02 10:10:10")))[0][0] == at("02 10:10:10")
        assert spans(item(FIRST), report_from=at("04 00:00:00"))[0][0] == at("04 00:00:00")

    @pytest.mark.parametrize("status", ["incomplete", "incomplete_expired"])
    def test_are_none_for_what_stripe_does_not_bill(self, status):
        assert spans(item(FIRST, status=status)) == []

    @pytest.mark.parametrize("status", ["active", "past_due", "unpaid", "trialing", "paused", "canceled"])
    def test_exist_for_every_status_that_stripe_bills(self, status):
        assert spans(item(FIRST, status=status))

    def test_are_cut_at_the_boundaries_of_every_item_and_close_with_the_soonest(self):
        other = item(period("05 00:00:00", "12 00:00:00"))
        stretches = billable_stretches([item(FIRST, SECOND), other], report_from=None, sets_hours=False)
        assert [s.span.start for s in stretches] == [
            at("01 09:20:33"),
            at("05 00:00:00"),
            at("08 13:45:00"),
            at("12 00:00:00"),
        ]
        assert stretches[1].closes_at == FIRST.closes_at
        assert stretches[2].closes_at == at("12 01:00:00")

    def test_a_gap_between_subscriptions_is_exact_on_both_sides(self):
        gone = item(FIRST, status="canceled", ends_at=at("03 10:00:01"))
        back = item(period("05 11:11:11", "12 11:11:11"))
        assert spans(gone, back)[:2] == [
            (at("01 09:20:33"), at("03 10:00:01")),
            (at("05 11:11:11"), at("12 11:11:00")),
        ]

    @given(
        start=st.integers(0, 10_000),
        lengths=st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
        sets_hours=st.booleans(),
    )
    def test_of_unbroken_periods_neither_overlap_nor_leave_a_gap(self, start, lengths, sets_hours):
        begin = at("01 00:00:00") + timedelta(seconds=start)
        periods, instant = [], begin
        for length in lengths:
            end = instant + timedelta(seconds=length)
            periods.append(Period(span=Span(instant, end), closes_at=end + HOUR))
            instant = end
        found = billable_stretches([item(*periods)], report_from=None, sets_hours=sets_hours)
        step = HOUR if sets_hours else MINUTE
        if floor_to(instant, step) <= begin:
            assert found == []
            return
        assert found[0].span.start == begin
        assert found[-1].span.end == floor_to(instant, step)
        assert all(a.span.end == b.span.start for a, b in itertools.pairwise(found))
        for stretch in found:
            # The last second of every stretch lies in the period that the stretch closes with.
            last = stretch.span.end - timedelta(seconds=1)
            home = next(p for p in periods if p.span.start <= last < p.span.end)
            assert home.closes_at == stretch.closes_at


class TestBilledItem:
    @pytest.mark.parametrize(
        ("changes", "goes_on"),
        [
            ({}, True),
            ({"unbilled": [Span(at("02 00:00:00"), at("05 00:00:00"))]}, True),
            ({"unbilled": [Span(at("09 00:00:00"), at("20 00:00:00"))]}, False),
            ({"ends_at": at("15 13:45:37")}, True),
            ({"ends_at": at("14 00:00:00")}, False),
            ({"ends_at": at("10 00:00:00")}, False),
        ],
        ids=["renews", "was paused", "is paused", "ends with it", "ends before", "has ended"],
    )
    def test_goes_on_unless_a_pause_or_an_end_may_drop_its_usage(self, changes, goes_on):
        found = item(FIRST, SECOND, **changes).goes_on(at("09 10:00:00"), now=at("10 12:00:00"))
        assert found is goes_on

    def test_does_not_go_on_in_a_period_that_is_not_its_own(self):
        assert not item(FIRST).goes_on(at("09 10:00:00"), now=at("10 12:00:00"))


class TestItemStart:
    CREATED = at("10 12:00:00")

    def test_is_the_backdated_start_of_the_subscription_it_came_with(self):
        start = item_start(
            created_at=self.CREATED, subscription_created_at=self.CREATED, start_date=at("01 00:00:00")
        )
        assert start == at("01 00:00:00")

    def test_is_its_own_creation_where_it_was_added_later(self):
        start = item_start(
            created_at=at("12 08:00:00"), subscription_created_at=self.CREATED, start_date=self.CREATED
        )
        assert start == at("12 08:00:00")
