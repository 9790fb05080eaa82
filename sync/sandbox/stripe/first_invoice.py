"""The invoice that a subscription begins with, and from when on its usage counts."""

from sync.sandbox.stripe.bill import Bill
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.periods import period_at
from sync.sandbox.stripe.stretches import counting


def of(account: Account, subscription: Body, items: list[Body], *, at: int) -> Bill:
    """The bill of a new subscription.

    Licensed items are billed ahead. Of metered ones, flexible billing mode bills the periods that a
    backdated start has left behind, one line each; classic has a line of nothing for every item.
    """
    bill = Bill(account, subscription, at=at, reason="subscription_create")
    for item in items:
        bill.ahead(item)
        if subscription["billing_mode"]["type"] == "classic":
            bill.nothing_yet(item)
        elif subscription["status"] != "trialing":
            for start, end in _past(account, subscription, item):
                bill.past(item, start=start, end=end)
    return bill


def hours(account: Account, subscription: Body) -> dict[str, int]:
    """How long the first invoice stays a draft: not at all, where it is charged automatically."""
    at_once = subscription["collection_method"] == "charge_automatically"
    return {"hours": 0 if at_once else account.world.settings.invoice_finalization_hours}


def counting_from(subscription: Body, item: Body) -> Body:
    """From when on usage of a new subscription's item counts on the invoice of its first period.

    In classic billing mode that reaches back to a backdated start, and all of it is one line.
    """
    start = int(item["current_period_start"])
    if subscription["billing_mode"]["type"] == "classic" and subscription["status"] != "trialing":
        start = min(start, int(subscription["start_date"]))
    return counting(start=start, is_first=start <= subscription["start_date"])


def _past(account: Account, subscription: Body, item: Body) -> list[tuple[int, int]]:
    """The periods between a backdated start and the item's first own period, oldest first."""
    recurring = account.objects.get("price", item["price"])["recurring"]
    first = int(subscription["start_date"])
    spans: list[tuple[int, int]] = []
    end = int(item["current_period_start"])
    while end > first:
        start, _ = period_at(
            subscription["billing_cycle_anchor"],
            interval=recurring["interval"],
            interval_count=recurring["interval_count"],
            at=end - 1,
        )
        spans.append((max(start, first), end))
        end = max(start, first)
    return spans[::-1]
