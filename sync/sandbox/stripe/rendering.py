"""How stored bodies are shown: embedded prices and items, and `expand`."""

from collections.abc import Iterable
from typing import Any

from sync.sandbox.stripe.errors import StripeError
from sync.sandbox.stripe.invoice_bodies import shown_lines
from sync.sandbox.stripe.objects import Body, Objects
from sync.sandbox.stripe.paging import envelope

EMBEDDED_ITEMS = 10
"""A subscription shows its first ten items, an invoice its first ten lines; a list has the others."""

EXPAND_LEVELS = 4
EXPANDABLE = {
    "customer": "customer",
    "default_price": "price",
    "invoice": "invoice",
    "latest_invoice": "invoice",
    "product": "product",
    "subscription": "subscription",
}
"""Fields that hold an id which Stripe replaces by the object when asked; a meter is not among them."""


def render(objects: Objects, body: Body) -> Body:
    """The body as the API shows it. A leading underscore marks what is for the look-alike alone."""
    shown = {name: value for name, value in body.items() if not name.startswith("_")}
    if body.get("deleted"):
        return shown
    if body["object"] == "price":
        shown.pop("tiers", None)
    elif body["object"] == "subscription_item":
        price = objects.get("price", body["price"])
        shown |= {"price": render(objects, price), "plan": _plan(price)}
    elif body["object"] == "subscription":
        shown["items"] = _embedded_items(objects, body["id"])
    elif body["object"] == "invoice":
        shown["lines"] = _embedded_lines(objects, body)
    elif body["object"] == "list":
        shown["data"] = [render(objects, row) for row in body["data"]]
    return shown


def expand(objects: Objects, shown: Body, paths: Iterable[str]) -> None:
    """What the paths name is replaced by whole objects. Raises StripeError for a path that cannot be."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > EXPAND_LEVELS:
            message = f"You cannot expand more than {EXPAND_LEVELS} levels of a property. Property: {path}"
            raise StripeError(message, param="expand")
        _walk(objects, shown, steps)


def _walk(objects: Objects, value: Any, steps: list[str]) -> None:
    if isinstance(value, list):
        for entry in value:
            _walk(objects, entry, steps)
    elif isinstance(value, dict) and steps:
        _walk(objects, _step(objects, value, steps[0]), steps[1:])


def _step(objects: Objects, parent: Body, name: str) -> Any:
    """The value under a name, expanded in place if it is an id."""
    if name == "tiers" and parent.get("object") == "price":
        parent["tiers"] = objects.get("price", parent["id"]).get("tiers")
        return None
    if name not in parent:
        message = f"This property cannot be expanded ({name})."
        raise StripeError(message, param="expand")
    value = parent[name]
    if isinstance(value, str):
        if name not in EXPANDABLE:
            message = f"This property cannot be expanded ({name})."
            raise StripeError(message, param="expand")
        found = objects.find(EXPANDABLE[name], value)
        parent[name] = render(objects, found) if found else value
    return parent[name]


def _embedded_items(objects: Objects, subscription_id: str) -> Body:
    items = objects.items_of(subscription_id)
    rows = [render(objects, item) for item in items[:EMBEDDED_ITEMS]]
    url = f"/v1/subscription_items?subscription={subscription_id}"
    return envelope(rows, url=url, has_more=len(items) > EMBEDDED_ITEMS)


def _embedded_lines(objects: Objects, invoice: Body) -> Body:
    lines = shown_lines(invoice)
    rows = [render(objects, line) for line in lines[:EMBEDDED_ITEMS]]
    url = f"/v1/invoices/{invoice['id']}/lines"
    return envelope(rows, url=url, has_more=len(lines) > EMBEDDED_ITEMS)


def _plan(price: Body) -> Body:
    """The same price in the words of the older plan object, which items still carry."""
    recurring = price["recurring"] or {}
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "livemode": False,
        "metadata": price["metadata"],
        "meter": recurring.get("meter"),
        "nickname": price["nickname"],
        "product": price["product"],
        "usage_type": recurring.get("usage_type"),
    }
