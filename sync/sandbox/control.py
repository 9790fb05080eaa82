"""The control API under /sandbox: the clock, faults, settings, the log of calls, and a look inside."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sync.sandbox import stripe
from sync.sandbox.clock import Clock
from sync.sandbox.faults import BadFault, Fault, Faults
from sync.sandbox.journal import Journal
from sync.sandbox.store import Store
from sync.sandbox.webhooks import BadWebhook, Webhooks
from sync.sandbox.world import Settings, World

CLOCK_KIND = "clock"
CLOCK_KEY = "sandbox"


class BadControl(ValueError):
    """The control API cannot do what was asked; the text says why."""


class Control:
    """The handlers of the control API."""

    def __init__(
        self,
        world: World,
        *,
        account: stripe.Account,
        faults: Faults,
        journal: Journal,
        webhooks: Webhooks,
    ) -> None:
        self._world = world
        self._account = account
        self._faults = faults
        self._journal = journal
        self._webhooks = webhooks

    def routes(self) -> list[BaseRoute]:
        """The routes below /sandbox."""
        return [
            Route("/clock", self.read_clock, methods=["GET"]),
            Route("/clock", self.set_clock, methods=["PUT"]),
            Route("/faults", self.list_faults, methods=["GET"]),
            Route("/faults", self.add_fault, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/requests", self.list_requests, methods=["GET"]),
            Route("/requests", self.clear_requests, methods=["DELETE"]),
            Route("/settings", self.read_settings, methods=["GET"]),
            Route("/settings", self.change_settings, methods=["PATCH"]),
            Route("/stripe/{id}", self.patch_object, methods=["PATCH"]),
            Route("/stripe/{id}", self.delete_object, methods=["DELETE"]),
            Route("/meter_events", self.list_meter_events, methods=["GET"]),
            Route("/meter_events/landings", self.list_landings, methods=["GET"]),
            Route("/invoices", self.list_invoices, methods=["GET"]),
            Route("/totals", self.list_totals, methods=["GET"]),
            Route("/reset", self.reset, methods=["POST"]),
        ]

    def exception_handlers(self) -> Mapping[Any, Callable[[Request, Exception], Response]]:
        """What a control call that cannot be done is answered with."""
        bad = (BadControl, BadFault, BadWebhook, stripe.BadRefusal)
        return dict.fromkeys(bad, _refuse)

    async def read_clock(self, _: Request) -> Response:
        """The sandbox's time and mode."""
        clock = self._world.clock
        return JSONResponse({"now": clock.now().isoformat(), "mode": clock.mode})

    async def set_clock(self, request: Request) -> Response:
        """The clock is frozen at `now`, runs on from it, or is real when it is null; restarts too."""
        given = await _object(request)
        stripe.advance(self._account)
        if given.get("now") is None:
            self._world.clock.real()
        else:
            self._world.clock.set(_instant(given["now"]), running=given.get("running") is True)
        stripe.advance(self._account)
        _save_clock(self._world.clock, self._world.store)
        return await self.read_clock(request)

    async def list_faults(self, _: Request) -> Response:
        """The faults still to come."""
        return JSONResponse(self._faults.as_list())

    async def add_fault(self, request: Request) -> Response:
        """The fault waits for its calls."""
        self._faults.add(Fault.parse(await _object(request)))
        return JSONResponse(self._faults.as_list(), status_code=201)

    async def clear_faults(self, _: Request) -> Response:
        """No fault waits."""
        self._faults.clear()
        return Response(status_code=204)

    async def list_requests(self, request: Request) -> Response:
        """The log of API calls and how many they are."""
        calls = self._journal.calls(route=request.query_params.get("route"))
        return JSONResponse({"count": len(calls), "requests": calls})

    async def clear_requests(self, _: Request) -> Response:
        """The log is empty."""
        self._journal.clear()
        return Response(status_code=204)

    async def read_settings(self, _: Request) -> Response:
        """The settings."""
        return JSONResponse(self._world.settings.as_dict())

    async def change_settings(self, request: Request) -> Response:
        """The given settings hold from the next call on, and after a restart."""
        # What is due already happens under the settings that held until now.
        stripe.advance(self._account)
        settings = self._world.settings
        given = await _object(request)
        problem = settings.problem_with(given)
        if problem:
            raise BadControl(problem)
        settings.assign(given)
        settings.save(self._world.store)
        return await self.read_settings(request)

    async def patch_object(self, request: Request) -> Response:
        """The stored Stripe object with the given fields merged in, as no API call could."""
        body = self._stored(request)
        given = await _object(request)
        merged = stripe.overwritten(self._account, body, _merged(body, given))
        self._account.objects.save(merged)
        stripe.advance(self._account)
        return JSONResponse(stripe.render(self._account.objects, merged))

    async def delete_object(self, request: Request) -> Response:
        """The Stripe object is gone without a trace."""
        self._account.objects.delete(self._stored(request))
        return Response(status_code=204)

    def _stored(self, request: Request) -> dict[str, Any]:
        stripe.advance(self._account)
        id_ = request.path_params["id"]
        body = self._account.objects.find_any(id_)
        if body is None:
            message = f"no Stripe object has the id {id_}"
            raise BadControl(message)
        return body

    async def list_meter_events(self, request: Request) -> Response:
        """Every accepted meter event in order of receipt, with whether it counts."""
        query = request.query_params
        rows = stripe.event_rows(
            self._account, customer=query.get("customer"), event_name=query.get("event_name")
        )
        return JSONResponse(rows)

    async def list_landings(self, request: Request) -> Response:
        """Every accepted meter event with the invoice lines it is on, or why it is on none."""
        stripe.advance(self._account)
        query = request.query_params
        rows = stripe.landing_rows(
            self._account, customer=query.get("customer"), event_name=query.get("event_name")
        )
        return JSONResponse(rows)

    async def list_invoices(self, request: Request) -> Response:
        """What each invoice that is not a draft billed, exactly; with `drafts=true` the drafts too."""
        stripe.advance(self._account)
        query = request.query_params
        rows = stripe.invoice_rows(
            self._account,
            drafts=query.get("drafts") == "true",
            customer=query.get("customer"),
            subscription=query.get("subscription"),
        )
        return JSONResponse(rows)

    async def list_totals(self, request: Request) -> Response:
        """What each customer has on each meter over all time, exactly."""
        query = request.query_params
        rows = stripe.total_rows(self._account, customer=query.get("customer"), meter=query.get("meter"))
        return JSONResponse(rows)

    async def reset(self, _: Request) -> Response:
        """The sandbox is as if new: empty, in real time, without faults or log."""
        self._world.store.clear()
        self._world.settings.assign(Settings().as_dict())
        self._world.clock.real()
        self._faults.clear()
        self._journal.clear()
        self._webhooks.clear()
        return Response(status_code=204)


