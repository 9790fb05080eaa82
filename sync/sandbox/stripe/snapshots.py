"""The events that changes of objects leave behind, as /v1/events shows them for 30 days."""

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from sync.sandbox.store import Store
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, Change, Objects
from sync.sandbox.stripe.rendering import render

KIND = "stripe.event"
KEPT_SECONDS = 30 * 86_400
"""Stripe keeps events that long."""

PREFIXES = {"subscription": "customer.subscription"}
"""What events of a type are called, where that is not the type itself."""

UNNAMED = {("billing.meter", "deleted"): "updated"}
"""Stripe deletes no meter; only the control API does, and clients must notice that as well."""


class SnapshotLog:
    """Keeps one event for each change of a meter, product, price, customer, subscription or invoice.

    Snapshots are kept packed: thousands of subscriptions would otherwise fill the memory.
    """

    def __init__(self, store: Store, objects: Objects, *, now: Callable[[], int]) -> None:
        self._store, self._objects, self._now = store, objects, now

    def record(self, changes: Sequence[Change], *, at: int | None) -> None:
        """Every change has its event, which happened at `at`, or now."""
        happened_at = self._now() if at is None else at
        items = [change for change in changes if change.type_name == "subscription_item"]
        events = [self._event(change, items, happened_at) for change in self._of_subscriptions(changes)]
        self._forget_old()
        self._store.put_many(KIND, [(event["id"], event) for event in events])

    def all(self) -> list[Body]:
        """Return the events of the last 30 days, newest first, still packed."""
        horizon = self._now() - KEPT_SECONDS
        kept = [event for event in self._store.all(KIND)[::-1] if event["created"] > horizon]
        # What time does is noticed late, but happened when it did. The sort keeps equals in order.
        return sorted(kept, key=lambda event: -int(event["created"]))

    def find(self, id_: str) -> Body | None:
        """Return one event, or None."""
        event = self._store.get(KIND, id_)
        return event if event and event["created"] > self._now() - KEPT_SECONDS else None

    def _of_subscriptions(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Return the changes that events are made of: an item's is one of its subscription."""
        own = [change for change in changes if change.type_name != "subscription_item" and _is_told(change)]
        moved = {change.subscription for change in changes} - {change.id for change in own} - {None}
        found = [self._objects.find("subscription", str(id_)) for id_ in sorted(moved, key=str)]
        return [*own, *(Change(body, body) for body in found if body)]

    def _event(self, change: Change, items: Sequence[Change], at: int) -> Body:
        verb = _verb(change)
        type_name = change.type_name
        prefix = PREFIXES.get(type_name, type_name)
        shown = change.before if verb == "deleted" and change.after.get("deleted") else change.after
        return {
            "id": new_id("evt_"),
            "object": "event",
            "created": at,
            "type": f"{prefix}.{UNNAMED.get((type_name, verb), verb)}",
            "snapshot": _packed(
                {"object": render(self._objects, shown or change.after)}
                | ({"previous_attributes": self._previous(change, items)} if verb == "updated" else {})
            ),
        }

    def _previous(self, change: Change, items: Sequence[Change]) -> Body:
        """The old values of what is different; of a subscription's items all, as Stripe does with lists."""
        mine = {item.id: item for item in items if item.subscription == change.id}
        if change.type_name != "subscription" or not mine:
            return change.previous
        shown_now = self._objects.items_of(change.id)
        now = [mine[item["id"]].before if item["id"] in mine else item for item in shown_now]
        gone = [item.before for item in mine.values() if item.after.get("deleted")]
        shown = [render(self._objects, item) for item in (*now, *gone) if item]
        return change.previous | {"items": {"data": shown}}

    def _forget_old(self) -> None:
        horizon = self._now() - KEPT_SECONDS
        oldest = self._store.oldest(KIND)
        if oldest is None or oldest["created"] > horizon:
            return
        old = []
        for event in self._store.all(KIND):
            if event["created"] > horizon:
                break
            old.append(event["id"])
        self._store.delete_many(KIND, old)


def unpacked(event: Body) -> Body:
    """Return the event as the API shows it."""
    shown = {name: value for name, value in event.items() if name != "snapshot"}
    return shown | {"data": json.loads(zlib.decompress(base64.b64decode(event["snapshot"])))}


def _packed(data: dict[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(data).encode())).decode()


def _is_told(change: Change) -> bool:
    # Stripe has no event for an invoice item that found its invoice.
    return change.type_name != "invoiceitem" or change.before is None


INVOICE_VERBS = {
    "open": "finalized",
    "paid": "paid",
    "uncollectible": "marked_uncollectible",
    "void": "voided",
}


def _verb(change: Change) -> str:
    before, after = change.before, change.after
    if before is None:
        return "created"
    if after.get("deleted"):
        return "deleted"
    if change.type_name == "billing.meter" and before["status"] != after["status"]:
        return "reactivated" if after["status"] == "active" else "deactivated"
    if change.type_name == "invoice" and before["status"] != after["status"]:
        return INVOICE_VERBS.get(after["status"], "updated")
    if change.type_name == "subscription" and before["status"] != after["status"]:
        # Ended, paused and resumed have events of their own.
        if after["status"] == "canceled":
            return "deleted"
        if "paused" in (before["status"], after["status"]):
            return "paused" if after["status"] == "paused" else "resumed"
    return "updated"
