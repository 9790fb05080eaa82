"""/v1/invoices"""

from collections.abc import Sequence

from sync.sandbox.stripe import billing, customers
from sync.sandbox.stripe.bill import Bill
from sync.sandbox.stripe.errors import StripeError, invalid, missing, no_such
from sync.sandbox.stripe.invoice_bodies import shown_lines
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import Choice, Flag, Range, StringMap, Text, Whole, listing, shape, within

STATUSES = ("draft", "open", "paid", "uncollectible", "void")

LIST = listing(
    collection_method=Choice(("charge_automatically", "send_invoice")),
    created=Range(),
    customer=Text(),
    due_date=Range(),
    status=Choice(STATUSES),
    subscription=Text(),
)
UPDATE = shape(
    auto_advance=Flag(),
    automatically_finalizes_at=Whole(),
    description=Text(1500),
    metadata=StringMap(),
)


def list_invoices(call: Call) -> Body:
    """Invoices, newest first."""
    rows = [invoice for invoice in _candidates(call) if _is_wanted(invoice, call.params)]
    return page(rows, call.params, url=call.url)


def _candidates(call: Call) -> Sequence[Body]:
    params = call.params
    if params.get("customer"):
        customers.existing_or_deleted(call, params["customer"])
    if params.get("subscription"):
        call.objects.get("subscription", params["subscription"], param="subscription", status=400)
    owner = params.get("subscription") or params.get("customer")
    return call.objects.invoices_of(owner) if owner else call.objects.all("invoice")


def _is_wanted(invoice: Body, params: Body) -> bool:
    due = params.get("due_date")
    return (
        all(
            invoice[name] == value
            for name, value in pick(params, "collection_method", "customer", "status").items()
        )
        and params.get("subscription", invoice["_subscription"]) == invoice["_subscription"]
        and within(params.get("created"), invoice["created"])
        and (due is None or (invoice["due_date"] is not None and within(due, invoice["due_date"])))
    )


def retrieve(call: Call) -> Body:
    """The invoice."""
    return call.objects.get("invoice", call.path("invoice"), param="invoice")


def list_lines(call: Call) -> Body:
    """The lines of an invoice, in their order."""
    return page(shown_lines(retrieve(call)), call.params, url=call.url)


def update(call: Call) -> Body:
    """The invoice with the given fields changed; when it becomes final can be changed on a draft only."""
    invoice, params = retrieve(call), call.params
    if invoice["status"] != "draft" and "automatically_finalizes_at" in params:
        message = "Finalized invoices can't be updated in this way."
        raise invalid(message, "automatically_finalizes_at", code="invoice_not_editable")
    changes = pick(params, "auto_advance", "description")
    if "metadata" in params:
        changes["metadata"] = merge_metadata(invoice["metadata"], params["metadata"])
    if invoice["status"] == "draft":
        changes |= _finalizes(call, invoice, params)
    return call.objects.save(billing.scheduled(invoice | changes))


def _finalizes(call: Call, invoice: Body, params: Body) -> Body:
    """When the draft is final by itself, and that it is."""
    if "automatically_finalizes_at" in params:
        at = params["automatically_finalizes_at"]
        if at <= call.at:
            message = "The automatically_finalizes_at must be in the future."
            raise invalid(message, "automatically_finalizes_at")
        return {"auto_advance": True, "automatically_finalizes_at": at}
    if "auto_advance" not in params or params["auto_advance"] == invoice["auto_advance"]:
        return {}
    if not params["auto_advance"]:
        return {"automatically_finalizes_at": None}
    hours = call.account.world.settings.invoice_finalization_hours
    at = max(invoice["created"] + hours * billing.HOUR_SECONDS, call.at)
    return {"automatically_finalizes_at": at}


def finalize(call: Call) -> Body:
    """The draft is final now. On any other invoice this is refused."""
    invoice = retrieve(call)
    if invoice["status"] != "draft":
        message = "This invoice is already finalized, you can't finalize a non-draft invoice."
        raise StripeError(message, code="invoice_not_editable")
    return billing.finalize(call.account, invoice | pick(call.params, "auto_advance"), at=call.at)


def preview(call: Call) -> Body:
    """What the subscription's next invoice would be, were its periods to end now; nothing is stored."""
    subscription = _previewed(call)
    if subscription["status"] == "canceled":
        raise no_such(subscription["id"], "subscription", param="subscription")
    bill = Bill(call.account, subscription, at=call.at, reason="upcoming", is_preview=True)
    for item in call.objects.items_of(subscription["id"]):
        bill.close(item, end=item["current_period_end"])
    bill.waiting()
    draft = bill.body()
    if draft is None:
        message = f"No upcoming invoices for customer: {subscription['customer']}"
        raise StripeError(message, status=404, code="invoice_upcoming_none")
    return draft | {"id": f"upcoming_{draft['id']}"}


def _previewed(call: Call) -> Body:
    params = call.params
    if params.get("subscription"):
        return call.objects.get("subscription", params["subscription"], param="subscription", status=400)
    if not params.get("customer"):
        raise missing(param="customer")
    customer = customers.existing(call, params["customer"], param="customer", status=400)
    for subscription in call.objects.all("subscription"):
        if subscription["customer"] == customer["id"] and subscription["status"] != "canceled":
            return subscription
    message = f"No upcoming invoices for customer: {customer['id']}"
    raise StripeError(message, status=404, code="invoice_upcoming_none")


OPERATIONS = [
    Operation("GET", "/v1/invoices", list_invoices, LIST),
    Operation("POST", "/v1/invoices/create_preview", preview, shape(customer=Text(), subscription=Text())),
    Operation("GET", "/v1/invoices/{invoice}", retrieve, shape()),
    Operation("POST", "/v1/invoices/{invoice}", update, UPDATE),
    Operation("POST", "/v1/invoices/{invoice}/finalize", finalize, shape(auto_advance=Flag())),
    Operation("GET", "/v1/invoices/{invoice}/lines", list_lines, listing()),
]
