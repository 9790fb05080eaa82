"""Billing periods: whole intervals counted from an anchor, in UTC."""

import datetime as dt

from dateutil.relativedelta import relativedelta

APPROXIMATE_SECONDS = {"day": 86_400, "week": 604_800, "month": 2_629_746, "year": 31_556_952}


def boundary(anchor: int, interval: str, count: int) -> int:
    """The instant `count` intervals after the anchor (before it, if negative).

    Months and years are counted from the anchor itself, so an anchor on the 31st clamps to the end of a
    short month and is back on the 31st in the next long one.
    """
    start = dt.datetime.fromtimestamp(anchor, dt.UTC)
    steps = {
        "day": relativedelta(days=count),
        "week": relativedelta(weeks=count),
        "month": relativedelta(months=count),
        "year": relativedelta(years=count),
    }
    return int((start + steps[interval]).timestamp())


def period_at(anchor: int, *, interval: str, interval_count: int, at: int) -> tuple[int, int]:
    """The period [start, end) of the anchor's grid that holds the instant `at`."""
    number = (at - anchor) // (APPROXIMATE_SECONDS[interval] * interval_count)
    while boundary(anchor, interval, number * interval_count) > at:
        number -= 1
    while boundary(anchor, interval, (number + 1) * interval_count) <= at:
        number += 1
    start = boundary(anchor, interval, number * interval_count)
    return start, boundary(anchor, interval, (number + 1) * interval_count)
