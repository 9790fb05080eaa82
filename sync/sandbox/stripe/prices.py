"""/v1/prices"""

from sync.sandbox.stripe import products
from sync.sandbox.stripe.errors import invalid, missing
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, new_object, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.price_params import (
    CREATE,
    EDITABLE,
    INTERVALS,
    USAGE_TYPES,
    amounts_of,
    recurring_of,
)
from sync.sandbox.stripe.shapes import (
    Choice,
    Flag,
    ListOf,
    Range,
    StringMap,
    Text,
    group,
    listing,
    shape,
    within,
)

MOST_LOOKUP_KEYS = 10

UPDATE = shape(metadata=StringMap(), transfer_lookup_key=Flag(), **EDITABLE)
LIST = listing(
    active=Flag(),
    created=Range(),
    currency=Text(3),
    lookup_keys=ListOf(Text(200)),
    product=Text(),
    recurring=group(interval=Choice(INTERVALS), meter=Text(), usage_type=Choice(USAGE_TYPES)),
    type=Choice(("one_time", "recurring")),
)


def create(call: Call) -> Body:
    """A new price of an existing product, or of one made with it."""
    params = call.params
    recurring = recurring_of(params, call.objects)
    amounts = amounts_of(params)
    lookup_key = params.get("lookup_key")
    _claim_lookup_key(call, lookup_key, holder=None)
    price = new_object(
        "price",
        new_id("price_"),
        at=call.at,
        active=params.get("active", True),
        currency=params["currency"].lower(),
        custom_unit_amount=None,
        lookup_key=lookup_key,
        metadata=merge_metadata(None, params.get("metadata")),
        nickname=params.get("nickname"),
        product=_product_id(call),
        recurring=recurring,
        tax_behavior=params.get("tax_behavior", "unspecified"),
        type="recurring" if recurring else "one_time",
    )
    return call.objects.save(price | amounts)


def _product_id(call: Call) -> str:
    params = call.params
    if "product" in params and "product_data" in params:
        message = "You may only specify one of these parameters: product, product_data."
        raise invalid(message, "product")
    if "product_data" in params:
        data = params["product_data"]
        made = call.objects.save(products.build(call, data.get("id") or new_id("prod_"), data))
        return str(made["id"])
    if not params.get("product"):
        raise missing(param="product")
    return str(call.objects.get("product", params["product"], param="product", status=400)["id"])


def _claim_lookup_key(call: Call, lookup_key: str | None, *, holder: str | None) -> None:
    """No other price holds the key. Raises StripeError where one does and the key is not to be moved."""
    if not lookup_key:
        return
    for other in call.objects.all("price"):
        if other["lookup_key"] != lookup_key or other["id"] == holder:
            continue
        if not call.params.get("transfer_lookup_key"):
            message = f"A price (`{other['id']}`) already uses that lookup key."
            raise invalid(message, "lookup_key")
        call.objects.save(other | {"lookup_key": None})


def retrieve(call: Call) -> Body:
    """The price."""
    return call.objects.get("price", call.path("price"))


def update(call: Call) -> Body:
    """The price with the given fields changed; its amount and meter never change."""
    price = retrieve(call)
    changes = pick(call.params, *EDITABLE)
    _claim_lookup_key(call, changes.get("lookup_key"), holder=price["id"])
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(price["metadata"], call.params["metadata"])
    return call.objects.save(price | changes)


def list_prices(call: Call) -> Body:
    """Prices, newest first."""
    keys = call.params.get("lookup_keys", [])
    if len(keys) > MOST_LOOKUP_KEYS:
        message = f"You can specify up to {MOST_LOOKUP_KEYS} lookup keys."
        raise invalid(message, "lookup_keys")
    rows = [price for price in call.objects.all("price") if _is_wanted(price, call.params)]
    return page(rows, call.params, url=call.url)


def _is_wanted(price: Body, params: Body) -> bool:
    equal = all(
        price[name] == value for name, value in pick(params, "active", "currency", "product", "type").items()
    )
    wanted_recurring = params.get("recurring", {})
    recurring = price["recurring"] or {}
    return (
        equal
        and within(params.get("created"), price["created"])
        and all(recurring.get(name) == value for name, value in wanted_recurring.items())
        and ("lookup_keys" not in params or price["lookup_key"] in params["lookup_keys"])
    )


OPERATIONS = [
    Operation("POST", "/v1/prices", create, CREATE),
    Operation("GET", "/v1/prices", list_prices, LIST),
    Operation("GET", "/v1/prices/{price}", retrieve, shape()),
    Operation("POST", "/v1/prices/{price}", update, UPDATE),
]
