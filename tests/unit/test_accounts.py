"""What the rows of a slice add up to where one value stands for an hour."""

from dataclasses import dataclass
from decimal import Decimal

from sync.domain.accounts import Account, Counts, account_of


@dataclass
class Row:
    quantity: Decimal
    value: Decimal
    counts: Counts


def row(quantity: int, value: int, counts: Counts) -> Row:
    return Row(Decimal(quantity), Decimal(value), counts)


def test_an_hour_that_is_written_off_twice_is_written_off_once():
    rows = [row(10, 10, Counts.AS_WRITTEN_OFF), row(14, 14, Counts.AS_WRITTEN_OFF)]
    assert account_of(rows, sets_hours=True) == Account(accounted=Decimal(0), written_off=Decimal(14))


def test_what_was_written_off_before_is_part_of_what_an_hour_came_to():
    rows = [
        row(10, 10, Counts.AS_ACCOUNTED),
        row(14, 14, Counts.AS_WRITTEN_OFF),
        row(15, 11, Counts.AS_WRITTEN_OFF),
    ]
    assert account_of(rows, sets_hours=True) == Account(accounted=Decimal(10), written_off=Decimal(5))


def test_differences_that_are_written_off_add_up():
    rows = [row(10, 10, Counts.AS_WRITTEN_OFF), row(14, 4, Counts.AS_WRITTEN_OFF)]
    assert account_of(rows, sets_hours=False) == Account(accounted=Decimal(0), written_off=Decimal(14))
