"""Quantities: the one place that rounds, and the text that Stripe is sent."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache, reduce

MAX_DIGITS = 15
"""Stripe refuses a value of more digits (`meter_event_value_too_many_digits`)."""

STORED_DECIMALS = 18
_STORED_STEP = Decimal(1).scaleb(-STORED_DECIMALS)
_STORED_LIMIT = Decimal(10) ** 20

_CONTEXT = Context(prec=400, rounding=ROUND_HALF_EVEN)
"""Wide enough that nothing OpenMeter can answer (a float64, up to 309 digits) is rounded by accident.

Its methods are called outright: to make it the thread's context takes longer than what is computed.
"""


def billed_units(measured: Decimal, *, scale: Decimal, decimals: int) -> Decimal:
    """Return `measured × scale` rounded half-even to `decimals` places: the units that are billed."""
    return _CONTEXT.quantize(_CONTEXT.multiply(measured, scale), _last_place(decimals))


def measurement_of(units: Decimal, *, scale: Decimal) -> Decimal:
    """Return what must be measured to come to these units, to 18 decimals, half-even."""
    return _CONTEXT.quantize(_CONTEXT.divide(units, scale), _STORED_STEP)


def has_moved(before: Decimal, after: Decimal, *, scale: Decimal, decimals: int) -> bool:
    """Whether a measurement changed by at least one unit of the last billed place.

    OpenMeter sums binary floats in any order, so two readings of the same events may differ by noise.
    """
    moved = _CONTEXT.multiply(_CONTEXT.subtract(after, before), scale)
    return _CONTEXT.abs(moved) >= _last_place(decimals)


def exact_sum(values: list[Decimal]) -> Decimal:
    """Return the sum, never rounded."""
    return reduce(_CONTEXT.add, values, Decimal(0))


def exact_add(one: Decimal, other: Decimal) -> Decimal:
    """Return the sum of two, never rounded."""
    return _CONTEXT.add(one, other)


def as_measured(value: Decimal) -> Decimal:
    """Return a measurement with at most 18 decimals, half-even: what the ledger can hold.

    OpenMeter's binary floats may show 20 decimals; the last two are noise.
    """
    return value if _decimals(value) <= STORED_DECIMALS else _CONTEXT.quantize(value, _STORED_STEP)


def fits_the_ledger(value: Decimal) -> bool:
    """Whether a quantity has no more than the 20 digits before the point that a column holds."""
    return abs(value) < _STORED_LIMIT


@cache
def _last_place(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def _decimals(value: Decimal) -> int:
    return -int(value.as_tuple().exponent)


def as_text(value: Decimal) -> str:
    """Return plain digits without exponent or trailing zeros: "12.5", "0", "-3"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def digit_count(value: Decimal) -> int:
    """Return how many digits Stripe would count: sign, point and leading zeros left out."""
    return len(as_text(value).replace("-", "").replace(".", "").lstrip("0"))
