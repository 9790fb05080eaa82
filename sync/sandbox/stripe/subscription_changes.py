"""What POST /v1/subscriptions/{id} does to a subscription and its items."""

from collections.abc import Callable

from sync.sandbox.stripe import items, lifecycle
from sync.sandbox.stripe.bill import Bill
from sync.sandbox.stripe.errors import invalid
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, pick
from sync.sandbox.stripe.stretches import COUNTING, counting

AFTER_THE_END = {"metadata", "cancellation_details", "expand"}
"""All that may still be changed on a canceled subscription."""


def apply(call: Call, subscription: Body) -> Body:
    """The subscription is stored with what the parameters change, its items in their right periods."""
    params = call.params
    if subscription["status"] == "canceled" and set(params) - AFTER_THE_END:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise invalid(message, min(set(params) - AFTER_THE_END))
    subscription = subscription | pick(
        params, "collection_method", "days_until_due", "description", "trial_settings", "pause_collection"
    )
    if "metadata" in params:
        subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if "cancellation_details" in params:
        subscription["cancellation_details"] = (
            subscription["cancellation_details"] | params["cancellation_details"]
        )
    rows = _changed_items(call, subscription)
    bill = Bill(call.account, subscription, at=call.at, reason="subscription_update")
    subscription, rows = _restarted(call, subscription, rows, bill)
    if params.get("proration_behavior") == "always_invoice":
        bill.waiting()
    subscription = with_cancellation(call, subscription, rows, params)
    hours = lifecycle.change_hours(call.account)
    return lifecycle.settle(call.account, subscription, rows, at=call.at, bill=bill, **hours)


def with_cancellation(call: Call, subscription: Body, rows: list[Body], params: Body) -> Body:
    """The subscription with the end that `cancel_at` or `cancel_at_period_end` sets or takes back."""
    if params.get("cancel_at") and params.get("cancel_at_period_end"):
        message = "You may only specify one of these parameters: cancel_at, cancel_at_period_end."
        raise invalid(message, "cancel_at")
    if params.get("cancel_at_period_end"):
        # Which of several item periods Stripe takes is documented only for the portal: the latest.
        return _ending(call, subscription, _last_end(rows)) | {"cancel_at_period_end": True}
    if params.get("cancel_at"):
        return _ending(call, subscription, _cancel_at(call, rows)) | {"cancel_at_period_end": False}
    takes_back = params.get("cancel_at_period_end") is False and subscription["cancel_at_period_end"]
    if takes_back or "cancel_at" in params:
        nothing = {"comment": None, "feedback": None, "reason": None}
        return subscription | {
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": nothing,
        }
    return subscription


def _cancel_at(call: Call, rows: list[Body]) -> int:
    words: dict[object, Callable[[list[Body]], int]] = {
        "min_period_end": lambda rows: min(int(row["current_period_end"]) for row in rows),
        "max_period_end": _last_end,
    }
    wanted = call.params["cancel_at"]
    at = words[wanted](rows) if wanted in words else int(wanted)
    if at <= call.at:
        message = "The cancel_at must be in the future."
        raise invalid(message, "cancel_at")
    return at


def _ending(call: Call, subscription: Body, at: int) -> Body:
    said = {name: text for name, text in subscription["cancellation_details"].items() if text is not None}
    return subscription | {
        "cancel_at": at,
        "canceled_at": call.at,
        "cancellation_details": lifecycle.cancellation(said),
    }


def _last_end(rows: list[Body]) -> int:
    return max(int(row["current_period_end"]) for row in rows)


def _changed_items(call: Call, subscription: Body) -> list[Body]:
    rows = {item["id"]: item for item in call.objects.items_of(subscription["id"])}
    removed: list[Body] = []
    for index, given in enumerate(call.params.get("items", [])):
        prefix = f"items[{index}]"
        if "id" not in given:
            made = items.build(call, subscription, given, list(rows.values()), prefix=prefix)
            rows[made["id"]] = made
            continue
        if given["id"] not in rows:
            message = f"No such subscription item: '{given['id']}'"
            raise invalid(message, f"{prefix}[id]", code="resource_missing")
        if given.get("deleted"):
            removed.append(rows.pop(given["id"]))
        else:
            change = given | pick(call.params, "proration_behavior")
            rows[given["id"]] = items.changed(call, subscription, rows[given["id"]], change)
    items.refuse_to_empty(list(rows.values()), [])
    for item in removed:
        items.remove(call, subscription, item, call.params)
    return list(rows.values())


def _restarted(call: Call, subscription: Body, rows: list[Body], bill: Bill) -> tuple[Body, list[Body]]:
    """The subscription with a new trial end or anchor, and the items in periods that begin now.

    What was used in the periods that are cut short is on the bill.
    """
    trial_end = call.params.get("trial_end")
    anchor = call.params.get("billing_cycle_anchor", {"type": "unchanged"})
    if trial_end is None and anchor["type"] == "unchanged":
        return subscription, rows
    if trial_end in (None, "now"):
        changes: Body = {"billing_cycle_anchor": call.at}
        if subscription["status"] == "trialing":
            changes |= {"status": "active", "trial_end": call.at}
        end = None
    elif trial_end <= call.at:
        message = "The trial end must be in the future."
        raise invalid(message, "trial_end")
    else:
        start = subscription["trial_start"] if subscription["status"] == "trialing" else call.at
        changes = {
            "billing_cycle_anchor": trial_end,
            "status": "trialing",
            "trial_end": trial_end,
            "trial_start": start,
        }
        end = trial_end
    return _begun_again(call, subscription, subscription | changes, rows, bill=bill, end=end)


def _begun_again(
    call: Call, before: Body, subscription: Body, rows: list[Body], *, bill: Bill, end: int | None
) -> tuple[Body, list[Body]]:
    known = {item["id"] for item in call.objects.items_of(before["id"])}
    for row in rows:
        if row["id"] in known:
            bill.close(row, end=call.at)
    bill.waiting()
    rows = [_from_now(call, subscription, row, end) for row in rows]
    if subscription["status"] != "trialing":
        for row in rows:
            bill.ahead(row)
    return subscription, rows


def _from_now(call: Call, subscription: Body, row: Body, end: int | None) -> Body:
    if end is None:
        _, end = lifecycle.period_of(call.objects, subscription, row["price"], at=call.at)
    return row | {
        "current_period_start": call.at,
        "current_period_end": end,
        COUNTING: counting(start=call.at),
    }
