"""/v1/subscription_items, and the items that a subscription is written with."""

from sync.sandbox.stripe import billing, lifecycle
from sync.sandbox.stripe.bill import Bill
from sync.sandbox.stripe.errors import StripeError, invalid, missing
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Choice, Flag, Kind, StringMap, Text, Whole, group, listing, shape
from sync.sandbox.stripe.stretches import COUNTING, counting

MOST_ITEMS = 20

PAYMENT_BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
PRORATION_BEHAVIORS = ("always_invoice", "create_prorations", "none")

NO_EFFECT: dict[str, Kind] = {
    "payment_behavior": Choice(PAYMENT_BEHAVIORS),
    "proration_date": Whole(),
}
"""Taken and not acted upon: the look-alike prorates nothing, and every payment succeeds."""

PRORATION: dict[str, Kind] = {"proration_behavior": Choice(PRORATION_BEHAVIORS)}
"""Of consequence for metered items only: whether what was reported of one that goes is billed, and when."""

CONTENT: dict[str, Kind] = {"metadata": StringMap(), "price": Text(), "quantity": Whole(least=0)}
ITEM = group(**CONTENT)
ITEM_CHANGE = group(id=Text(), deleted=Flag(), clear_usage=Flag(), **CONTENT)

CREATE = shape(subscription=Text(), **CONTENT, **NO_EFFECT, **PRORATION).needing("subscription")
UPDATE = shape(off_session=Flag(), **CONTENT, **NO_EFFECT, **PRORATION)
DELETE = group(clear_usage=Flag(), **NO_EFFECT, **PRORATION)

LIST = listing(subscription=Text()).needing("subscription")


def create(call: Call) -> Body:
    """A new item of the subscription, in the period that runs now."""
    subscription = _open_subscription(call, call.params["subscription"], param="subscription", status=400)
    items = call.objects.items_of(subscription["id"])
    made = build(call, subscription, call.params, items)
    lifecycle.settle(call.account, subscription, [*items, made], at=call.at)
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
        COUNTING: _counting_from_now(call, subscription, start),
    } | ({} if metered else {"quantity": given.get("quantity", 1)})


def changed(call: Call, subscription: Body, item: Body, given: Body) -> Body:
    """The item with another price, quantity or metadata.

    What was reported at the old price waits on an invoice item, or in classic billing mode is lost.
    """
    changes = pick(given, "quantity")
    if "metadata" in given:
        changes["metadata"] = merge_metadata(item["metadata"], given["metadata"])
    if given.get("price") and given["price"] != item["price"]:
        others = [other for other in call.objects.items_of(subscription["id"]) if other["id"] != item["id"]]
        fresh = build(call, subscription, given, others)
        changes |= pick(fresh, "price", "current_period_start", "current_period_end", "quantity")
        _bill_aside(call, subscription, item, given)
        since, before = fresh[COUNTING], item[COUNTING]
        # Where the period began at this very instant, one before it may have billed what is dated so.
        is_first = before["is_first"] if before["start"] == since["start"] else since["is_first"]
        changes[COUNTING] = since | {"price_changed": True, "is_first": is_first}
    return item | changes


def retrieve(call: Call) -> Body:
    """The item in its current period."""
    return call.objects.get("subscription_item", call.path("item"))


def update(call: Call) -> Body:
    """The item with the given fields changed."""
    item = retrieve(call)
    subscription = _open_subscription(call, item["subscription"], param="subscription", status=400)
    call.objects.save(changed(call, subscription, item, call.params))
    _settle(call, subscription)
    return call.objects.get("subscription_item", item["id"])


def delete(call: Call) -> Body:
    """The item is off its subscription. The last one is refused."""
    item = retrieve(call)
    subscription = _open_subscription(call, item["subscription"], param="subscription", status=400)
    refuse_to_empty(call.objects.items_of(item["subscription"]), [item["id"]])
    remove(call, subscription, item, call.params)
    _settle(call, subscription)
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def remove(call: Call, subscription: Body, item: Body, given: Body) -> None:
    """The item is gone; what was reported of it waits on an invoice item, unless that is not wanted."""
    _bill_aside(call, subscription, item, given)
    call.objects.delete(item)


def _bill_aside(call: Call, subscription: Body, item: Body, given: Body) -> None:
    # Beside a subscription `clear_usage` has no effect where the plan has a meter, the SDK says; only the
    # removal of the item itself takes it at its word.
    unless = None
    if given.get("proration_behavior") == "none":
        unless = "proration_behavior was none"
    if call.exchange.method == "DELETE" and given.get("clear_usage"):
        unless = "clear_usage was asked for"
    billing.bill_aside(call.account, subscription, item, at=call.at, unless=unless)


def _counting_from_now(call: Call, subscription: Body, period_start: int) -> Body:
    """From when on usage counts of an item that comes now: classic looks at the date, flexible at receipt.

    Classic is documented so; of flexible, that each unit has the price in force when it is reported.
    """
    if subscription["billing_mode"]["type"] == "classic":
        return counting(start=call.at, is_first=True)
    return counting(start=period_start, after=call.account.ledger.last_position)


def _settle(call: Call, subscription: Body) -> None:
    """The subscription's items are in their periods, and billed at once where that is wanted."""
    bill = Bill(call.account, subscription, at=call.at, reason="subscription_update")
    if call.params.get("proration_behavior") == "always_invoice":
        bill.waiting()
    rows = call.objects.items_of(subscription["id"])
    hours = lifecycle.change_hours(call.account)
    lifecycle.settle(call.account, subscription, rows, at=call.at, bill=bill, **hours)


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
    return page(call.objects.items_of(subscription["id"]), call.params, url=call.url)


def _open_subscription(call: Call, id_: str, *, param: str, status: int) -> Body:
    subscription = call.objects.get("subscription", id_, param=param, status=status)
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
