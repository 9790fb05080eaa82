"""Stripe's objects as the look-alike keeps them: stored bodies by type, and their ids."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from sync.sandbox.store import Store
from sync.sandbox.stripe.agenda import DUE, Agenda
from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.errors import no_such

__all__ = ["PREFIXES", "Body", "Change", "Objects", "Watcher", "merge_metadata"]

PREFIXES = {
    "billing.meter": "mtr_test_",
    "product": "prod_",
    "price": "price_",
    "customer": "cus_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "invoice": "in_",
    "invoiceitem": "ii_",
}
INDEXED = ("billing.meter", "subscription_item", "subscription", "invoice", "invoiceitem")


@dataclasses.dataclass(frozen=True)
class Change:
    """A body before and after it was written; `before` is None for a new one."""

    before: Body | None
    after: Body

    @property
    def id(self) -> str:
        """Whose change it is."""
        return str(self.after["id"])

    @property
    def type_name(self) -> str:
        """Of what type it is."""
        return str(self.after["object"])

    @property
    def subscription(self) -> str | None:
        """The subscription that an item is on."""
        return self.after.get("subscription") if self.type_name == "subscription_item" else None

    @property
    def is_one(self) -> bool:
        """Whether anything that the API shows is different."""
        return self.before is None or bool(self.previous) or bool(self.after.get("deleted"))

    @property
    def previous(self) -> Body:
        """The old values of what is different; a leading underscore marks what nobody sees."""
        before = self.before or {}
        names = [name for name in {**before, **self.after} if not name.startswith("_")]
        return {name: before.get(name) for name in names if before.get(name) != self.after.get(name)}


class Watcher(Protocol):
    """Told of every change."""

    def record(self, changes: Sequence[Change], *, at: int | None) -> None:
        """The changes are known; they happened at `at`, or now."""


class Objects:
    """The stored bodies of every object type.

    A body is kept as the API shows it, except that a price keeps its `tiers` (shown only when expanded),
    an item names its price by id, and a subscription holds no `items` (they are found by its id).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.watcher: Watcher | None = None
        self._items: dict[str, dict[str, None]] = {}
        self._active_meters: dict[str, str] = {}
        self._invoices: dict[str, dict[str, None]] = {}
        self._pending: dict[str, dict[str, None]] = {}
        self._agenda = Agenda()
        for type_name in INDEXED:
            for body in store.all(_kind(type_name)):
                self._index(body)

    def save(self, body: Body) -> Body:
        """The body is what is held for its id."""
        self.save_all([body])
        return body

    def save_all(self, bodies: Iterable[Body], *, at: int | None = None) -> None:
        """All bodies are held; those of one type in one transaction. `at` is when they became so, or now."""
        by_type: dict[str, list[tuple[str, Body]]] = {}
        changes: list[Change] = []
        for body in bodies:
            changes.append(Change(self.find(body["object"], body["id"]), body))
            by_type.setdefault(body["object"], []).append((body["id"], body))
        for type_name, rows in by_type.items():
            self._store.put_many(_kind(type_name), rows)
            for _, body in rows:
                self._index(body)
        self._tell([change for change in changes if change.is_one], at=at)

    def find(self, type_name: str, id_: str) -> Body | None:
        """The stored body, or None."""
        return self._store.get(_kind(type_name), id_)

    def get(self, type_name: str, id_: str, *, param: str = "id", status: int = 404) -> Body:
        """The stored body. Raises the StripeError for an id that names nothing."""
        body = self.find(type_name, id_)
        if body is None:
            raise no_such(id_, type_name.rpartition(".")[2], param=param, status=status)
        return body

    def find_any(self, id_: str) -> Body | None:
        """The stored body of whichever type has this id, or None."""
        return next((body for name in PREFIXES if (body := self.find(name, id_))), None)

    def all(self, type_name: str) -> list[Body]:
        """Every body of a type, newest first, as Stripe lists them."""
        return self._store.all(_kind(type_name))[::-1]

    def items_of(self, subscription_id: str) -> list[Body]:
        """The items of a subscription, oldest first."""
        ids = self._items.get(subscription_id, {})
        return [self.get("subscription_item", id_) for id_ in ids]

    def invoices_of(self, owner_id: str) -> list[Body]:
        """The invoices of a customer or a subscription, newest first."""
        ids = self._invoices.get(owner_id, {})
        return [self.get("invoice", id_) for id_ in reversed(ids)]

    def pending_items_of(self, subscription_id: str) -> list[Body]:
        """The invoice items of a subscription that are on no invoice yet, oldest first."""
        ids = self._pending.get(subscription_id, {})
        return [self.get("invoiceitem", id_) for id_ in ids]

    def next_due(self, *, at: int) -> Body | None:
        """The body that time changes first, if that is by now; each is told once for each change."""
        while found := self._agenda.pop(at=at):
            due, type_name, id_ = found
            body = self.find(type_name, id_)
            if body is not None and body.get(DUE) == due:
                return body
        return None

    def active_meter(self, event_name: str) -> Body | None:
        """The meter that takes events of this name now, or None."""
        id_ = self._active_meters.get(event_name)
        return self.find("billing.meter", id_) if id_ else None

    def delete(self, body: Body) -> None:
        """The object is not held any more."""
        self._store.delete(_kind(body["object"]), body["id"])
        if body["object"] == "subscription_item":
            self._items.get(body["subscription"], {}).pop(body["id"], None)
        if body["object"] == "billing.meter":
            self._forget_meter(body["id"])
        for owner in _owners(body):
            self._invoices.get(owner, {}).pop(body["id"], None)
        self._tell([Change(body, body | {"deleted": True})], at=None)

    def _tell(self, changes: Sequence[Change], *, at: int | None) -> None:
        if changes and self.watcher:
            self.watcher.record(changes, at=at)

    def _index(self, body: Body) -> None:
        if body["object"] == "subscription_item":
            self._items.setdefault(body["subscription"], {})[body["id"]] = None
        if body["object"] == "billing.meter":
            self._forget_meter(body["id"])
            if body["status"] == "active":
                self._active_meters[body["event_name"]] = body["id"]
        for owner in _owners(body):
            self._invoices.setdefault(owner, {})[body["id"]] = None
        if body["object"] == "invoiceitem":
            pending = self._pending.setdefault(body["_subscription"], {})
            pending.pop(body["id"], None)
            if body["invoice"] is None:
                pending[body["id"]] = None
        self._agenda.note(body)

    def _forget_meter(self, id_: str) -> None:
        # A meter's name can be changed by the control API, so the old entry is found by its id.
        stale = [name for name, held in self._active_meters.items() if held == id_]
        for name in stale:
            del self._active_meters[name]


def merge_metadata(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> dict[str, str]:
    """Stripe's rule: given keys replace, an empty value removes its key, and None removes them all."""
    if new is None:
        return {}
    return {name: value for name, value in (dict(old or {}) | dict(new)).items() if value != ""}


def _owners(body: Body) -> list[str]:
    """Whose invoice it is."""
    if body["object"] != "invoice":
        return []
    return [owner for owner in (body["customer"], body["_subscription"]) if owner]


def _kind(type_name: str) -> str:
    return f"stripe.{type_name}"
