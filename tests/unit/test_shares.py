"""What each report of a slice speaks for, and when a period is not billed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sync.domain.accounts import Counts, account_of
from sync.domain.shares import shares
from sync.domain.timeline import HOUR, Span
from sync.domain.unbilled import Unbilled, unbilled_parts

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    quantity: Decimal
    value: Decimal
    counts: Counts


units = st.integers(-50, 50).map(Decimal)
rows = st.lists(st.builds(Row, quantity=units, value=units, counts=st.sampled_from(Counts)), max_size=6)


def span(first: int, last: int) -> Span:
    return Span(START + first * HOUR, START + last * HOUR)


class TestShares:
    @given(rows=rows, sets_hours=st.booleans())
    def test_add_up_to_what_the_slices_account_holds(self, rows, sets_hours):
        account = account_of(rows, sets_hours=sets_hours)
        assert sum(shares(rows, sets_hours=sets_hours)) == account.accounted + account.written_off

    def test_of_an_hours_values_are_the_differences(self):
        told = [Row(Decimal(n), Decimal(n), Counts.AS_ACCOUNTED) for n in (10, 25, 20)]
        assert shares(told, sets_hours=True) == [10, 15, -5]


class TestUnbilledParts:
    def test_lie_in_the_period_and_the_first_reason_counts(self):
        reasons = [
            Unbilled(span(-5, 2), "before"),
            Unbilled(span(1, 6), "trial"),
            Unbilled(span(9, 99), "after"),
        ]
        assert unbilled_parts(span(0, 10), reasons) == [
            Unbilled(span(0, 2), "before"),
            Unbilled(span(2, 6), "trial"),
            Unbilled(span(9, 10), "after"),
        ]

    def test_may_leave_a_hole_that_a_later_reason_fills(self):
        reasons = [Unbilled(span(3, 4), "pause"), Unbilled(span(0, 10), "status")]
        assert [one.why for one in unbilled_parts(span(0, 10), reasons)] == ["status", "pause", "status"]

    @given(st.lists(st.tuples(st.integers(-3, 12), st.integers(1, 9)), max_size=8))
    def test_are_disjoint_and_cover_what_the_reasons_cover(self, drawn):
        reasons = [Unbilled(span(first, first + length), f"{n}") for n, (first, length) in enumerate(drawn)]
        found = unbilled_parts(span(0, 10), reasons)
        covered = {
            hour for hour in range(10) if any(one.span.covers(span(hour, hour + 1)) for one in reasons)
        }
        hours = [
            (part.span.start + n * HOUR - START) // HOUR
            for part in found
            for n in range((part.span.end - part.span.start) // timedelta(hours=1))
        ]
        assert sorted(hours) == sorted(covered)
