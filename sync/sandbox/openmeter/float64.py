"""The float64 edge: quantities are Decimal up to here, and only what leaves is rounded.

The real server hands every value over as a Go float64, in its decimal mode too, so a client of the
sandbox must meet the same loss of digits that it will meet in production.
"""

import sys
from decimal import Decimal

MAX = Decimal(sys.float_info.max)
"""Beyond this a number is infinite to the real server, which then skips it."""


def json_text(value: Decimal) -> str:
    """The nearest float64 as Go's encoding/json writes it.

    That is the shortest digits that read back as the same float64, without a trailing ".0", and with
    an exponent only outside 1e-6 … 1e21.
    """
    nearest = float(value)
    shortest = repr(nearest)
    if nearest and not 1e-6 <= abs(nearest) < 1e21:
        return _go_exponent(shortest)
    return f"{Decimal(shortest):f}".removesuffix(".0")


def csv_text(value: Decimal) -> str:
    """The nearest float64 with six decimals, Go's `%f`: less than the JSON answer says."""
    return f"{float(value):f}"


def _go_exponent(shortest: str) -> str:
    digits, _, exponent = shortest.partition("e")
    # Go drops the padding of a negative exponent (1e-7) and keeps the sign of a positive one (1e+21);
    # Python pads to two digits, which only ever shows on the negative side.
    sign, power = exponent[0], exponent[1:].lstrip("0")
    return f"{digits.removesuffix('.0')}e{sign}{power}"
