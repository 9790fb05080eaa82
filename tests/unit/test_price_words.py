"""A price's terms in words."""

from decimal import Decimal

import pytest

from sync.domain.price_words import TierWords, amount_text, price_sentence, tier_words
from tests.unit.test_pricing import GRADUATED, IN_THOUSANDS, PER_UNIT, VOLUME, usd


class TestPriceSentence:
    @pytest.mark.parametrize(
        ("terms", "sentence"),
        [
            (PER_UNIT, "0.00002 USD a unit, monthly"),
            (usd(unit_amount=Decimal(1)), "0.01 USD a unit, monthly"),
            (usd(), "no amount, monthly"),
            (IN_THOUSANDS, "0.30 USD for every begun 1,000 units, monthly"),
            (
                usd(unit_amount=Decimal(30), transform_quantity={"divide_by": 10, "round": "down"}),
                "0.30 USD for every full 10 units, monthly",
            ),
            (GRADUATED, "3 tiers, each prices the units inside it, monthly"),
            (VOLUME, "3 tiers, the one that all units reach prices each of them, monthly"),
        ],
    )
    def test_says_what_a_unit_costs_and_how_often_it_is_billed(self, terms, sentence):
        assert price_sentence(terms, interval="month") == sentence

    def test_says_longer_intervals(self):
        assert price_sentence(PER_UNIT, interval="month", interval_count=3).endswith(", every 3 months")
        assert price_sentence(PER_UNIT) == "0.00002 USD a unit"


class TestAmountText:
    @pytest.mark.parametrize(
        ("minor", "currency", "text"),
        [("123456.7", "usd", "1,234.567 USD"), ("5", "jpy", "5 JPY"), ("0.5", "jpy", "0.5 JPY")],
    )
    def test_keeps_every_decimal(self, minor, currency, text):
        assert amount_text(Decimal(minor), currency) == text


class TestTierWords:
    def test_names_which_units_and_what_they_cost(self):
        assert tier_words(GRADUATED) == [
            TierWords(units="up to 1,000", unit="0.02 USD", flat="5.00 USD"),
            TierWords(units="above 1,000 up to 10,000", unit="0.015 USD", flat=""),
            TierWords(units="above 10,000", unit="0.01 USD", flat="1.00 USD"),
        ]

    def test_one_tier_is_all_units(self):
        assert [tier.units for tier in tier_words(usd(tiers=({"up_to": None, "unit_amount": 1},)))] == [
            "all units"
        ]
        assert tier_words(PER_UNIT) == []
