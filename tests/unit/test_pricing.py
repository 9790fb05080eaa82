"""What quantities cost at Stripe's schemes."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.pricing import Money, PriceTerms

TIERS = (
    {"up_to": 1000, "unit_amount_decimal": "2", "flat_amount": 500},
    {"up_to": 10_000, "unit_amount_decimal": "1.5", "flat_amount_decimal": None},
    {"up_to": None, "unit_amount": 1, "unit_amount_decimal": None, "flat_amount": 100},
)
"""Two cents for the first thousand and five dollars for having any, then cheaper."""


def usd(**terms) -> PriceTerms:
    return PriceTerms(currency="usd", **{"unit_amount": None} | terms)


PER_UNIT = usd(unit_amount=Decimal("0.002"))
GRADUATED = usd(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS)
VOLUME = usd(billing_scheme="tiered", tiers_mode="volume", tiers=TIERS)
IN_THOUSANDS = usd(unit_amount=Decimal(30), transform_quantity={"divide_by": 1000, "round": "up"})
ALL_TERMS = [PER_UNIT, GRADUATED, VOLUME, IN_THOUSANDS]

quantities = st.decimals(min_value=0, max_value=10**9, places=6)


def cents(terms, quantity) -> Decimal:
    return terms.amount(Decimal(quantity)).minor


class TestMoney:
    @pytest.mark.parametrize(
        ("minor", "currency", "text"),
        [
            ("123450", "usd", "1,234.50 USD"),
            ("0.4999", "usd", "0.00 USD"),
            ("0.5", "usd", "0.01 USD"),
            ("-150", "eur", "-1.50 EUR"),
            ("1234", "jpy", "1,234 JPY"),
            ("1234.5", "jpy", "1,235 JPY"),
            ("1234", "kwd", "1.234 KWD"),
        ],
    )
    def test_is_written_with_the_decimals_that_its_currency_has(self, minor, currency, text):
        assert Money(Decimal(minor), currency).text == text


class TestPerUnit:
    def test_costs_the_same_for_every_unit_and_is_not_rounded(self):
        assert cents(PER_UNIT, "1234.5") == Decimal("2.4690")

    def test_a_price_without_an_amount_is_free(self):
        assert cents(usd(), 1000) == 0

    def test_less_than_nothing_costs_nothing(self):
        assert cents(PER_UNIT, -5) == 0

    def test_keeps_every_digit_of_a_long_number(self):
        terms = usd(unit_amount=Decimal("0.000000000001"))
        assert cents(terms, "12345678901234567890.123456") == Decimal("12345678.901234567890123456")


class TestTransformedQuantity:
    @pytest.mark.parametrize(
        ("direction", "quantity", "packs"),
        [("up", 1001, 2), ("up", 1000, 1), ("up", 0, 0), ("down", 1999, 1), ("down", 999, 0)],
    )
    def test_is_divided_and_rounded_before_it_is_priced(self, direction, quantity, packs):
        terms = usd(unit_amount=Decimal(30), transform_quantity={"divide_by": 1000, "round": direction})
        assert cents(terms, quantity) == packs * 30


class TestGraduated:
    @pytest.mark.parametrize(
        ("quantity", "amount"),
        [
            ("0", "500"),
            ("1", "502"),
            ("1000", "2500"),
            ("1000.5", "2500.75"),
            ("10000", "16000"),
            ("10001", "16101"),
        ],
    )
    def test_each_tier_prices_the_units_inside_it(self, quantity, amount):
        assert cents(GRADUATED, quantity) == Decimal(amount)


class TestVolume:
    @pytest.mark.parametrize(
        ("quantity", "amount"),
        [("0", "500"), ("1000", "2500"), ("1001", "1501.5"), ("10000", "15000"), ("10001", "10101")],
    )
    def test_the_tier_that_all_units_reach_prices_all_of_them(self, quantity, amount):
        assert cents(VOLUME, quantity) == Decimal(amount)

    def test_beyond_the_last_tier_nothing_is_known(self):
        assert cents(usd(billing_scheme="tiered", tiers_mode="volume", tiers=TIERS[:1]), 2000) == 0


class TestDifference:
    def test_reaches_over_a_tier(self):
        assert GRADUATED.difference(before=Decimal(999), after=Decimal(1001)).minor == Decimal("3.5")

    def test_is_below_zero_where_volume_makes_more_units_cheaper(self):
        assert VOLUME.difference(before=Decimal(1000), after=Decimal(1001)).minor == Decimal("-998.5")

    @given(terms=st.sampled_from(ALL_TERMS), steps=st.lists(quantities, min_size=1, max_size=6))
    def test_steps_add_up_to_the_whole(self, terms, steps):
        points = sorted(steps)
        parts = [terms.difference(before=before, after=after).minor for before, after in pairwise(points)]
        assert sum(parts) == terms.difference(before=points[0], after=points[-1]).minor

    @given(before=quantities, units=quantities)
    def test_does_not_depend_on_what_came_before_where_terms_are_linear(self, before, units):
        assert PER_UNIT.is_linear
        assert not any(terms.is_linear for terms in (GRADUATED, VOLUME, IN_THOUSANDS))
        assert PER_UNIT.difference(before=before, after=before + units) == PER_UNIT.amount(units)


class TestAmount:
    @given(terms=st.sampled_from([PER_UNIT, GRADUATED, IN_THOUSANDS]), one=quantities, other=quantities)
    def test_never_falls_with_more_units(self, terms, one, other):
        less, more = sorted((one, other))
        assert cents(terms, less) <= cents(terms, more)

    @given(quantity=quantities)
    def test_a_single_tier_without_end_is_the_same_graduated_or_by_volume(self, quantity):
        tiers = ({"up_to": None, "unit_amount_decimal": "1.25", "flat_amount": 7},)
        graduated, volume = (
            usd(billing_scheme="tiered", tiers_mode=mode, tiers=tiers) for mode in ("graduated", "volume")
        )
        assert cents(graduated, quantity) == cents(volume, quantity) == quantity * Decimal("1.25") + 7
