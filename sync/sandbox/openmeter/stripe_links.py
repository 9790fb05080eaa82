"""Which Stripe customer an OpenMeter customer is, as OpenMeter's own Stripe app keeps it."""

from typing import Any

from sync.sandbox.openmeter import customers
from sync.sandbox.openmeter.answers import Problem
from sync.sandbox.openmeter.fields import Fields, without_empty
from sync.sandbox.store import Store

KIND = "openmeter_stripe_link"

APP: dict[str, Any] = {
    "id": "01HSANDB0XSTR1PEAPP0000000",
    "type": "stripe",
    "name": "Stripe (sandbox)",
    "status": "ready",
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-01-01T00:00:00Z",
    "stripeAccountId": "acct_sandbox",
    "livemode": False,
    "maskedAPIKey": "sk_test_***box",
    "listing": {
        "type": "stripe",
        "name": "Stripe",
        "description": "Stripe, as installed in the sandbox.",
        "capabilities": [],
        "installMethods": ["with_api_key"],
    },
}
"""The one installed app: a sandbox always has a Stripe app, a customer may have no data in it."""


def stripe_link(store: Store, id_or_key: str) -> dict[str, Any]:
    """The customer's data in the Stripe app; a 412 says that the customer is not linked."""
    customer = customers.live_customer(store, id_or_key)
    link = store.get(KIND, customer["id"])
    if link is None:
        raise Problem(status=412, detail=f"customer {customer['id']} has no data for the stripe app")
    return _shown(link)


def link_stripe(store: Store, id_or_key: str, body: Any) -> dict[str, Any]:
    """The customer is linked to this Stripe customer. Safe to call twice.

    The real server asks Stripe first whether that customer exists; this one takes the caller's word.
    """
    customer = customers.live_customer(store, id_or_key)
    fields = Fields(body)
    link = {
        "stripeCustomerId": fields.text("stripeCustomerId"),
        "stripeDefaultPaymentMethodId": fields.optional_text("stripeDefaultPaymentMethodId"),
    }
    store.put(KIND, customer["id"], link)
    return _shown(link)


def _shown(link: dict[str, Any]) -> dict[str, Any]:
    return without_empty({"type": "stripe", **link, "id": APP["id"], "app": APP})
