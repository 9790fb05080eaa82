"""What becomes of an invoice: drafted, held, final, paid; and of the usage that is on none."""

from sync.sandbox.stripe import invoice_bodies
from sync.sandbox.stripe.agenda import DUE, NEVER
from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.invoice_bodies import LINES
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.stretches import Usage, measure, stretch_of, why_unbilled

HOUR_SECONDS = 3600
KIND = "stripe.stretch"
"""Where the store keeps what became of every stretch of metered time that has ended."""
TOO_LATE = "it was received after its price was gone"


def finalize(account: Account, invoice: Body, *, at: int) -> Body:
    """The draft is open with all usage that was received by now, and paid where that needs nobody."""
    lines = [_measured_again(account, line) for line in invoice[LINES]]
    subscription = account.objects.find("subscription", invoice["_subscription"]) or {}
    final = invoice_bodies.with_lines(invoice, lines) | {
        "automatically_finalizes_at": None,
        "effective_at": at,
        "number": _number(account, invoice),
        "status": "open",
        "status_transitions": invoice["status_transitions"] | {"finalized_at": at},
        DUE: NEVER,
    }
    account.objects.save_all([final], at=at)
    return _collected(account, final, subscription, at=at)


def hold(account: Account, subscription: Body, *, at: int) -> None:
    """Nothing happens by itself any more to the subscription's invoices that are not paid."""
    held = [
        scheduled(invoice | {"auto_advance": False, "automatically_finalizes_at": None})
        for invoice in account.objects.invoices_of(subscription["id"])
        if invoice["status"] in ("draft", "open") and invoice["auto_advance"]
    ]
    account.objects.save_all(held, at=at)


def scheduled(invoice: Body) -> Body:
    """The invoice as it is stored: with the instant at which it becomes final by itself."""
    waits = invoice["status"] == "draft" and invoice["auto_advance"]
    at = invoice["automatically_finalizes_at"]
    return invoice | {DUE: at if waits and at is not None else NEVER}


def forgo(account: Account, stretch: Body, reason: str) -> None:
    """The stretch is on no invoice, and it is remembered why."""
    if stretch["start"] < stretch["end"]:
        note(account, stretch | {"reason": reason})


def bill_aside(
    account: Account, subscription: Body, item: Body, *, at: int, unless: str | None = None
) -> None:
    """What was reported of an item that goes, or whose price changes, waits as an invoice item.

    In classic billing mode, and where there is a reason not to (`unless`), it is on no invoice.
    """
    stretch = stretch_of(account, subscription, item, end=at)
    if stretch is None:
        return
    if subscription["billing_mode"]["type"] == "classic":
        unless = unless or "classic billing mode bills nothing of a price that goes in mid-period"
    reason = why_unbilled(subscription, item) or unless
    if reason:
        forgo(account, stretch, reason)
        return
    # All that was reported counts, also what is dated up to five minutes ahead.
    everything = stretch | {"end": max(at, int(item["current_period_end"]))}
    usage = measure(account, everything)
    if not usage.positions:
        forgo(account, stretch, TOO_LATE)
        return
    price = account.objects.get("price", item["price"])
    blank = invoice_bodies.invoice_item(
        subscription=subscription, item=item["id"], price=price, period=(int(stretch["start"]), at), at=at
    )
    made = priced(account, blank, price, usage)
    account.objects.save_all([made], at=at)
    note(account, stretch | {"invoice_item": made["id"], "until": account.ledger.last_position})


def priced(account: Account, body: Body, price: Body, usage: Usage) -> Body:
    """The line or invoice item for what was used."""
    by_tier = account.world.settings.graduated_lines == "each_tier"
    return invoice_bodies.measured(body, price, usage.total, positions=usage.positions, by_tier=by_tier)


def note(account: Account, outcome: Body) -> None:
    """It is remembered what became of a stretch that has ended."""
    account.world.store.put(KIND, new_id(""), outcome)


def _measured_again(account: Account, line: Body) -> Body:
    stretch = line.get("_stretch")
    if stretch is None:
        return line
    price = account.objects.find("price", stretch["price"])
    if price is None:
        return line
    usage = measure(account, stretch)
    return priced(account, line, price, usage)


def _collected(account: Account, invoice: Body, subscription: Body, *, at: int) -> Body:
    """The final invoice with what becomes of it at once."""
    transitions = invoice["status_transitions"]
    behavior = (subscription.get("pause_collection") or {}).get("behavior")
    changes: Body = {}
    if behavior == "mark_uncollectible":
        changes = {
            "status": "uncollectible",
            "status_transitions": transitions | {"marked_uncollectible_at": at},
        }
    elif behavior == "void":
        changes = {"status": "void", "status_transitions": transitions | {"voided_at": at}}
    elif _is_paid_at_once(invoice, subscription):
        due = invoice["amount_due"]
        changes = {
            "amount_paid": due,
            "amount_remaining": 0,
            "attempt_count": 1 if due else 0,
            "attempted": True,
            "auto_advance": False,
            "status": "paid",
            "status_transitions": transitions | {"paid_at": at},
        }
    if not changes:
        return invoice
    account.objects.save_all([invoice | changes], at=at)
    return invoice | changes


def _is_paid_at_once(invoice: Body, subscription: Body) -> bool:
    if invoice["amount_due"] == 0:
        return True
    # A subscription that is past due has a means of payment that does not work.
    return invoice["collection_method"] == "charge_automatically" and subscription.get("status") not in (
        "past_due",
        "unpaid",
    )


def _number(account: Account, invoice: Body) -> str:
    others = account.objects.invoices_of(invoice["customer"])
    customer = account.objects.find("customer", invoice["customer"]) or {}
    count = sum(other["number"] is not None for other in others)
    return f"{customer.get('invoice_prefix', 'SANDBOX')}-{count + 1:04d}"
