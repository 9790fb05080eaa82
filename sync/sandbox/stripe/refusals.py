"""Meter events that are taken with a 2xx and refused later, and the reports that tell of them."""

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import Any

from sync.sandbox.store import Store
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.snapshots import KEPT_SECONDS

KIND = "stripe.thin_event"
WAITING_KIND = "stripe.refused_meter_event"
ERROR_REPORT = "v1.billing.meter.error_report_triggered"
NO_METER_FOUND = "v1.billing.meter.no_meter_found"
NO_METER = "no_meter"
WINDOW = dt.timedelta(seconds=10)
"""How long Stripe gathers what it refuses into one report; in its examples."""

NAMINGS = ("identifier", "idempotency_key", "request")
"""What a sample names: the event's identifier, the request's key in the same place, or an older shape."""


class BadRefusal(ValueError):
    """The script makes no sense; the text says why."""


@dataclasses.dataclass
class Refusal:
    """The next `times` meter events (that mention `match`) are taken, and refused afterwards."""

    code: str = "meter_event_customer_not_found"
    times: int = 1
    match: str = ""
    naming: str = "identifier"
    samples: int = 5
    """How many of the refused events a report names at most; Stripe's number is not established."""

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "Refusal":
        """The refusal that a JSON object describes. Raises BadRefusal."""
        defaults = dataclasses.asdict(cls())
        for name, value in raw.items():
            if name not in defaults or type(value) is not type(defaults[name]):
                message = f"a refusal may have {sorted(defaults)}; {name} cannot be {value!r}"
                raise BadRefusal(message)
        refusal = cls(**raw)
        if refusal.times < 1 or refusal.samples < 0 or refusal.naming not in NAMINGS:
            message = f'"times" is at least 1, "samples" at least 0, "naming" one of {NAMINGS}'
            raise BadRefusal(message)
        return refusal


class Refusals:
    """What is to be refused, what was, and the thin events that told of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scripted: list[Refusal] = []

    def script(self, refusal: Refusal) -> None:
        """The refusal waits behind those posted earlier."""
        self._scripted.append(refusal)

    def clear(self) -> None:
        """Nothing more is refused later than others are."""
        self._scripted.clear()

    def take(self, body: bytes) -> Refusal | None:
        """The first refusal that is meant for this call, with one of its times used up."""
        for refusal in self._scripted:
            if refusal.match.encode() in body:
                refusal.times -= 1
                if not refusal.times:
                    self._scripted.remove(refusal)
                return refusal
        return None

    def add(self, refusal: Refusal, *, at: dt.datetime, meter: str, identifier: str, key: str | None) -> None:
        """The event waits for the report that tells of it."""
        named = {
            "identifier": {"identifier": identifier},
            "idempotency_key": {"identifier": key or identifier},
            "request": {"id": new_id("req_"), "idempotency_key": key or identifier},
        }[refusal.naming]
        body = {
            "id": new_id("refused_"),
            "at": at.isoformat(),
            "meter": None if refusal.code == NO_METER else meter,
            "code": refusal.code,
            "samples": refusal.samples,
            "sample": {"error_message": f"Refused: {refusal.code}.", "request": named},
        }
        self._store.put(WAITING_KIND, str(body["id"]), body)

    def report(self, *, now: dt.datetime, due_only: bool = True) -> list[Body]:
        """What was refused long enough ago, or all, is in thin events, one for each meter; return these."""
        waiting = self._store.all(WAITING_KIND)
        meters = dict.fromkeys(one["meter"] for one in waiting)
        made = []
        for meter in meters:
            refused = [one for one in waiting if one["meter"] == meter]
            first = dt.datetime.fromisoformat(refused[0]["at"])
            if due_only and now < first + WINDOW:
                continue
            made.append(_thin_event(meter, refused, start=first, now=now))
        told = {event["related_object"] and event["related_object"]["id"] for event in made}
        ids = [one["id"] for one in waiting if one["meter"] in told]
        self._store.delete_many(WAITING_KIND, ids)
        self._store.put_many(KIND, [(event["id"], event) for event in made])
        return made

    def all(self, *, now: dt.datetime) -> list[Body]:
        """Return the thin events of the last 30 days, oldest first."""
        return [
            event
            for event in self._store.all(KIND)
            if now <= dt.datetime.fromisoformat(event["created"]) + _KEPT
        ]

    def find(self, id_: str, *, now: dt.datetime) -> Body | None:
        """Return a thin event of the last 30 days, with its data."""
        event = self._store.get(KIND, id_)
        if event is None or dt.datetime.fromisoformat(event["created"]) + _KEPT < now:
            return None
        return event


_KEPT = dt.timedelta(seconds=KEPT_SECONDS)


def notification(event: Body) -> Body:
    """What a webhook holds of a thin event: everything but its data."""
    return {name: value for name, value in event.items() if name != "data"}


def _thin_event(meter: str | None, refused: list[Body], *, start: dt.datetime, now: dt.datetime) -> Body:
    related = meter and {
        "id": meter,
        "type": "billing.meter",
        "url": f"/v1/billing/meters/{meter}",
    }
    count = len(refused)
    return {
        "id": new_id("evt_"),
        "object": "v2.core.event",
        "type": ERROR_REPORT if meter else NO_METER_FOUND,
        "created": _text(now),
        "livemode": False,
        "reason": None,
        "related_object": related,
        "data": {
            "developer_message_summary": f"There is {count} invalid event" + ("" if count == 1 else "s"),
            "validation_start": _text(start),
            "validation_end": _text(start + WINDOW),
            "reason": {"error_count": count, "error_types": list(_types(refused))},
        },
    }


def _types(refused: list[Body]) -> Iterable[Body]:
    for code in dict.fromkeys(one["code"] for one in refused):
        of_code = [one for one in refused if one["code"] == code]
        most = max(one["samples"] for one in of_code)
        yield {
            "code": code,
            "error_count": len(of_code),
            "sample_errors": [one["sample"] for one in of_code[:most]],
        }


def _text(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
