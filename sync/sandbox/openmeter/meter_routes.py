"""/api/v1/meters: the catalogue, subjects with usage, and the query."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sync.sandbox.openmeter import meters, query, query_answer, query_request, subjects
from sync.sandbox.openmeter.answers import ExactJsonResponse
from sync.sandbox.openmeter.event_log import event_index
from sync.sandbox.openmeter.meters import Meter
from sync.sandbox.openmeter.params import boolean_param, choice_param, instant_param, integer_param, json_body
from sync.sandbox.world import World

MOST_METERS = 1000
ORDER_FIELDS = {
    "key": "slug",
    "name": "name",
    "aggregation": "aggregation",
    "createdAt": "createdAt",
    "updatedAt": "updatedAt",
}


class MeterRoutes:
    """The handlers of one world's meters."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def routes(self) -> list[BaseRoute]:
        """The routes, below /api/v1."""
        one = "/meters/{id_or_slug}"
        return [
            Route("/meters", self.listing, methods=["GET"]),
            Route("/meters", self.create, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.update, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/subjects", self.subjects, methods=["GET"]),
            Route(f"{one}/query", self.query_by_params, methods=["GET"]),
            Route(f"{one}/query", self.query_by_body, methods=["POST"]),
        ]

    async def listing(self, request: Request) -> Response:
        """The meters as a plain array, the first 1000 whatever page is asked for, as the real server does."""
        params = request.query_params
        integer_param(params, "page", default=1)
        integer_param(params, "pageSize", default=100, maximum=MOST_METERS)
        field = ORDER_FIELDS[choice_param(params, "orderBy", tuple(ORDER_FIELDS))]
        found = meters.list_meters(self._store, include_deleted=boolean_param(params, "includeDeleted"))
        descending = choice_param(params, "order", ("ASC", "DESC")) == "DESC"
        found.sort(key=lambda meter: str(meter[field]), reverse=descending)
        return ExactJsonResponse(found[:MOST_METERS])

    async def create(self, request: Request) -> Response:
        """The new meter, with 200 where the published spec says 201."""
        body = await json_body(request)
        return ExactJsonResponse(meters.create_meter(self._store, body, now=self._world.clock.now()))

    async def get(self, request: Request) -> Response:
        """One meter."""
        return ExactJsonResponse(self._document(request))

    async def update(self, request: Request) -> Response:
        """The changed meter."""
        body, id_or_slug = await json_body(request), request.path_params["id_or_slug"]
        now = self._world.clock.now()
        return ExactJsonResponse(meters.update_meter(self._store, id_or_slug, body, now=now))

    async def delete(self, request: Request) -> Response:
        """Nothing: the meter is deleted."""
        meters.delete_meter(self._store, request.path_params["id_or_slug"], now=self._world.clock.now())
        return Response(status_code=204)

    async def subjects(self, request: Request) -> Response:
        """The subjects with events of the meter's type in [from, to), sorted."""
        meter = self._meter(request)
        start, end = instant_param(request.query_params, "from"), instant_param(request.query_params, "to")
        events = meter.events(event_index(self._store), start, end)
        return ExactJsonResponse(sorted({event.subject for event in events}))

    async def query_by_params(self, request: Request) -> Response:
        """Usage, asked for in the query string."""
        return self._answer(request, query_request.body_of_params(request.query_params), most_items=None)

    async def query_by_body(self, request: Request) -> Response:
        """Usage, asked for in a body, whose lists are limited."""
        body = await json_body(request)
        return self._answer(request, body, most_items=query_request.MOST_ITEMS)

    def _answer(self, request: Request, body: Any, *, most_items: int | None) -> Response:
        meter = self._meter(request)
        asked = query_request.read_query(body, meter=meter, store=self._store, most_items=most_items)
        rows = query.answer(asked, meter, event_index(self._store))
        # Only this exact header: a list of types that has text/csv in it gets JSON.
        if request.headers.get("accept") == "text/csv":
            text = query_answer.as_csv(asked, rows, subjects.display_names(self._store))
            attachment = {"content-disposition": f'attachment; filename="{meter.slug}.csv"'}
            return Response(text.encode("utf-8", "replace"), media_type="text/csv", headers=attachment)
        return ExactJsonResponse(query_answer.as_document(asked, rows))

    def _document(self, request: Request) -> dict[str, Any]:
        return meters.find_meter(self._store, request.path_params["id_or_slug"])

    def _meter(self, request: Request) -> Meter:
        return Meter.of(self._document(request))
