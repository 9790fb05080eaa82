"""OpenMeter's deprecated subject records. They are optional: events may name subjects without one."""

import datetime as dt
from typing import Any

from sync.sandbox.openmeter import exact_json, instants, ulids
from sync.sandbox.openmeter.answers import bad_request
from sync.sandbox.openmeter.fields import Fields, without_empty
from sync.sandbox.store import Store

KIND = "openmeter_subject"


def list_subjects(store: Store) -> list[dict[str, Any]]:
    """Every subject record, in the order of creation."""
    return [_shown(record) for record in store.all(KIND)]


def upsert_subjects(store: Store, body: Any, *, now: dt.datetime) -> list[dict[str, Any]]:
    """Each subject of the list exists and is as the list says, in what the list says of it."""
    if not isinstance(body, list):
        raise bad_request(detail="the body must be a list of subjects")
    records = [_record(store, Fields(item, what="a subject"), now) for item in body]
    store.put_many(KIND, [(record["key"], record) for record in records])
    return [_shown(record) for record in records]


def display_names(store: Store) -> dict[str, str]:
    """Subject key -> display name, of those that have one."""
    return {record["key"]: record["displayName"] for record in store.all(KIND) if "displayName" in record}


def _record(store: Store, fields: Fields, now: dt.datetime) -> dict[str, Any]:
    key = fields.text("key")
    metadata = fields.object("metadata")
    stamp = instants.text(now)
    sent = {
        "displayName": fields.optional_text("displayName"),
        "stripeCustomerId": fields.optional_text("stripeCustomerId"),
        # As text: its values are free, numbers among them, and the store's JSON knows floats.
        "metadata": None if metadata is None else exact_json.dumps(metadata),
    }
    known = store.get(KIND, key) or {"id": ulids.new(now), "key": key, "createdAt": stamp}
    return known | without_empty(sent) | {"updatedAt": stamp}


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    return record | ({"metadata": exact_json.loads(record["metadata"])} if "metadata" in record else {})
