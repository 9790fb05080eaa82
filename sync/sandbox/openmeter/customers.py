"""OpenMeter's customers: whose usage a subject's events are, and their link to Stripe."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from sync.sandbox.openmeter import instants, ulids
from sync.sandbox.openmeter.answers import Problem, bad_request, not_found
from sync.sandbox.openmeter.fields import DESCRIPTION_LENGTH, NAME_LENGTH, Fields, without_empty
from sync.sandbox.store import Store

KIND = "openmeter_customer"
KEY_LENGTH = 256
CURRENCY = re.compile(r"[A-Z]{3}")


def list_customers(store: Store, *, include_deleted: bool) -> list[dict[str, Any]]:
    """The customers, deleted ones only on request, in the order of creation."""
    return [customer for customer in store.all(KIND) if include_deleted or "deletedAt" not in customer]


def find_customer(store: Store, id_or_key: str) -> dict[str, Any]:
    """The customer, deleted or not, of this id or the live one of this key; else a 404."""
    customer = store.get(KIND, id_or_key)
    if customer is not None:
        return customer
    for customer in list_customers(store, include_deleted=False):
        if customer.get("key") == id_or_key:
            return customer
    raise not_found(detail=f"customer not found: {id_or_key}")


def live_customer(store: Store, id_or_key: str) -> dict[str, Any]:
    """The live customer of this id or key; 404 where there is none, 412 where it is deleted."""
    customer = find_customer(store, id_or_key)
    if "deletedAt" in customer:
        raise Problem(status=412, detail=f"customer {customer['id']} is deleted")
    return customer


def create_customer(store: Store, body: Any, *, now: dt.datetime) -> dict[str, Any]:
    """The store holds a new customer. A key or subject of another live customer is a 409."""
    stamp = instants.text(now)
    return _save(store, {"id": ulids.new(now), "createdAt": stamp, "updatedAt": stamp}, body)


def replace_customer(store: Store, id_or_key: str, body: Any, *, now: dt.datetime) -> dict[str, Any]:
    """The customer is as `body` says and nothing else; its past usage moves with its subjects."""
    customer = live_customer(store, id_or_key)
    fixed = {"id": customer["id"], "createdAt": customer["createdAt"], "updatedAt": instants.text(now)}
    return _save(store, fixed, body)


def delete_customer(store: Store, id_or_key: str, *, now: dt.datetime) -> None:
    """The customer is deleted: its key and subjects are free again, its id still finds it."""
    customer = live_customer(store, id_or_key)
    store.put(KIND, customer["id"], customer | {"deletedAt": instants.text(now)})


def subjects_of(customer: dict[str, Any]) -> list[str]:
    """The subjects whose usage is this customer's: its key and all its subject keys together."""
    key = [customer["key"]] if "key" in customer else []
    return [*key, *customer.get("usageAttribution", {}).get("subjectKeys", [])]


def subjects_of_customers(store: Store, ids: Sequence[str]) -> dict[str, str]:
    """Subject -> customer id of these customers, as attributed now: past results move with it.

    One unknown or deleted id is a 404 for all of them.
    """
    attribution: dict[str, str] = {}
    for customer_id in ids:
        customer = store.get(KIND, customer_id)
        if customer is None or "deletedAt" in customer:
            raise not_found(detail=f"customer not found: {customer_id}")
        attribution |= dict.fromkeys(subjects_of(customer), customer_id)
    return attribution


def attribution_of_all(store: Store) -> dict[str, str]:
    """Subject -> customer id of every live customer."""
    customers = list_customers(store, include_deleted=False)
    return {subject: customer["id"] for customer in customers for subject in subjects_of(customer)}


def _save(store: Store, fixed: dict[str, Any], body: Any) -> dict[str, Any]:
    fields = Fields(body)
    customer = without_empty(
        fixed
        | {
            "name": fields.text("name", longest=NAME_LENGTH),
            "description": fields.optional_text("description", longest=DESCRIPTION_LENGTH),
            "key": fields.optional_text("key", longest=KEY_LENGTH),
            "usageAttribution": _usage_attribution(fields),
            "primaryEmail": fields.optional_text("primaryEmail"),
            "currency": fields.text("currency", pattern=CURRENCY) if fields.has("currency") else None,
            "billingAddress": fields.text_map("billingAddress"),
            "metadata": fields.text_map("metadata"),
        }
    )
    if not subjects_of(customer):
        raise bad_request(detail="a customer needs a key or at least one subject key")
    _check_free(store, customer)
    store.put(KIND, customer["id"], customer)
    return customer


def _usage_attribution(fields: Fields) -> dict[str, Any] | None:
    if not fields.has("usageAttribution"):
        return None
    subjects = Fields(fields.value("usageAttribution"), what="usageAttribution").texts("subjectKeys")
    if subjects is None or not all(subjects):
        raise bad_request(detail="usageAttribution.subjectKeys must be a list of strings that are not empty")
    return {"subjectKeys": subjects}


def _check_free(store: Store, customer: dict[str, Any]) -> None:
    taken = attribution_of_all(store)
    for subject in subjects_of(customer):
        if taken.get(subject, customer["id"]) != customer["id"]:
            raise Problem(status=409, detail=f"subject {subject} belongs to another customer")
