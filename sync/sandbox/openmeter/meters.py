"""The meters of a sandbox: documents in the store, and what a query needs to know of one."""

import dataclasses
import datetime as dt
import re
from typing import Any

from sync.sandbox.openmeter import instants, json_path, ulids
from sync.sandbox.openmeter.answers import Problem, bad_request, not_found
from sync.sandbox.openmeter.event_log import EventIndex
from sync.sandbox.openmeter.events import Event
from sync.sandbox.openmeter.fields import DESCRIPTION_LENGTH, NAME_LENGTH, Fields, without_empty
from sync.sandbox.openmeter.json_path import JsonPath
from sync.sandbox.store import Store

KIND = "openmeter_meter"
AGGREGATIONS = ("SUM", "COUNT", "UNIQUE_COUNT", "AVG", "MIN", "MAX", "LATEST")
SLUG = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
SLUG_LENGTH = 64
GROUP_KEY = re.compile(r"[a-zA-Z_][0-9a-zA-Z_]*")
CHANGEABLE = ("name", "description", "metadata", "groupBy")
"""All that an update may change; what is measured is fixed for good."""
RESERVED_GROUP_KEYS = frozenset({"subject", "customer_id"})
"""They group by columns of the event itself, so no path into its data may take their name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Meter:
    """A meter as a query sees it: a filter over stored events and a way to read each of them."""

    slug: str
    aggregation: str
    event_type: str
    event_from: int | None
    """Unix seconds before which events do not count."""
    value: JsonPath | None
    """None for COUNT, which reads no value."""
    groups: dict[str, JsonPath]

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Meter":
        """The meter that the stored document describes."""
        event_from = document.get("eventFrom")
        path = document.get("valueProperty")
        return cls(
            slug=document["slug"],
            aggregation=document["aggregation"],
            event_type=document["eventType"],
            event_from=None if event_from is None else instants.to_seconds(instants.parse(event_from)),
            value=None if path is None else json_path.compile_path(path),
            groups={key: json_path.compile_path(path) for key, path in document.get("groupBy", {}).items()},
        )

    def events(self, index: EventIndex, start: dt.datetime | None, end: dt.datetime | None) -> list[Event]:
        """Its events with start <= time < end in whole seconds, oldest first, none before `event_from`."""
        bounds = [instants.to_seconds(start)] if start is not None else []
        if self.event_from is not None:
            bounds.append(self.event_from)
        last = None if end is None else instants.to_seconds(end)
        return list(index.of_type(self.event_type, max(bounds, default=None), last))


def list_meters(store: Store, *, include_deleted: bool) -> list[dict[str, Any]]:
    """The meters, deleted ones only on request, in the order of creation."""
    return [meter for meter in store.all(KIND) if include_deleted or "deletedAt" not in meter]


def find_meter(store: Store, id_or_slug: str) -> dict[str, Any]:
    """The live meter of this slug or the meter, deleted or not, of this id; else a 404."""
    for meter in list_meters(store, include_deleted=False):
        if meter["slug"] == id_or_slug:
            return meter
    by_id = store.get(KIND, id_or_slug)
    if by_id is None:
        raise not_found(detail=f"meter not found: {id_or_slug}")
    return by_id


def create_meter(store: Store, body: Any, *, now: dt.datetime) -> dict[str, Any]:
    """The store holds a new meter. The slug of a deleted one may be used again; a live one's is a 409."""
    fields = Fields(body)
    slug = fields.text("slug", longest=SLUG_LENGTH, pattern=SLUG)
    event_from = fields.instant("eventFrom")
    meter = without_empty(
        {
            "id": ulids.new(now),
            "slug": slug,
            "aggregation": fields.choice("aggregation", AGGREGATIONS),
            "eventType": fields.text("eventType"),
            "eventFrom": None if event_from is None else instants.text(event_from),
            "valueProperty": fields.optional_text("valueProperty"),
            **_changeable(fields, slug),
            "createdAt": instants.text(now),
            "updatedAt": instants.text(now),
        }
    )
    _check_value(meter)
    _check_groups(meter)
    if any(other["slug"] == slug for other in list_meters(store, include_deleted=False)):
        raise Problem(status=409, detail=f"meter with slug {slug} exists already")
    store.put(KIND, meter["id"], meter)
    return meter


def update_meter(store: Store, id_or_slug: str, body: Any, *, now: dt.datetime) -> dict[str, Any]:
    """Name, description, metadata and groupBy are as `body` says, gone where it is silent; the rest stays."""
    meter = _live_meter(store, id_or_slug)
    fixed = {name: value for name, value in meter.items() if name not in CHANGEABLE}
    sent = _changeable(Fields(body), meter["slug"])
    changed = without_empty(fixed | sent | {"updatedAt": instants.text(now)})
    _check_groups(changed)
    store.put(KIND, meter["id"], changed)
    return changed


def delete_meter(store: Store, id_or_slug: str, *, now: dt.datetime) -> None:
    """The meter is deleted: its slug finds it no more, its id still does. Its events stay."""
    meter = _live_meter(store, id_or_slug)
    store.put(KIND, meter["id"], meter | {"deletedAt": instants.text(now), "updatedAt": instants.text(now)})


def _changeable(fields: Fields, slug: str) -> dict[str, Any]:
    return {
        "name": fields.optional_text("name", longest=NAME_LENGTH) or slug,
        "description": fields.optional_text("description", longest=DESCRIPTION_LENGTH),
        "metadata": fields.text_map("metadata"),
        "groupBy": fields.text_map("groupBy"),
    }


def _live_meter(store: Store, id_or_slug: str) -> dict[str, Any]:
    meter = find_meter(store, id_or_slug)
    if "deletedAt" in meter:
        raise not_found(detail=f"meter not found: {id_or_slug}")
    return meter


def _check_value(meter: dict[str, Any]) -> None:
    path = meter.get("valueProperty")
    if meter["aggregation"] == "COUNT":
        if path is not None:
            raise bad_request(detail="meter value property is not allowed when the aggregation is count")
        return
    if path is None:
        raise bad_request(detail="meter value property is required when the aggregation is not count")
    _check_path(path, "valueProperty")


def _check_groups(meter: dict[str, Any]) -> None:
    for key, path in meter.get("groupBy", {}).items():
        if not GROUP_KEY.fullmatch(key) or key in RESERVED_GROUP_KEYS:
            raise bad_request(detail=f"meter group by key {key} is invalid")
        if path == meter.get("valueProperty"):
            raise bad_request(detail=f"meter group by value {key} cannot be the same as value property")
        _check_path(path, f"groupBy.{key}")


def _check_path(path: str, name: str) -> None:
    try:
        json_path.compile_path(path)
    except ValueError as error:
        raise bad_request(detail=f"{name}: {error}") from error
