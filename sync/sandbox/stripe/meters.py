"""/v1/billing/meters"""

from sync.sandbox.stripe.errors import invalid
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import PREFIXES, Body
from sync.sandbox.stripe.operations import Call, Operation, new_object
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Choice, Text, group, listing, shape

METER = "billing.meter"
STATUSES = ("active", "inactive")

CREATE = shape(
    default_aggregation=group(formula=Choice(("count", "last", "sum"))).needing("formula"),
    display_name=Text(250),
    event_name=Text(100),
    event_time_window=Choice(("day", "hour")),
    customer_mapping=group(event_payload_key=Text(100), type=Choice(("by_id",))).needing(
        "event_payload_key type"
    ),
    value_settings=group(event_payload_key=Text(100)).needing("event_payload_key"),
).needing("default_aggregation display_name event_name")


def create(call: Call) -> Body:
    """A new active meter. No other active one may have its event name."""
    params = call.params
    _refuse_taken_name(call, params["event_name"])
    meter = new_object(
        METER,
        new_id(PREFIXES[METER]),
        at=call.at,
        customer_mapping=params.get("customer_mapping")
        or {"event_payload_key": "stripe_customer_id", "type": "by_id"},
        default_aggregation=params["default_aggregation"],
        display_name=params["display_name"],
        event_name=params["event_name"],
        event_time_window=params.get("event_time_window"),
        status="active",
        status_transitions={"deactivated_at": None},
        updated=call.at,
        value_settings=params.get("value_settings") or {"event_payload_key": "value"},
    )
    return call.objects.save(meter)


def retrieve(call: Call) -> Body:
    """The meter."""
    return call.objects.get(METER, call.path("id"))


def update(call: Call) -> Body:
    """The meter with another display name; nothing else about it can change."""
    meter = retrieve(call)
    name = call.params.get("display_name") or meter["display_name"]
    return call.objects.save(meter | {"display_name": name, "updated": call.at})


def list_meters(call: Call) -> Body:
    """Meters, newest first."""
    status = call.params.get("status")
    rows = [meter for meter in call.objects.all(METER) if status in (None, meter["status"])]
    return page(rows, call.params, url=call.url)


def deactivate(call: Call) -> Body:
    """The meter takes no more events. On an inactive meter this is refused."""
    meter = retrieve(call)
    if meter["status"] != "active":
        message = "You can only deactivate an active meter."
        raise invalid(message, "id")
    return call.objects.save(
        meter | {"status": "inactive", "status_transitions": {"deactivated_at": call.at}, "updated": call.at}
    )


def reactivate(call: Call) -> Body:
    """The meter takes events again, unless another active one took its event name meanwhile."""
    meter = retrieve(call)
    if meter["status"] == "active":
        message = "You can only reactivate an inactive meter."
        raise invalid(message, "id")
    _refuse_taken_name(call, meter["event_name"])
    return call.objects.save(
        meter | {"status": "active", "status_transitions": {"deactivated_at": None}, "updated": call.at}
    )


def _refuse_taken_name(call: Call, event_name: str) -> None:
    # Whether a deactivated meter frees its name is not established; here it does.
    if call.objects.active_meter(event_name):
        message = f"An active meter with event name {event_name} already exists."
        raise invalid(message, "event_name")


OPERATIONS = [
    Operation("POST", "/v1/billing/meters", create, CREATE),
    Operation("GET", "/v1/billing/meters", list_meters, listing(status=Choice(STATUSES))),
    Operation("GET", "/v1/billing/meters/{id}", retrieve, shape()),
    Operation("POST", "/v1/billing/meters/{id}", update, shape(display_name=Text(250))),
    Operation("POST", "/v1/billing/meters/{id}/deactivate", deactivate, shape()),
    Operation("POST", "/v1/billing/meters/{id}/reactivate", reactivate, shape()),
]
