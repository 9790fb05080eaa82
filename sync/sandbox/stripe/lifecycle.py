"""What time does: renewals, the end of a trial, a cancellation that was set earlier, final invoices."""

from sync.sandbox.stripe import billing
from sync.sandbox.stripe.agenda import DUE, NEVER, TO_BE_SETTLED
from sync.sandbox.stripe.bill import Bill
from sync.sandbox.stripe.objects import Body, Objects
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.periods import period_at
from sync.sandbox.stripe.stretches import COUNTING, counting, stretch_of

CANCELED = "the subscription was canceled at once, without invoice_now"


def advance(account: Account) -> None:
    """Everything that was due by now has happened, in order, each at its own instant.

    Whoever reads or changes anything calls this first, so what is received later counts for later invoices
    only. It costs nothing while nothing is due.
    """
    at = int(account.now().timestamp())
    while body := account.objects.next_due(at=at):
        if body["object"] == "invoice":
            billing.finalize(account, body, at=body[DUE])
        elif body[DUE] == TO_BE_SETTLED[DUE]:
            _settle_overwritten(account, body, at=at)
        else:
            _step(account, body, at=body[DUE])


def settle(
    account: Account, subscription: Body, items: list[Body], *, at: int, bill: Bill | None = None, **how: int
) -> Body:
    """The subscription and its items are stored, with the invoice that was made of the bill, if any.

    `how` is what the draft of the bill is to be like, such as the `hours` before it is final.
    """
    draft = bill.body(**how) if bill else None
    if draft:
        subscription = subscription | {"latest_invoice": draft["id"]}
    subscription = subscription | {DUE: _due_at(subscription, items)}
    account.objects.save_all([*items, subscription], at=at)
    if bill:
        bill.put(draft)
    return subscription


def cancel(
    account: Account, subscription: Body, *, at: int, details: Body | None = None, invoice_now: bool = False
) -> Body:
    """The subscription ended at this instant; without `invoice_now` what it used is on no invoice.

    On a canceled one nothing changes.
    """
    if subscription["status"] == "canceled":
        return subscription
    items = account.objects.items_of(subscription["id"])
    bill = Bill(account, subscription, at=at, reason="subscription_update")
    for item in items:
        if invoice_now:
            bill.close(item, end=at)
        else:
            _forgo(account, subscription, item, CANCELED, at=at)
    if invoice_now:
        bill.waiting()
    billing.hold(account, subscription, at=at)
    canceled = subscription | {
        "status": "canceled",
        "canceled_at": at,
        "ended_at": at,
        "cancellation_details": cancellation(details),
    }
    return settle(account, canceled, items, at=at, bill=bill, **change_hours(account))


def cancellation(details: Body | None) -> Body:
    """Why a subscription is to end; without anything said, that somebody asked for it."""
    reason = {"comment": None, "feedback": None, "reason": "cancellation_requested"}
    return reason | (details or {})


def change_hours(account: Account) -> dict[str, int]:
    """How long a draft waits that a change made, and not the end of a period."""
    settings = account.world.settings
    at_once = settings.change_invoice_finalizes == "at_once"
    return {"hours": 0 if at_once else settings.invoice_finalization_hours}


