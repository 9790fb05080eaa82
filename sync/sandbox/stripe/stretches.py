"""Stretches of an item's time, and which meter events belong to one."""

import dataclasses
from collections.abc import Sequence
from decimal import Decimal, localcontext

from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.ledger import EXACT_DIGITS, WINDOW_SECONDS, Event, aggregate, counted, floor
from sync.sandbox.stripe.operations import Account

COUNTING = "_counting"
"""Where an item notes from when on its usage counts in the period that runs."""

REMOVED_METER: Body = {"default_aggregation": {"formula": "sum"}, "event_time_window": None}
"""How a meter that the control API took away is counted."""

UNBILLED = ("paused", "incomplete", "incomplete_expired")
"""In these states a subscription makes no invoices."""


def counting(*, start: int, is_first: bool = False, after: int = 0, price_changed: bool = False) -> Body:
    """From when on usage counts: its timestamp, and for a price that came later the receipt after others.

    `is_first`: no period came before, so an event at the very start belongs here under every reading.
    """
    return {"start": start, "is_first": is_first, "after": after, "price_changed": price_changed}


def stretch_of(account: Account, subscription: Body, item: Body, *, end: int) -> Body | None:
    """Return the item's time from where it counts to `end`, or None where no meter measures it."""
    price = account.objects.get("price", item["price"])
    recurring = price["recurring"] or {}
    if not recurring.get("meter"):
        return None
    since = item.get(COUNTING) or counting(start=item["current_period_start"])
    return since | {
        "subscription": subscription["id"],
        "customer": subscription["customer"],
        "item": item["id"],
        "price": item["price"],
        "meter": recurring["meter"],
        "end": end,
        "pauses": subscription.get("_pauses", []),
        "until": None,
    }


def why_unbilled(subscription: Body, item: Body) -> str | None:
    """Return why the period that an item is in is never billed, or None where it is."""
    trial_end = subscription["trial_end"]
    if trial_end is not None and item["current_period_start"] < trial_end:
        return "it lies in the trial"
    if subscription["status"] in UNBILLED:
        return f"the subscription was {subscription['status']} when the period ended"
    return None


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a stretch counted: the exact total, and the events in it by their order of receipt."""

    total: Decimal
    positions: list[int]


def measure(account: Account, stretch: Body) -> Usage:
    """Return what the events received by now make of the stretch."""
    meter = account.objects.find("billing.meter", stretch["meter"]) or REMOVED_METER
    window, formula = meter["event_time_window"], meter["default_aggregation"]["formula"]
    known = _received(account, stretch, window)
    inside = [event for event in counted(known, window=window) if holds(account, stretch, event, window)]
    mine = [event for event in inside if event.position > stretch["after"]]
    total = aggregate(mine, formula=formula)
    if window and formula != "last":
        with localcontext(prec=EXACT_DIGITS):
            total -= aggregate(_already_billed(account, stretch, known, mine, window), formula=formula)
    return Usage(total=total, positions=[event.position for event in mine])


def holds(account: Account, stretch: Body, event: Event, window: str | None) -> bool:
    """Whether the event's time lies in the stretch and in no pause."""
    settings = account.world.settings
    start, end, at = stretch["start"], stretch["end"], event.timestamp
    if any(begun <= at and (ended is None or at < ended) for begun, ended in stretch["pauses"]):
        return False
    if window and settings.straddling_hour_window == "start":
        return start <= floor(at, window) < end or bool(stretch["is_first"] and start <= at < end)
    if settings.event_at_period_end == "this":
        return start < at <= end or bool(stretch["is_first"] and at == start)
    return bool(start <= at < end)


def _received(account: Account, stretch: Body, window: str | None) -> list[Event]:
    first, last = stretch["start"], stretch["end"]
    if window:
        # What decides a window may lie outside the stretch.
        first, last = floor(first, window), floor(last, window) + WINDOW_SECONDS[window] - 1
    events = account.ledger.between(stretch["meter"], stretch["customer"], start=first, end=last + 1)
    until = stretch["until"]
    return [event for event in events if until is None or event.position <= until]


def _already_billed(
    account: Account, stretch: Body, known: Sequence[Event], mine: Sequence[Event], window: str
) -> list[Event]:
    """The values of these windows that an earlier price of the same period has billed.

    Whether Stripe bills the whole new value of a window or the difference is not established.
    """
    if not stretch["after"] or account.world.settings.window_revised_after_price_change == "whole":
        return []
    revised = {floor(event.timestamp, window) for event in mine}
    before = counted([event for event in known if event.position <= stretch["after"]], window=window)
    return [
        event
        for event in before
        if floor(event.timestamp, window) in revised and holds(account, stretch, event, window)
    ]
