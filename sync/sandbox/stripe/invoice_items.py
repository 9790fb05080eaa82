"""/v1/invoiceitems: what waits for an invoice, or is on one, without belonging to its period."""

from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Flag, Range, Text, listing, shape, within

LIST = listing(created=Range(), customer=Text(), invoice=Text(), pending=Flag())


def list_items(call: Call) -> Body:
    """Invoice items, newest first."""
    params = call.params
    rows = [
        item
        for item in call.objects.all("invoiceitem")
        if all(item[name] == value for name, value in pick(params, "customer", "invoice").items())
        and params.get("pending", item["invoice"] is None) == (item["invoice"] is None)
        and within(params.get("created"), item["date"])
    ]
    return page(rows, params, url=call.url)


def retrieve(call: Call) -> Body:
    """The invoice item."""
    return call.objects.get("invoiceitem", call.path("invoiceitem"), param="invoiceitem")


OPERATIONS = [
    Operation("GET", "/v1/invoiceitems", list_items, LIST),
    Operation("GET", "/v1/invoiceitems/{invoiceitem}", retrieve, shape()),
]
