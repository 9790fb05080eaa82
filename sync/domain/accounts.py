"""What a slice's ledger rows add up to."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

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


def account_of(entries: Iterable[tuple[Decimal, Counts]], *, sets_hours: bool) -> Account:
    """Add up the values of a slice's rows, in the order of their revisions.

    Where one value stands for an hour the newest accounted value is what Stripe holds; else they add up.
    """
    if not sets_hours:
        rows = list(entries)
        return Account(
            accounted=exact_sum([value for value, counts in rows if counts is Counts.AS_ACCOUNTED]),
            written_off=exact_sum([value for value, counts in rows if counts is Counts.AS_WRITTEN_OFF]),
        )
    accounted = written_off = Decimal(0)
    for value, counts in entries:
        if counts is Counts.AS_ACCOUNTED:
            accounted = value
        elif counts is Counts.AS_WRITTEN_OFF:
            written_off += value - accounted
    return Account(accounted=accounted, written_off=written_off)
