"""/v1/events"""

import re
from collections.abc import Callable

from sync.sandbox.stripe.errors import invalid, no_such
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import API_VERSION, Call, Operation
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Flag, ListOf, Range, Text, listing, shape, within
from sync.sandbox.stripe.snapshots import unpacked

MOST_TYPES = 20

LIST = listing(created=Range(), delivery_success=Flag(), type=Text(), types=ListOf(Text()))


def list_events(call: Call) -> Body:
    """What happened in the last 30 days, newest first."""
    params = call.params
    is_wanted = _type_filter(params)
    rows = [
        event
        for event in call.account.snapshots.all()
        # Nobody listens, so no delivery ever failed or is due.
        if params.get("delivery_success", True)
        and within(params.get("created"), event["created"])
        and is_wanted(event["type"])
    ]
    listed = page(rows, params, url=call.url)
    return listed | {"data": [shown(event) for event in listed["data"]]}


def retrieve(call: Call) -> Body:
    """The event."""
    event = call.account.snapshots.find(call.path("id"))
    if event is None:
        raise no_such(call.path("id"), "event")
    return shown(event)


def _type_filter(params: Body) -> Callable[[str], bool]:
    if "type" in params and "types" in params:
        message = "You may only specify one of these parameters: type, types."
        raise invalid(message, "type")
    wanted = params.get("types", [])
    if len(wanted) > MOST_TYPES:
        message = f"You can specify up to {MOST_TYPES} types."
        raise invalid(message, "types")
    if params.get("type"):
        pattern = re.escape(params["type"]).replace(r"\*", ".*")
        return lambda name: re.fullmatch(pattern, name) is not None
    return lambda name: not wanted or name in wanted


def shown(event: Body) -> Body:
    """The event as the API and webhooks show it."""
    return unpacked(event) | {
        "api_version": API_VERSION,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
    }


OPERATIONS = [
    Operation("GET", "/v1/events", list_events, LIST),
    Operation("GET", "/v1/events/{id}", retrieve, shape()),
]