def period_of(objects: Objects, subscription: Body, price_id: str, *, at: int) -> tuple[int, int]:
    """The billing period of an item of this price that holds the instant `at`."""
    trial_end = subscription["trial_end"]
    if trial_end is not None and at < trial_end:
        return subscription["trial_start"], trial_end
    recurring = objects.get("price", price_id)["recurring"]
    start, end = period_at(
        subscription["billing_cycle_anchor"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        at=at,
    )
    # The grid also reaches back before the first full period; none begins before the subscription does.
    return max(start, subscription["start_date"], trial_end or 0), end


def overwritten(account: Account, before: Body, after: Body) -> Body:
    """Return the body to store where somebody changed one by hand, with what follows from it."""
    if after["object"] == "invoice":
        return billing.scheduled(after)
    if after["object"] != "subscription":
        return after
    at = int(account.now().timestamp())
    was, is_ = before["status"] == "paused", after["status"] == "paused"
    pauses = list(after.get("_pauses", []))
    if is_ and not was:
        pauses.append([at, None])
    if was and not is_ and pauses:
        begun = 0 if account.world.settings.usage_before_pause == "dropped" else pauses[-1][0]
        pauses[-1] = [begun, at]
    return after | {"_pauses": pauses} | TO_BE_SETTLED


def _step(account: Account, subscription: Body, *, at: int) -> None:
    """What this instant does to the subscription is done."""
    items = account.objects.items_of(subscription["id"])
    if not _is_whole(account, items):
        account.objects.save(subscription | {DUE: NEVER})
        return
    cancel_at = subscription["cancel_at"]
    if cancel_at is not None and cancel_at <= at:
        _end(account, subscription, items, at=at)
        return
    bill = Bill(account, subscription, at=at, reason="subscription_cycle")
    ended = [item for item in items if item["current_period_end"] <= at]
    for item in ended:
        bill.close(item, end=item["current_period_end"])
    if ended:
        bill.waiting()
    subscription = _with_status(subscription, at=at)
    items = [_rolled(account.objects, subscription, item, at=at) for item in items]
    for item in items:
        if item["current_period_start"] == at:
            bill.ahead(item)
    settle(account, subscription, items, at=at, bill=bill, **_cycle_hours(account, subscription))


def _cycle_hours(account: Account, subscription: Body) -> dict[str, int]:
    """How long the draft of a period waits.

    The first invoice of all is final at once. Without one at the creation, as in flexible billing mode, the
    first period's may be meant.
    """
    settings = account.world.settings
    is_first = subscription["latest_invoice"] is None
    charged = subscription["collection_method"] == "charge_automatically"
    if is_first and charged and settings.first_period_invoice_finalizes == "at_once":
        return {"hours": 0}
    return {"hours": settings.invoice_finalization_hours}


def _end(account: Account, subscription: Body, items: list[Body], *, at: int) -> None:
    """The subscription has ended as it was to, and its last usage is on a last invoice."""
    settings = account.world.settings
    bill = Bill(account, subscription, at=at, reason="subscription_cycle")
    for item in items:
        if item["current_period_end"] > at and settings.cancel_at_mid_period == "discarded":
            _forgo(account, subscription, item, "cancel_at came in the middle of the period", at=at)
        else:
            bill.close(item, end=min(at, item["current_period_end"]))
    bill.waiting()
    billing.hold(account, subscription, at=at)
    hours = settings.last_invoice_finalization_hours or settings.invoice_finalization_hours
    # A canceled subscription keeps the period in which it ended.
    settle(account, _with_status(subscription, at=at), items, at=at, bill=bill, hours=hours)


def _settle_overwritten(account: Account, subscription: Body, *, at: int) -> None:
    """A subscription changed by hand is in its right periods; what it missed is on no invoice."""
    items = account.objects.items_of(subscription["id"])
    subscription = _with_status(subscription, at=at)
    if not _is_whole(account, items):
        account.objects.save(subscription | {DUE: NEVER})
        return
    ended_at = subscription["ended_at"]
    horizon = at if ended_at is None else min(at, max(ended_at - 1, subscription["start_date"]))
    items = [_rolled(account.objects, subscription, item, at=horizon) for item in items]
    settle(account, subscription, items, at=at)


def _is_whole(account: Account, items: list[Body]) -> bool:
    """Whether time can go on: a subscription whose price was taken away by hand stays as it is."""
    return all(account.objects.find("price", item["price"]) for item in items)


def _forgo(account: Account, subscription: Body, item: Body, reason: str, *, at: int) -> None:
    stretch = stretch_of(account, subscription, item, end=at)
    if stretch is not None:
        billing.forgo(account, stretch, reason)


def _with_status(subscription: Body, *, at: int) -> Body:
    status, cancel_at = subscription["status"], subscription["cancel_at"]
    if status == "canceled":
        return subscription
    if cancel_at is not None and cancel_at <= at:
        return subscription | {"status": "canceled", "ended_at": cancel_at}
    trial_end = subscription["trial_end"]
    if status == "trialing" and trial_end is not None and trial_end <= at:
        return subscription | {"status": "active"}
    return subscription


def _rolled(objects: Objects, subscription: Body, item: Body, *, at: int) -> Body:
    if at < item["current_period_end"]:
        return item
    start, end = period_of(objects, subscription, item["price"], at=at)
    return item | {
        "current_period_start": start,
        "current_period_end": end,
        COUNTING: counting(start=start),
    }


def _due_at(subscription: Body, items: list[Body]) -> int:
    if subscription["status"] == "canceled":
        return NEVER
    instants = [item["current_period_end"] for item in items]
    if subscription["status"] == "trialing" and subscription["trial_end"] is not None:
        instants.append(subscription["trial_end"])
    if subscription["cancel_at"] is not None:
        instants.append(subscription["cancel_at"])
    return min(instants, default=NEVER)
