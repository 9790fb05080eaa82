"""What the sandbox can do and no OpenMeter offers: lose events on purpose, and tell the exact total."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sync.sandbox.openmeter import aggregation, instants, meters
from sync.sandbox.openmeter.answers import ExactJsonResponse, bad_request
from sync.sandbox.openmeter.event_log import EventIndex, event_index, forget_events
from sync.sandbox.openmeter.events import Event
from sync.sandbox.openmeter.fields import Fields
from sync.sandbox.openmeter.meters import Meter
from sync.sandbox.openmeter.params import json_body
from sync.sandbox.store import Store
from sync.sandbox.world import World

ADDITIVE = ("SUM", "COUNT")
"""The aggregations whose windows add up, so that one total speaks for a period."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Which events are meant; None leaves that side open."""

    meter: Meter | None
    subject: str | None
    start: dt.datetime | None
    end: dt.datetime | None

    @classmethod
    def read(cls, document: Any, store: Store) -> "Choice":
        """The choice that {meter, subject, from, to} makes. An unknown slug is a 404."""
        fields = Fields(document)
        slug = fields.optional_text("meter")
        return cls(
            meter=None if slug is None else Meter.of(meters.find_meter(store, slug)),
            subject=fields.optional_text("subject"),
            start=fields.instant("from"),
            end=fields.instant("to"),
        )

    def events(self, index: EventIndex) -> list[Event]:
        """The chosen events, of all types when no meter is named."""
        if self.meter is not None:
            found = self.meter.events(index, self.start, self.end)
        else:
            start, end = (None if at is None else instants.to_seconds(at) for at in (self.start, self.end))
            found = index.of_any_type(start, end)
        return [event for event in found if self.subject in {None, event.subject}]


class ControlRoutes:
    """The handlers of one world's control."""

    def __init__(self, world: World) -> None:
        self._store = world.store

    def routes(self) -> list[BaseRoute]:
        """The routes, below the control's own prefix."""
        return [
            Route("/forget", self.forget, methods=["POST"]),
            Route("/usage", self.usage, methods=["GET"]),
        ]

    async def forget(self, request: Request) -> Response:
        """How many events were forgotten, as if OpenMeter had lost them. They may be sent again."""
        choice = Choice.read(await json_body(request), self._store)
        events = choice.events(event_index(self._store))
        return ExactJsonResponse({"forgotten": forget_events(self._store, events)})

    async def usage(self, request: Request) -> Response:
        """The exact total of a SUM or COUNT meter, as a string: what was used, before any float."""
        choice = Choice.read(dict(request.query_params), self._store)
        if choice.meter is None or choice.meter.aggregation not in ADDITIVE:
            raise bad_request(detail="meter must name a SUM or COUNT meter")
        events = choice.events(event_index(self._store))
        total = aggregation.measure(choice.meter, events) or Decimal(0)
        return ExactJsonResponse({"total": decimal_text(total), "events": len(events)})


def totals_by_subject(store: Store) -> list[dict[str, Any]]:
    """For each live meter and subject: how many events, and their value over all time as exact text.

    Of a meter that does not add up the value is its aggregate over all time; "" where it has none.
    """
    index = event_index(store)
    found = []
    known = [Meter.of(document) for document in meters.list_meters(store, include_deleted=False)]
    for meter in sorted(known, key=lambda meter: meter.slug):
        by_subject: dict[str, list[Event]] = {}
        for event in meter.events(index, None, None):
            by_subject.setdefault(event.subject, []).append(event)
        for subject, events in sorted(by_subject.items()):
            value = aggregation.measure(meter, events)
            text = "" if value is None else decimal_text(value)
            found.append({"meter": meter.slug, "subject": subject, "events": len(events), "total": text})
    return found


def decimal_text(value: Decimal) -> str:
    """The number without an exponent."""
    return f"{value:f}"
