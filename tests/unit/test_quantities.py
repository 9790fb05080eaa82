"""Rounding, and the text that Stripe is sent."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.drift import EMPTY_ANSWER, Change, brake_reason
from sync.domain.identifiers import MAX_LENGTH, idempotency_key, report_identifier
from sync.domain.quantities import as_text, billed_units, digit_count, exact_sum, has_moved
from sync.domain.timeline import ceil_to, floor_to
from tests.unit.test_slices import at

decimals = st.decimals(min_value=-(10**12), max_value=10**12, places=9, allow_nan=False, allow_infinity=False)


class TestBilledUnits:
    @pytest.mark.parametrize(
        ("measured", "scale", "decimals", "billed"),
        [
            ("2.5", "1", 0, "2"),
            ("3.5", "1", 0, "4"),
            ("-2.5", "1", 0, "-2"),
            ("0.6000000000000001", "1", 6, "0.600000"),
            ("1500", "0.001", 2, "1.50"),
            ("0.0004", "1000", 2, "0.40"),
            ("12345678901234567890.5", "1", 0, "12345678901234567890"),
        ],
    )
    def test_are_rounded_half_even_once(self, measured, scale, decimals, billed):
        assert billed_units(Decimal(measured), scale=Decimal(scale), decimals=decimals) == Decimal(billed)


class TestHasMoved:
    def test_ignores_float_noise_but_not_a_unit_of_the_last_place(self):
        noise = (Decimal("0.6"), Decimal("0.6000000000000001"))
        assert not has_moved(*noise, scale=Decimal(1), decimals=6)
        assert has_moved(Decimal("0.6"), Decimal("0.600001"), scale=Decimal(1), decimals=6)

    def test_measures_after_scaling(self):
        assert not has_moved(Decimal(0), Decimal(400), scale=Decimal("0.001"), decimals=0)
        assert has_moved(Decimal(0), Decimal(1000), scale=Decimal("0.001"), decimals=0)


class TestAsText:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("10.000000", "10"),
            ("1E+3", "1000"),
            ("1E-7", "0.0000001"),
            ("-0.0", "0"),
            ("0", "0"),
            ("-2.50", "-2.5"),
        ],
    )
    def test_is_plain(self, value, text):
        assert as_text(Decimal(value)) == text

    @given(decimals)
    def test_loses_nothing_and_never_has_an_exponent(self, value):
        text = as_text(value)
        assert Decimal(text) == value
        assert "E" not in text.upper()

    @pytest.mark.parametrize(
        ("value", "digits"), [("0.000001", 1), ("123456789012345", 15), ("1E+15", 16), ("-1.50", 2), ("0", 0)]
    )
    def test_is_counted_as_stripe_counts(self, value, digits):
        assert digit_count(Decimal(value)) == digits


class TestExactSum:
    @given(st.lists(decimals, max_size=30))
    def test_does_not_depend_on_the_order(self, values):
        assert exact_sum(values) == exact_sum(sorted(values)) == exact_sum(values[::-1])


class TestIdentifiers:
    def test_name_slice_and_revision_by_stripe_ids(self):
        names = {
            report_identifier(meter_id=m, customer_id=c, slice_start=s, revision=r)
            for m in ("mtr_1", "mtr_2")
            for c in ("cus_1", "cus_2")
            for s in (at("01 00:00:00"), at("01 00:00:01"))
            for r in (1, 2)
        }
        assert len(names) == 16
        assert "bc1:mtr_1:cus_1:1772323200:1" in names

    @given(
        meter=st.text("ab1_", min_size=1, max_size=255), customer=st.text("ab1_", min_size=1, max_size=255)
    )
    def test_fit_into_what_stripe_takes(self, meter, customer):
        name = report_identifier(
            meter_id=meter, customer_id=customer, slice_start=at("01 00:00:00"), revision=10**6
        )
        assert len(name) <= MAX_LENGTH
        assert len(idempotency_key(identifier=name, series=10**6)) <= 255


class TestBrake:
    def reason(self, *changes, total=100, empty=False):
        made = [Change(accounted=Decimal(a), target=Decimal(b)) for a, b in changes]
        return brake_reason(
            made, accounted_total=Decimal(total), silence=EMPTY_ANSWER if empty else "", percent=5
        )

    def test_lets_growth_and_small_corrections_pass(self):
        assert self.reason((10, 20)) == ""
        assert self.reason((10, 5)) == ""

    def test_stops_what_lowers_too_much(self):
        assert "more than 5 %" in self.reason((10, 4))
        assert self.reason((10, 7), (10, 7), (10, 1000)) != ""

    def test_stops_any_loss_where_the_answer_is_empty(self):
        assert "no usage at all" in self.reason((1, 0), empty=True)


class TestGrid:
    def test_floors_and_ceils_in_utc(self):
        from datetime import timedelta

        assert floor_to(at("01 09:59:59"), timedelta(hours=1)) == at("01 09:00:00")
        assert ceil_to(at("01 09:00:01"), timedelta(hours=1)) == at("01 10:00:00")
        assert ceil_to(at("01 09:00:00"), timedelta(hours=1)) == at("01 09:00:00")
