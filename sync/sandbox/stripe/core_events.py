"""GET /v2/core/events/{id}"""

from sync.sandbox.stripe.errors import no_such
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.shapes import shape


def retrieve(call: Call) -> Body:
    """The thin event with its data."""
    event = call.account.refusals.find(call.path("id"), now=call.account.now())
    if event is None:
        raise no_such(call.path("id"), "event")
    return event


OPERATIONS = [Operation("GET", "/v2/core/events/{id}", retrieve, shape())]
