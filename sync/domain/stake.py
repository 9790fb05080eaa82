"""What a decision moves: ups and downs are never set off against each other, and nothing is left out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sync.domain.pricing import Money
from sync.domain.quantities import exact_sum


@dataclass(frozen=True, slots=True)
class Movement:
    """`units` of a meter come to bills, below zero leave them; `amounts` is empty where no price is known."""

    meter: str
    units: Decimal
    amounts: Sequence[Money]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """How much bills go up and how much they go down, per currency, and what nobody can put a price on."""

    more: Sequence[Money] = ()
    less: Sequence[Money] = ()
    """Without its sign."""
    unpriced: Mapping[str, Decimal] = field(default_factory=dict)
    """Meter → units, up and down added up, whose price nobody knows."""

    @property
    def moved(self) -> list[Money]:
        """The sum of all amounts without their signs: +5,000 and -5,000 move 10,000."""
        return _per_currency([*self.more, *self.less])


def stake_of(movements: Iterable[Movement]) -> Stake:
    """Return what these movements add up to; exact, nothing is rounded."""
    more: list[Money] = []
    less: list[Money] = []
    unpriced: dict[str, list[Decimal]] = defaultdict(list)
    for one in movements:
        if one.units and not one.amounts:
            unpriced[one.meter].append(abs(one.units))
        for money in one.amounts:
            (less if money.minor < 0 else more).append(Money(abs(money.minor), money.currency))
    return Stake(
        more=_per_currency(more),
        less=_per_currency(less),
        unpriced={meter: exact_sum(parts) for meter, parts in sorted(unpriced.items())},
    )


def _per_currency(amounts: Iterable[Money]) -> list[Money]:
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for money in amounts:
        sums[money.currency].append(money.minor)
    return [Money(exact_sum(parts), currency) for currency, parts in sorted(sums.items())]
