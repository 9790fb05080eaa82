"""/v1/customers"""

from sync.sandbox.stripe import lifecycle
from sync.sandbox.stripe.errors import no_such
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, new_object, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Kind, ListOf, Range, StringMap, Text, group, listing, shape, within

ADDRESS_LINES = ("city", "country", "line1", "line2", "postal_code", "state")

EDITABLE: dict[str, Kind] = {
    "address": group(**{line: Text() for line in ADDRESS_LINES}),
    "description": Text(),
    "email": Text(512),
    "name": Text(256),
    "phone": Text(20),
    "preferred_locales": ListOf(Text()),
}
WRITE = shape(metadata=StringMap(), **EDITABLE)


def create(call: Call) -> Body:
    """A new customer."""
    params = call.params
    customer = new_object(
        "customer",
        new_id("cus_"),
        at=call.at,
        address=_address(params.get("address")),
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        description=params.get("description"),
        discount=None,
        email=params.get("email"),
        invoice_prefix=new_id("")[:8].upper(),
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata=merge_metadata(None, params.get("metadata")),
        name=params.get("name"),
        next_invoice_sequence=1,
        phone=params.get("phone"),
        preferred_locales=params.get("preferred_locales", []),
        shipping=None,
        tax_exempt="none",
        test_clock=None,
    )
    return call.objects.save(customer)


def retrieve(call: Call) -> Body:
    """The customer; of a deleted one only the fact."""
    return call.objects.get("customer", call.path("customer"))


def update(call: Call) -> Body:
    """The customer with the given fields changed. A deleted one is refused."""
    customer = existing(call, call.path("customer"), param="id", status=404)
    changes = pick(call.params, *EDITABLE)
    if "address" in changes:
        changes["address"] = _address(changes["address"])
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(customer["metadata"], call.params["metadata"])
    return call.objects.save(customer | changes)


def list_customers(call: Call) -> Body:
    """Customers that are not deleted, newest first. The email must be the same to the letter."""
    params = call.params
    rows = [
        customer
        for customer in call.objects.all("customer")
        if not customer.get("deleted")
        and params.get("email", customer["email"]) == customer["email"]
        and within(params.get("created"), customer["created"])
    ]
    return page(rows, params, url=call.url)


def delete(call: Call) -> Body:
    """The customer is deleted, and its subscriptions are canceled."""
    customer = existing(call, call.path("customer"), param="id", status=404)
    for subscription in call.objects.all("subscription"):
        if subscription["customer"] == customer["id"]:
            lifecycle.cancel(call.account, subscription, at=call.at)
    return call.objects.save({"id": customer["id"], "object": "customer", "deleted": True})


def existing(call: Call, id_: str, *, param: str, status: int) -> Body:
    """The customer, if it is not deleted. Raises the StripeError for one that names nothing."""
    customer = call.objects.get("customer", id_, param=param, status=status)
    if customer.get("deleted"):
        raise no_such(id_, "customer", param=param, status=status)
    return customer


def existing_or_deleted(call: Call, id_: str) -> Body:
    """The customer that a list is filtered by. Raises the StripeError for an id that names nothing."""
    return call.objects.get("customer", id_, param="customer", status=400)


def _address(given: Body | None) -> Body | None:
    return {line: None for line in ADDRESS_LINES} | given if given else None


OPERATIONS = [
    Operation("POST", "/v1/customers", create, WRITE),
    Operation("GET", "/v1/customers", list_customers, listing(created=Range(), email=Text(512))),
    Operation("GET", "/v1/customers/{customer}", retrieve, shape()),
    Operation("POST", "/v1/customers/{customer}", update, WRITE),
    Operation("DELETE", "/v1/customers/{customer}", delete, group()),
]
