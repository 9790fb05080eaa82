"""GET /v1/billing/meters/{id}/event_summaries"""

import datetime as dt
import hashlib

from sync.sandbox.stripe.errors import invalid
from sync.sandbox.stripe.ledger import WINDOW_SECONDS, Event, aggregate, counted, floor
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Choice, Text, Whole, listing

MINUTE_SECONDS = 60

LIST = listing(
    customer=Text(), start_time=Whole(), end_time=Whole(), value_grouping_window=Choice(("day", "hour"))
).needing("customer start_time end_time")


def list_summaries(call: Call) -> Body:
    """What the meter has for a customer in [start_time, end_time): one total, or one per UTC hour or day.

    Whether Stripe lists windows without usage is not established; here they are listed as zero.
    """
    meter = call.objects.get("billing.meter", call.path("id"))
    customer = call.objects.get("customer", call.params["customer"], param="customer", status=400)["id"]
    start, end = _bounds(call)
    events = _events(call, meter, customer, start=start, end=end)
    grouping = call.params.get("value_grouping_window")
    step = WINDOW_SECONDS[grouping] if grouping else end - start
    formula = meter["default_aggregation"]["formula"]
    by_window: dict[int, list[Event]] = {}
    for event in events:
        by_window.setdefault(start + (event.timestamp - start) // step * step, []).append(event)
    rows = [
        {
            "id": _id(meter["id"], customer, window_start, step),
            "object": "billing.meter_event_summary",
            "aggregated_value": aggregate(by_window.get(window_start, []), formula=formula),
            "end_time": window_start + step,
            "livemode": False,
            "meter": meter["id"],
            "start_time": window_start,
        }
        for window_start in range(start, end, step)
    ]
    return page(rows[::-1], call.params, url=call.url)


def _bounds(call: Call) -> tuple[int, int]:
    start, end = call.params["start_time"], call.params["end_time"]
    if end <= start:
        message = "The end_time must be after the start_time."
        raise invalid(message, "end_time")
    grouping = call.params.get("value_grouping_window")
    unit = WINDOW_SECONDS[grouping] if grouping else MINUTE_SECONDS
    for name, value in (("start_time", start), ("end_time", end)):
        if value % unit:
            message = f"The {name} must align with UTC {grouping or 'minute'} boundaries."
            raise invalid(message, name)
    return start, end


def _events(call: Call, meter: Body, customer: str, *, start: int, end: int) -> list[Event]:
    """The counted events inside the bounds that are visible by now."""
    window = meter["event_time_window"]
    first, last = start, end
    if window:
        # An event inside the bounds may be replaced by one of its window that lies outside them.
        first, last = floor(start, window), floor(end - 1, window) + WINDOW_SECONDS[window]
    lag = dt.timedelta(seconds=call.account.world.settings.summary_lag_seconds)
    visible_until = call.account.now() - lag
    events = call.account.ledger.between(meter["id"], customer, start=first, end=last)
    visible = (event for event in events if not lag or event.received_at <= visible_until)
    return [event for event in counted(visible, window=window) if start <= event.timestamp < end]


def _id(*parts: object) -> str:
    # The same window has the same id at every call: it is a cursor.
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
    return f"mtrusg_test_{digest[:24]}"


OPERATIONS = [Operation("GET", "/v1/billing/meters/{id}/event_summaries", list_summaries, LIST)]
