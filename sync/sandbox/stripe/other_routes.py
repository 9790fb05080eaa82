"""The account, and the lists that are always empty because the look-alike makes no invoices."""

from sync.sandbox.stripe.errors import no_such
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Choice, Range, Text, listing, shape

INVOICE_STATUSES = ("draft", "open", "paid", "uncollectible", "void")


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


def empty_list(call: Call) -> Body:
    """An empty list; bad paging is refused all the same."""
    return page([], call.params, url=call.url)


def no_invoice(call: Call) -> Body:
    """Always the 404."""
    raise no_such(call.path("invoice"), "invoice", param="invoice")


INVOICE_LIST = listing(
    collection_method=Choice(("charge_automatically", "send_invoice")),
    created=Range(),
    customer=Text(),
    due_date=Range(),
    status=Choice(INVOICE_STATUSES),
    subscription=Text(),
)

OPERATIONS = [
    Operation("GET", "/v1/account", account, shape()),
    Operation("GET", "/v1/invoices", empty_list, INVOICE_LIST),
    Operation("GET", "/v1/invoices/{invoice}", no_invoice, shape()),
]
