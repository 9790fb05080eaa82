"""/api/v1/events and /api/v1/debug/metrics: what goes in, and what went in lately."""

import collections
import datetime as dt
import http
import json
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from sync.sandbox.openmeter import customers, instants, meters
from sync.sandbox.openmeter.answers import ExactJsonResponse, bad_request
from sync.sandbox.openmeter.event_log import event_index, record_events
from sync.sandbox.openmeter.events import Event, read_event
from sync.sandbox.openmeter.meters import Meter
from sync.sandbox.openmeter.params import instant_param, integer_param, parse_body
from sync.sandbox.world import World

ONE, BATCH, EITHER = "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"
MOST_LISTED = 100
LISTED_BY_DEFAULT = dt.timedelta(hours=72)
FARTHEST_BACK = dt.timedelta(days=32)


class EventRoutes:
    """The handlers of one world's events."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def routes(self) -> list[BaseRoute]:
        """The routes, below /api/v1."""
        return [
            Route("/events", self.ingest, methods=["POST"]),
            Route("/events", self.listing, methods=["GET"]),
            Route("/debug/metrics", self.metrics, methods=["GET"]),
        ]

    async def ingest(self, request: Request) -> Response:
        """Nothing: the events are stored, all or, where one has a wrong shape, none."""
        documents = _documents(request.headers.get("content-type", ""), await request.body())
        now = self._world.clock.now()
        record_events(self._store, [read_event(document, now=now) for document in documents])
        return Response(status_code=http.HTTPStatus.NO_CONTENT)

    async def listing(self, request: Request) -> Response:
        """Events by their time, newest first, with what is wrong with them for the meters of their type."""
        params = request.query_params
        limit = integer_param(params, "limit", default=MOST_LISTED, maximum=MOST_LISTED)
        found = self._listed(params)
        found.sort(key=lambda event: event.seconds, reverse=True)
        attribution = customers.attribution_of_all(self._store)
        if "customerId" in params:
            wanted = set(params.getlist("customerId"))
            found = [event for event in found if attribution.get(event.subject) in wanted]
        known = [Meter.of(meter) for meter in meters.list_meters(self._store, include_deleted=False)]
        return ExactJsonResponse([_listed(event, known, attribution) for event in found[:limit]])

    async def metrics(self, _request: Request) -> Response:
        """OpenMetrics text: events per subject since midnight UTC, by event time."""
        midnight = self._world.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        events = event_index(self._store).of_any_type(instants.to_seconds(midnight))
        counts = collections.Counter(event.subject for event in events)
        lines = [
            "# HELP openmeter_events Number of ingested events",
            "# TYPE openmeter_events counter",
            *(_sample(subject, count) for subject, count in sorted(counts.items())),
            "# EOF",
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    def _listed(self, params: QueryParams) -> list[Event]:
        now = self._world.clock.now()
        start, ingested_from = instant_param(params, "from"), instant_param(params, "ingestedAtFrom")
        end, ingested_to = instant_param(params, "to"), instant_param(params, "ingestedAtTo")
        for name, bound in (("from", start), ("ingestedAtFrom", ingested_from)):
            if bound is not None and bound < now - FARTHEST_BACK:
                raise bad_request(detail=f"{name} must be within the last 32 days")
        first = instants.to_seconds(start or now - LISTED_BY_DEFAULT)
        last = None if end is None else instants.to_seconds(end) + 1  # both ends count here
        found = event_index(self._store).of_any_type(first, last)
        id_part, subject_part = params.get("id", ""), params.get("subject", "")
        return [
            event
            for event in found
            if id_part in event.id
            and subject_part in event.subject
            and _within(instants.parse(event.ingested_at), ingested_from, ingested_to)
        ]


def _documents(content_type: str, body: bytes) -> list[Any]:
    # Compared whole, as the real server does: "application/json; charset=utf-8" is refused.
    if content_type not in {ONE, BATCH, EITHER}:
        raise bad_request(detail=f"invalid content type: {content_type}")
    document = parse_body(body)
    if content_type == BATCH and not isinstance(document, list):
        raise bad_request(detail="a batch must be a list of events")
    if content_type == ONE or not isinstance(document, list):
        return [document]
    return document


def _sample(subject: str, count: int) -> str:
    return f"openmeter_events_total{{subject={json.dumps(subject)}}} {count}"


def _within(instant: dt.datetime, start: dt.datetime | None, end: dt.datetime | None) -> bool:
    return (start is None or instant >= start) and (end is None or instant <= end)


def _listed(event: Event, known: Iterable[Meter], attribution: dict[str, str]) -> dict[str, Any]:
    # Nothing waits between ingest and storage here, so both happened at once.
    listed = {"event": event.cloud_event(), "ingestedAt": event.ingested_at, "storedAt": event.ingested_at}
    if event.subject in attribution:
        listed["customerId"] = attribution[event.subject]
    if error := _validation_error(event, [meter for meter in known if meter.event_type == event.type]):
        listed["validationError"] = error
    return listed


def _validation_error(event: Event, concerned: list[Meter]) -> str:
    if not concerned:
        return f"no meter found for event type: {event.type}"
    unread = [
        meter.slug
        for meter in concerned
        if meter.value and meter.aggregation != "UNIQUE_COUNT" and meter.value.number(event.data) is None
    ]
    return f"no number at the value property of: {', '.join(unread)}" if unread else ""
