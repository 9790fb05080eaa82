"""Which part of what a slice came to each of its rows speaks for."""

from collections.abc import Sequence
from decimal import Decimal

from sync.domain.accounts import Counts, Entry
from sync.domain.quantities import exact_add

NOTHING = Decimal(0)


def shares(rows: Sequence[Entry], *, sets_hours: bool) -> list[Decimal]:
    """Return the units that each row adds to its slice, rows in the order of their revisions.

    They add up to what the slice came to. A row that counts for nothing, because it was withdrawn or its
    measurement was wrong, adds nothing. Where one value stands for an hour, a row adds the difference to
    the value before.
    """
    if not sets_hours:
        return [NOTHING if row.counts is Counts.NOT else row.value for row in rows]
    found: list[Decimal] = []
    accounted = written_off = NOTHING
    for row in rows:
        if row.counts is Counts.AS_ACCOUNTED:
            found.append(exact_add(row.value, -accounted))
            accounted = row.value
        elif row.counts is Counts.AS_WRITTEN_OFF:
            given_up = exact_add(row.quantity, -accounted)
            found.append(exact_add(given_up, -written_off))
            written_off = given_up
        else:
            found.append(NOTHING)
    return found
