"""/v2/core/events"""

import datetime as dt
import operator

from sync.sandbox.stripe.errors import invalid, no_such
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.shapes import ListOf, Text, Whole, group, shape

MOST = 100
LIST = shape(
    types=ListOf(Text()),
    created=group(gte=Text(), gt=Text(), lt=Text(), lte=Text()),
    limit=Whole(),
    object_id=Text(),
    page=Text(),
)


def list_events(call: Call) -> Body:
    """Thin events of the last 30 days, newest first, a page at a time."""
    params = call.params
    call.account.refusals.report(now=call.account.now())
    bounds = {name: _instant(text) for name, text in params.get("created", {}).items()}
    rows = [
        event
        for event in call.account.refusals.all(now=call.account.now())[::-1]
        if event["type"] in params.get("types", [event["type"]])
        and all(_HOLDS[name](_instant(event["created"]), bound) for name, bound in bounds.items())
    ]
    first, limit = int(params.get("page") or 0), min(params.get("limit") or 10, MOST)
    following = first + limit < len(rows)
    rest = call.exchange.query.decode().partition("&page=")[0]
    return {
        "object": "list",
        "data": rows[first : first + limit],
        "next_page_url": f"{call.url}?{rest}&page={first + limit}" if following else None,
        "previous_page_url": None,
    }


def _instant(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"Invalid timestamp: {text}"
        raise invalid(message, "created") from error


_HOLDS = {"gte": operator.ge, "gt": operator.gt, "lt": operator.lt, "lte": operator.le}


def retrieve(call: Call) -> Body:
    """The thin event with its data."""
    event = call.account.refusals.find(call.path("id"), now=call.account.now())
    if event is None:
        raise no_such(call.path("id"), "event")
    return event


OPERATIONS = [
    Operation("GET", "/v2/core/events", list_events, LIST),
    Operation("GET", "/v2/core/events/{id}", retrieve, shape()),
]
