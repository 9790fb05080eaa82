"""The log of API calls, and the outermost layer around a look-alike, which writes it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from sync.sandbox.clock import Clock
from sync.sandbox.exchange import SCOPE_KEY, Capture, Exchange, Routes, read_body, replay, route_key

KEPT_CALLS = 20_000
"""Enough for a benchmark of some seconds, small enough to answer in one response."""

TRANSPORT_KEY = "sandbox.transport"
"""Where the server's protocol puts its transport into the scope's extensions."""


class Journal:
    """The last calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)

    def add(self, call: dict[str, Any]) -> None:
        """The call is the newest of the log."""
        self._calls.append(call)

    def calls(self, *, route: str | None = None) -> list[dict[str, Any]]:
        """The calls, or those of one route such as "GET /v1/subscriptions/{id}"."""
        if route is None:
            return list(self._calls)
        wanted = route_key(route)
        return [call for call in self._calls if route_key(call["route"]) == wanted]

    def clear(self) -> None:
        """The log is empty."""
        self._calls.clear()


class Recorder:
    """Reads a request whole, names its route, and lets the inner layers answer or cut the connection."""

    def __init__(self, app: ASGIApp, *, side: str, routes: Routes, journal: Journal, clock: Clock) -> None:
        self._app = app
        self._side = side
        self._routes = routes
        self._journal = journal
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every call ends in the journal, with a null status where the connection was cut."""
        if scope["type"] != "http":
            return
        at = self._clock.now()
        body = await read_body(receive)
        if body is None:
            return
        exchange = self._exchange(scope, body)
        scope[SCOPE_KEY] = exchange
        capture = Capture()
        try:
            await self._app(scope, replay(exchange.body, receive), capture)
        except asyncio.CancelledError:
            # The server stops and gives up a call that a script holds up; that is no fault of the app.
            exchange.cut = True
        finally:
            answer = None if exchange.cut else capture.answer
            self._journal.add(
                {
                    "method": exchange.method,
                    "path": exchange.path,
                    "route": exchange.route,
                    "idempotency_key": exchange.headers.get("idempotency-key"),
                    "status": answer.status if answer else None,
                    "at": at.isoformat(),
                }
            )
        if answer is None:
            await _drop(scope)
        else:
            await answer.send(send)

    def _exchange(self, scope: Scope, body: bytes) -> Exchange:
        method = scope["method"]
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        template, values = self._routes.match(method, path) or ("(unknown)", {})
        return Exchange(
            side=self._side,
            method=method,
            path=path,
            route=f"{method} {template}",
            path_params=values,
            query=scope["query_string"],
            body=body,
            headers=_headers(scope),
        )


def _headers(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def _drop(scope: Scope) -> None:
    scope["extensions"][TRANSPORT_KEY].abort()
    # One turn of the loop lets the protocol hear of the lost connection; without it the server would
    # take the missing answer for a fault of the app and log it.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
