"""OpenMeter's seven aggregations over Decimals: first what is read of each event, then what becomes of it.

Sums are exact here, where the real server adds float64s: a test that compares with the exact sum of
what it sent must fail because of the code under test, never because of an order of addition.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from typing import Any

from sync.sandbox.openmeter.events import Event
from sync.sandbox.openmeter.json_path import JsonPath
from sync.sandbox.openmeter.meters import Meter

EXACT = Context(prec=1000)
"""Digits enough to add the largest and the smallest float64 without rounding."""
MEAN = Context(prec=40)
"""Twice what a float64 can show of a mean that has no end."""

Reading = Any
"""What one event contributes: a Decimal, a text for UNIQUE_COUNT, None when it contributes nothing."""


def reader(meter: Meter) -> Callable[[Event], Reading | None]:
    """What the meter's aggregation reads of an event."""
    path = meter.value
    if path is None:
        return lambda _event: True
    if meter.aggregation == "UNIQUE_COUNT":
        return lambda event: _distinguishable(path, event)
    return lambda event: path.number(event.data)


def aggregate(aggregation: str, readings: Sequence[Reading]) -> Decimal | None:
    """The value of these readings, oldest first; None where the real server would leave the row out."""
    if aggregation in COUNTS:
        return COUNTS[aggregation](readings)
    return REDUCTIONS[aggregation](readings) if readings else None


def measure(meter: Meter, events: Iterable[Event]) -> Decimal | None:
    """The value of all these events together, in the order of their time; None where they have none."""
    read = reader(meter)
    return aggregate(meter.aggregation, [reading for event in events if (reading := read(event)) is not None])


def exact_sum(numbers: Sequence[Decimal]) -> Decimal:
    """The sum without rounding."""
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def _distinguishable(path: JsonPath, event: Event) -> str | None:
    # A missing path is one more distinct text (""); JSON null is none, and so is the string "null".
    text = path.text(event.data)
    return None if text == "null" else text


def _mean(numbers: Sequence[Decimal]) -> Decimal:
    return MEAN.divide(exact_sum(numbers), Decimal(len(numbers)))


def _latest(numbers: Sequence[Decimal]) -> Decimal:
    return numbers[-1]


COUNTS: dict[str, Callable[[Sequence[Reading]], Decimal]] = {
    "COUNT": lambda readings: Decimal(len(readings)),
    "UNIQUE_COUNT": lambda readings: Decimal(len(set(readings))),
}
"""What counts has a value for no readings too: zero."""

REDUCTIONS: dict[str, Callable[[Sequence[Decimal]], Decimal]] = {
    "SUM": exact_sum,
    "AVG": _mean,
    "MIN": min,
    "MAX": max,
    "LATEST": _latest,
}
