"""/api/v1/customers and /api/v1/subjects."""

from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sync.sandbox.openmeter import customers, stripe_links, subjects
from sync.sandbox.openmeter.answers import ExactJsonResponse
from sync.sandbox.openmeter.params import boolean_param, choice_param, integer_param, json_body
from sync.sandbox.world import World

LARGEST_PAGE = 1000


class CustomerRoutes:
    """The handlers of one world's customers and subjects."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def routes(self) -> list[BaseRoute]:
        """The routes, below /api/v1. A customer's key is free text, so it may hold slashes."""
        one = "/customers/{id_or_key:path}"
        return [
            Route("/subjects", self.list_subjects, methods=["GET"]),
            Route("/subjects", self.upsert_subjects, methods=["POST"]),
            Route("/customers", self.listing, methods=["GET"]),
            Route("/customers", self.create, methods=["POST"]),
            Route(f"{one}/stripe", self.get_stripe, methods=["GET"]),
            Route(f"{one}/stripe", self.link_stripe, methods=["PUT"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.replace, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
        ]

    async def list_subjects(self, _request: Request) -> Response:
        """Every subject record, not paged."""
        return ExactJsonResponse(subjects.list_subjects(self._store))

    async def upsert_subjects(self, request: Request) -> Response:
        """The subjects as they are now."""
        body = await json_body(request)
        return ExactJsonResponse(subjects.upsert_subjects(self._store, body, now=self._world.clock.now()))

    async def listing(self, request: Request) -> Response:
        """One page of customers; unlike for meters, pages are honoured."""
        params = request.query_params
        page = integer_param(params, "page", default=1)
        size = integer_param(params, "pageSize", default=100, maximum=LARGEST_PAGE)
        order_by = choice_param(params, "orderBy", ("name", "id", "createdAt"))
        descending = choice_param(params, "order", ("ASC", "DESC")) == "DESC"
        found = customers.list_customers(self._store, include_deleted=boolean_param(params, "includeDeleted"))
        matching = [customer for customer in found if _matches(customer, params)]
        matching.sort(key=lambda customer: str(customer[order_by]), reverse=descending)
        items = matching[(page - 1) * size : page * size]
        counts = {"totalCount": len(matching), "page": page, "pageSize": size}
        return ExactJsonResponse(counts | {"items": items})

    async def create(self, request: Request) -> Response:
        """The new customer."""
        body, now = await json_body(request), self._world.clock.now()
        return ExactJsonResponse(customers.create_customer(self._store, body, now=now), status_code=201)

    async def get(self, request: Request) -> Response:
        """One customer, by id also a deleted one."""
        return ExactJsonResponse(customers.find_customer(self._store, _id_or_key(request)))

    async def replace(self, request: Request) -> Response:
        """The changed customer."""
        body, now = await json_body(request), self._world.clock.now()
        return ExactJsonResponse(customers.replace_customer(self._store, _id_or_key(request), body, now=now))

    async def delete(self, request: Request) -> Response:
        """Nothing: the customer is deleted."""
        customers.delete_customer(self._store, _id_or_key(request), now=self._world.clock.now())
        return Response(status_code=204)

    async def get_stripe(self, request: Request) -> Response:
        """The customer's link to Stripe."""
        return ExactJsonResponse(stripe_links.stripe_link(self._store, _id_or_key(request)))

    async def link_stripe(self, request: Request) -> Response:
        """The customer's new link to Stripe."""
        body = await json_body(request)
        return ExactJsonResponse(stripe_links.link_stripe(self._store, _id_or_key(request), body))


def _id_or_key(request: Request) -> str:
    return str(request.path_params["id_or_key"])


def _matches(customer: dict[str, Any], params: QueryParams) -> bool:
    # Nobody subscribes to an OpenMeter plan in the sandbox, so a planKey matches no customer.
    if params.get("planKey"):
        return False
    texts = {
        "key": [customer.get("key", "")],
        "name": [customer["name"]],
        "primaryEmail": [customer.get("primaryEmail", "")],
        "subject": customer.get("usageAttribution", {}).get("subjectKeys", []),
    }
    return all(
        any(params.get(name, "").lower() in text.lower() for text in candidates)
        for name, candidates in texts.items()
        if params.get(name)
    )
