"""/v1/subscription_items, and the items that a subscription is written with."""

from sync.sandbox.stripe import lifecycle
from sync.sandbox.stripe.errors import StripeError, invalid, missing
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Choice, Flag, Kind, StringMap, Text, Whole, group, listing, shape

MOST_ITEMS = 20

PAYMENT_BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
PRORATION_BEHAVIORS = ("always_invoice", "create_prorations", "none")

NO_EFFECT: dict[str, Kind] = {
    "payment_behavior": Choice(PAYMENT_BEHAVIORS),
    "proration_behavior": Choice(PRORATION_BEHAVIORS),
    "proration_date": Whole(),
}
"""Taken and not acted upon: the look-alike makes no invoices."""

CONTENT: dict[str, Kind] = {"metadata": StringMap(), "price": Text(), "quantity": Whole(least=0)}
ITEM = group(**CONTENT)
ITEM_CHANGE = group(id=Text(), deleted=Flag(), clear_usage=Flag(), **CONTENT)

CREATE = shape(subscription=Text(), **CONTENT, **NO_EFFECT).needing("subscription")
UPDATE = shape(off_session=Flag(), **CONTENT, **NO_EFFECT)
DELETE = group(clear_usage=Flag(), **NO_EFFECT)

LIST = listing(subscription=Text()).needing("subscription")


def create(call: Call) -> Body:
    """A new item of the subscription, in the period that runs now."""
    subscription = _open_subscription(call, call.params["subscription"], param="subscription", status=400)
    items = call.objects.items_of(subscription["id"])
    made = build(call, subscription, call.params, items)
    lifecycle.settle(call.objects, subscription, [*items, made], at=call.at)
    return call.objects.get("subscription_item", made["id"])


def build(call: Call, subscription: Body, given: Body, others: list[Body], *, prefix: str = "") -> Body:
    """An item's body. Raises StripeError where the price cannot be put beside the others."""
    param = f"{prefix}[price]" if prefix else "price"
    price_id = given.get("price")
    if not price_id:
        raise missing(param)
    price = call.objects.get("price", price_id, param=param, status=400)
    if price["recurring"] is None:
        message = "This field only accepts prices with `type=recurring`; this one is `type=one_time`."
        raise invalid(message, param)
    if any(other["price"] == price_id for other in others):
        message = f"Cannot add multiple subscription items with the same plan: {price_id}"
        raise invalid(message, param)
    if len(others) >= MOST_ITEMS:
        message = f"A subscription can have at most {MOST_ITEMS} items."
        raise invalid(message, prefix or "price")
    metered = price["recurring"]["usage_type"] == "metered"
    if metered and given.get("quantity") is not None:
        message = "Quantity should not be specified where usage_type is `metered`."
        raise invalid(message, f"{prefix}[quantity]" if prefix else "quantity")
    start, end = lifecycle.period_of(call.objects, subscription, price_id, at=call.at)
    return {
        "id": new_id("si_"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": call.at,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": merge_metadata(None, given.get("metadata")),
        "price": price_id,
        "subscription": subscription["id"],
        "tax_rates": [],
    } | ({} if metered else {"quantity": given.get("quantity", 1)})


def changed(call: Call, subscription: Body, item: Body, given: Body) -> Body:
    """The item with another price, quantity or metadata."""
    changes = pick(given, "quantity")
    if "metadata" in given:
        changes["metadata"] = merge_metadata(item["metadata"], given["metadata"])
    if given.get("price") and given["price"] != item["price"]:
        others = [other for other in call.objects.items_of(subscription["id"]) if other["id"] != item["id"]]
        fresh = build(call, subscription, given, others)
        changes |= pick(fresh, "price", "current_period_start", "current_period_end", "quantity")
    return item | changes


def retrieve(call: Call) -> Body:
    """The item in its current period."""
    item = call.objects.get("subscription_item", call.path("item"))
    subscription = call.objects.get("subscription", item["subscription"])
    lifecycle.current(call.objects, subscription, at=call.at)
    return call.objects.get("subscription_item", item["id"])


def update(call: Call) -> Body:
    """The item with the given fields changed."""
    item = retrieve(call)
    subscription = _open_subscription(call, item["subscription"], param="subscription", status=400)
    call.objects.save(changed(call, subscription, item, call.params))
    lifecycle.settle(call.objects, subscription, call.objects.items_of(subscription["id"]), at=call.at)
    return call.objects.get("subscription_item", item["id"])


def delete(call: Call) -> Body:
    """The item is off its subscription. The last one is refused."""
    item = retrieve(call)
    _open_subscription(call, item["subscription"], param="subscription", status=400)
    refuse_to_empty(call.objects.items_of(item["subscription"]), [item["id"]])
    call.objects.delete(item)
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def refuse_to_empty(items: list[Body], removed: list[str]) -> None:
    """Raises StripeError where nothing would be left."""
    if all(item["id"] in removed for item in items):
        message = "A subscription must have at least one active plan. To cancel it, delete the subscription."
        raise StripeError(message)


def list_items(call: Call) -> Body:
    """The items of a subscription, oldest first.

    The order must be that of the items embedded in a subscription: clients page on from the tenth of those.
    """
    subscription = call.objects.get(
        "subscription", call.params["subscription"], param="subscription", status=400
    )
    lifecycle.current(call.objects, subscription, at=call.at)
    return page(call.objects.items_of(subscription["id"]), call.params, url=call.url)


def _open_subscription(call: Call, id_: str, *, param: str, status: int) -> Body:
    subscription = call.objects.get("subscription", id_, param=param, status=status)
    subscription = lifecycle.current(call.objects, subscription, at=call.at)
    if subscription["status"] == "canceled":
        message = "You cannot change the items of a canceled subscription."
        raise invalid(message, param)
    return subscription


OPERATIONS = [
    Operation("POST", "/v1/subscription_items", create, CREATE),
    Operation("GET", "/v1/subscription_items", list_items, LIST),
    Operation("GET", "/v1/subscription_items/{item}", retrieve, shape()),
    Operation("POST", "/v1/subscription_items/{item}", update, UPDATE),
    Operation("DELETE", "/v1/subscription_items/{item}", delete, DELETE),
]
