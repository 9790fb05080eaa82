"""What a slice's ledger rows add up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Protocol

from sync.domain.quantities import exact_sum


class Counts(Enum):
    """How a ledger row counts for its slice."""

    AS_ACCOUNTED = "accounted"
    """Stripe was told its value, will be, or may have been."""
    AS_WRITTEN_OFF = "written off"
    """Its usage is real and will not be billed: a person decided so."""
    NOT = "not"
    """As if it had never been: withdrawn, or dismissed because the measurement was wrong."""


@dataclass(frozen=True, slots=True)
class Account:
    """Billed units of one slice: what Stripe holds or will hold, and what was written off beside it."""

    accounted: Decimal
    written_off: Decimal

    def target(self, quantity: Decimal) -> Decimal:
        """Return what Stripe should hold for a slice that comes to `quantity`."""
        return quantity - self.written_off


class Entry(Protocol):
    """A ledger row: what the slice comes to, what Stripe is told, and how that counts."""

    @property
    def quantity(self) -> Decimal: ...

    @property
    def value(self) -> Decimal: ...

    @property
    def counts(self) -> Counts: ...


def account_of(rows: Sequence[Entry], *, sets_hours: bool) -> Account:
    """Add up a slice's rows, in the order of their revisions.

    Where one value stands for an hour the newest accounted value is what Stripe holds; else they add up.
    """
    if not sets_hours:
        return Account(
            accounted=exact_sum([row.value for row in rows if row.counts is Counts.AS_ACCOUNTED]),
            written_off=exact_sum([row.value for row in rows if row.counts is Counts.AS_WRITTEN_OFF]),
        )
    accounted = written_off = Decimal(0)
    for row in rows:
        if row.counts is Counts.AS_ACCOUNTED:
            accounted = row.value
        elif row.counts is Counts.AS_WRITTEN_OFF:
            # All that the hour came to and Stripe does not hold, whatever was written off of it before.
            written_off = row.quantity - accounted
    return Account(accounted=accounted, written_off=written_off)
