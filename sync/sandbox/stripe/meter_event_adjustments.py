"""POST /v1/billing/meter_event_adjustments"""

from sync.sandbox.stripe.errors import invalid, missing
from sync.sandbox.stripe.ledger import UNIQUE_FOR
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.shapes import Choice, Text, group, shape

CREATE = shape(
    cancel=group(identifier=Text(100)),
    event_name=Text(100),
    type=Choice(("cancel",)),
).needing("event_name type")


def create(call: Call) -> Body:
    """The event counts for nothing that is not final. Only one received in the last 24 hours can be canceled.

    What that means in a windowed meter is not established; here the value that it replaced counts again.
    """
    identifier = call.params.get("cancel", {}).get("identifier")
    if not identifier:
        raise missing(param="cancel[identifier]")
    account = call.account
    event = account.ledger.find(identifier, event_name=call.params["event_name"])
    if event is None:
        message = f"No event found with identifier {identifier}."
        raise invalid(message, "cancel[identifier]", code="resource_missing")
    if account.now() - event.received_at >= UNIQUE_FOR:
        message = f"The event {identifier} was received more than 24 hours ago and cannot be canceled."
        raise invalid(message, "cancel[identifier]")
    account.ledger.cancel(event, at=account.now())
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": event.event_name,
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


OPERATIONS = [Operation("POST", "/v1/billing/meter_event_adjustments", create, CREATE)]
