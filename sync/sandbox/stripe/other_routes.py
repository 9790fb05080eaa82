"""The account."""

from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.shapes import shape


def account(call: Call) -> Body:
    """The account that the key belongs to."""
    return {
        "id": call.account_id,
        "object": "account",
        "business_type": "company",
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": f"{call.account_id}@sandbox.invalid",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


OPERATIONS = [Operation("GET", "/v1/account", account, shape())]
