"""What a decision moves is added up without signs."""

from decimal import Decimal

from sync.domain.pricing import Money
from sync.domain.stake import Movement, stake_of


def movement(units, *cents, currency="usd", meter="tokens"):
    return Movement(meter, Decimal(units), [Money(Decimal(minor), currency) for minor in cents])


class TestStake:
    def test_does_not_set_ups_and_downs_off(self):
        stake = stake_of([movement(5, 500_000), movement(-5, -500_000), movement(1, 7, currency="eur")])
        assert [money.text for money in stake.moved] == ["0.07 EUR", "10,000.00 USD"]
        assert [money.text for money in stake.less] == ["5,000.00 USD"]

    def test_counts_units_without_a_price_by_meter(self):
        stake = stake_of([movement(5), movement("-0.5"), movement(2, meter="calls"), movement(0, meter="x")])
        assert stake.unpriced == {"calls": 2, "tokens": Decimal("5.5")}
        assert stake.moved == []

    def test_is_nothing_where_nothing_moves(self):
        assert stake_of([]) == stake_of([movement(0)])
