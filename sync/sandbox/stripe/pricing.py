"""What a price makes of a quantity, exactly."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext

from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.ledger import EXACT_DIGITS

PLACES = Decimal("1e-12")
"""An invoice line carries a quantity with at most twelve decimals."""


def billable(quantity: Decimal) -> Decimal:
    """The quantity that a line carries: a negative one is zero, the thirteenth decimal is rounded half up."""
    with localcontext(prec=EXACT_DIGITS):
        return max(quantity, Decimal(0)).quantize(PLACES, rounding=ROUND_HALF_UP)


def exact_amounts(price: Body, quantity: Decimal) -> list[tuple[Decimal, Decimal]]:
    """How many units cost what in the currency's minor unit, not rounded: one pair, or one for each tier."""
    with localcontext(prec=EXACT_DIGITS):
        if price["billing_scheme"] == "per_unit":
            unit_amount = Decimal(price["unit_amount_decimal"])
            return [(quantity, _packages(price, quantity) * unit_amount)]
        tiers: list[Body] = price["tiers"]
        if price["tiers_mode"] == "graduated":
            return list(_graduated(tiers, quantity))
        return [(quantity, _volume(tiers, quantity))]


def whole_amount(exact: Decimal) -> int:
    """The amount of a line: rounded once, half up, to the minor unit."""
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def whole_quantity(quantity: Decimal) -> int:
    """The integer beside the exact quantity: cut off."""
    return int(quantity.to_integral_value(rounding=ROUND_DOWN))


def _packages(price: Body, quantity: Decimal) -> Decimal:
    transform = price["transform_quantity"]
    if not transform:
        return quantity
    rounding = ROUND_CEILING if transform["round"] == "up" else ROUND_FLOOR
    return (quantity / Decimal(transform["divide_by"])).to_integral_value(rounding=rounding)


def _graduated(tiers: list[Body], quantity: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    """Each unit at its own tier's price, and the flat amount of every tier that is reached.

    The first tier's flat amount is due even for nothing at all.
    """
    begin = Decimal(0)
    for tier in tiers:
        if begin and quantity <= begin:
            return
        end = quantity if tier["up_to"] is None else min(quantity, Decimal(tier["up_to"]))
        units = end - begin
        yield units, units * _amount(tier, "unit_amount") + _amount(tier, "flat_amount")
        begin = Decimal(tier["up_to"] or 0)


def _volume(tiers: list[Body], quantity: Decimal) -> Decimal:
    """Every unit at the price of the tier that holds the whole quantity."""
    tier = next(tier for tier in tiers if tier["up_to"] is None or quantity <= tier["up_to"])
    return quantity * _amount(tier, "unit_amount") + _amount(tier, "flat_amount")


def _amount(tier: Body, name: str) -> Decimal:
    return Decimal(tier[f"{name}_decimal"] or 0)
