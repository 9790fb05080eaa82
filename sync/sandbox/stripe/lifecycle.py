"""What time does to a subscription: renewals, the end of a trial, a cancellation that was set earlier."""

from sync.sandbox.stripe.objects import Body, Objects
from sync.sandbox.stripe.periods import period_at

NEVER = 2**53
"""Later than any instant in use, and still exact in JSON."""

DUE = "_due_at"
"""Where a stored subscription notes when time changes it next, so that listing thousands stays cheap."""

TO_BE_SETTLED = {DUE: 0}
"""Merged into a body that was changed by hand, so that the next look brings it up to date."""


def current(objects: Objects, subscription: Body, *, at: int) -> Body:
    """The subscription as it is at this instant; what changed since the last look is stored."""
    if at < subscription.get(DUE, 0):
        return subscription
    items = objects.items_of(subscription["id"])
    return settle(objects, subscription, items, at=at, by_time=True)


def settle(
    objects: Objects, subscription: Body, items: list[Body], *, at: int, by_time: bool = False
) -> Body:
    """The subscription and its items are stored as they are at this instant.

    Where nobody changed anything (`by_time`), they became so when time did it, not when somebody looked.
    """
    subscription = _with_status(subscription, at=at)
    ended_at = subscription["ended_at"]
    # A canceled subscription keeps the period in which it ended.
    horizon = at if ended_at is None else min(at, max(ended_at - 1, subscription["start_date"]))
    items = [_rolled(objects, subscription, item, at=horizon) for item in items]
    subscription = subscription | {DUE: _due_at(subscription, items)}
    objects.save_all([*items, subscription], at=_latest(subscription, items, at=at) if by_time else None)
    return subscription


def _latest(subscription: Body, items: list[Body], *, at: int) -> int:
    """Return when time changed the subscription last."""
    instants = [item["current_period_start"] for item in items]
    instants += [subscription["ended_at"], subscription["trial_end"]]
    return max((int(one) for one in instants if one is not None and one <= at), default=at)


def cancel(objects: Objects, subscription: Body, *, at: int, details: Body | None = None) -> Body:
    """The subscription ended at this instant. On a canceled one nothing changes."""
    if subscription["status"] == "canceled":
        return subscription
    canceled = subscription | {
        "status": "canceled",
        "canceled_at": at,
        "ended_at": at,
        "cancellation_details": cancellation(details),
        DUE: NEVER,
    }
    return objects.save(canceled)


def cancellation(details: Body | None) -> Body:
    """Why a subscription is to end; without anything said, that somebody asked for it."""
    reason = {"comment": None, "feedback": None, "reason": "cancellation_requested"}
    return reason | (details or {})


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
    return item | {"current_period_start": start, "current_period_end": end}


def _due_at(subscription: Body, items: list[Body]) -> int:
    if subscription["status"] == "canceled":
        return NEVER
    instants = [item["current_period_end"] for item in items]
    if subscription["status"] == "trialing" and subscription["trial_end"] is not None:
        instants.append(subscription["trial_end"])
    if subscription["cancel_at"] is not None:
        instants.append(subscription["cancel_at"])
    return min(instants, default=NEVER)