def restore_clock(store: Store) -> Clock:
    """A clock as it was set before the restart; one that ran has run on meanwhile."""
    clock = Clock()
    saved = store.get(CLOCK_KIND, CLOCK_KEY)
    if saved is None or saved["mode"] == "real":
        return clock
    at = dt.datetime.fromisoformat(saved["now"])
    running = saved["mode"] == "running"
    if running:
        at += dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(saved["set_at"])
    clock.set(at, running=running)
    return clock


def _save_clock(clock: Clock, store: Store) -> None:
    set_at = dt.datetime.now(dt.UTC)
    saved = {"mode": clock.mode, "now": clock.now().isoformat(), "set_at": set_at.isoformat()}
    store.put(CLOCK_KIND, CLOCK_KEY, saved)


async def _object(request: Request) -> dict[str, Any]:
    try:
        given = await request.json()
    except json.JSONDecodeError as error:
        message = "the body is not JSON"
        raise BadControl(message) from error
    if not isinstance(given, dict):
        message = "the body is not a JSON object"
        raise BadControl(message)
    return given


def _instant(text: object) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(str(text))
    except ValueError as error:
        message = f'"now" is not an ISO instant: {text}'
        raise BadControl(message) from error
    if at.tzinfo is None:
        message = f'"now" has no timezone: {text}'
        raise BadControl(message)
    return at


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged field by field; every other value replaces the old one."""
    merged = dict(old)
    for name, value in new.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _refuse(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)
