"""What invoices say of billing periods, and what becomes of usage that falls into several of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.closings import LATE_MARGIN, Closing, half_closed_sentence, outlook
from sync.domain.invoices import InvoicedStretch, closed_by
from sync.domain.timeline import HOUR, SECOND, Span

START = datetime(2026, 1, 31, 10, 30, 7, tzinfo=UTC)
PERIOD = Span(START, datetime(2026, 2, 28, 10, 30, 7, tzinfo=UTC))
DAY = 24 * HOUR


def line(span=PERIOD, quantity="5", **changes) -> InvoicedStretch:
    facts = {
        "invoice_id": "in_1",
        "status": "draft",
        "auto_advance": True,
        "created_at": PERIOD.end,
        "automatically_finalizes_at": PERIOD.end + 72 * HOUR,
        "finalized_at": None,
        "read_at": PERIOD.end + 2 * HOUR,
    }
    return InvoicedStretch(span=span, quantity=quantity and Decimal(quantity), **facts | changes)


def final(span=PERIOD, quantity="5", *, at=PERIOD.end + HOUR, status="paid", **changes) -> InvoicedStretch:
    return line(span, quantity, finalized_at=at, status=status, **changes)


def closed(*lines):
    return closed_by(PERIOD, lines, grace=HOUR)


class TestClosedBy:
    def test_a_draft_when_it_says(self):
        seen = closed(line())
        assert (seen.closes_at, seen.finalized_at, seen.billed_quantity) == (
            PERIOD.end + 72 * HOUR,
            None,
            None,
        )

    def test_a_draft_that_says_nothing_after_the_grace(self):
        assert closed(line(automatically_finalizes_at=None)).closes_at == PERIOD.end + HOUR

    def test_a_draft_that_does_not_advance_an_hour_after_every_look(self):
        held = line(auto_advance=False, automatically_finalizes_at=None)
        assert closed(held).closes_at == PERIOD.end + 3 * HOUR

    def test_nothing_while_it_goes_on(self):
        first = final(quantity="0", created_at=START, at=START)
        threshold = final(Span(START, START + DAY), created_at=START + DAY, at=START + DAY)
        assert closed(first, threshold) is None
        # What a threshold billed counts once the last invoice is there.
        assert closed(first, threshold, final(Span(START + DAY, PERIOD.end), "2")).billed_quantity == 7

    def test_an_invoice_that_stripe_dates_a_moment_earlier(self):
        assert (
            closed(final(created_at=PERIOD.end - 2 * SECOND, at=PERIOD.end - SECOND)).closes_at == PERIOD.end
        )

    def test_one_that_is_void_but_bills_nothing(self):
        seen = closed(final(status="void"))
        assert (seen.finalized_at, seen.billed_quantity) == (PERIOD.end + HOUR, 0)
        again = final(invoice_id="in_2", quantity="4", at=PERIOD.end + DAY, created_at=PERIOD.end + DAY)
        seen = closed(final(status="void"), again)
        assert (seen.invoice_id, seen.billed_quantity, seen.closes_at) == ("in_2", 4, PERIOD.end + HOUR)

    @pytest.mark.parametrize("unclear", [final(quantity=None), final(Span(START - DAY, PERIOD.end))])
    def test_without_a_quantity_where_lines_do_not_tell(self, unclear):
        assert closed(unclear).billed_quantity is None

    @given(
        cuts=st.lists(st.integers(1, 27 * 24 * 3600), max_size=6, unique=True),
        cents=st.lists(st.integers(0, 10**15), min_size=7, max_size=7),
        seed=st.randoms(),
    )
    def test_adds_up_whatever_lines_a_period_was_cut_into(self, cuts, cents, seed):
        bounds = [START, *(START + cut * SECOND for cut in sorted(cuts)), PERIOD.end]
        lines = [
            final(Span(a, b), str(Decimal(units).scaleb(-12)))
            for a, b, units in zip(bounds, bounds[1:], cents, strict=False)
        ]
        seed.shuffle(lines)
        # Those of its neighbours are not its own.
        lines += [final(Span(PERIOD.end, PERIOD.end + DAY), "9", created_at=PERIOD.end + DAY)]
        expected = sum((one.quantity for one in lines[:-1]), Decimal(0))
        assert closed(*lines).billed_quantity == expected


CLOSINGS = st.lists(
    st.builds(
        Closing,
        st.integers(-300, 300).map(lambda m: PERIOD.end + timedelta(minutes=m)),
        st.sampled_from("abc"),
    ),
    min_size=1,
    max_size=4,
)


class TestOutlook:
    @given(closings=CLOSINGS)
    def test_is_open_late_or_half_closed_and_never_two_of_them(self, closings):
        now = PERIOD.end
        seen = outlook(closings, event_at=now - HOUR, now=now)
        open_ones = [c for c in closings if c.closes_at - LATE_MARGIN > now]
        assert seen.is_late == (not open_ones)
        assert seen.is_half_closed == bool(open_ones and len(open_ones) < len(closings))
        if open_ones:
            assert seen.closes_at == min(c.closes_at for c in open_ones)
        if seen.is_half_closed:
            sentence = half_closed_sentence(closings, seen)
            assert "closed at" in sentence
            assert "is open until" in sentence

    def test_of_what_is_too_old_for_stripe_is_late(self):
        now = PERIOD.end
        assert outlook([Closing(now + DAY)], event_at=now - 35 * DAY, now=now).is_late
