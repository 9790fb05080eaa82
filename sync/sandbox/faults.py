"""Scripted faults: what a test asks a look-alike to do wrong, and the layer that does it."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from sync.sandbox.exchange import Answer, Capture, Exchange, route_key

ErrorAnswer = Callable[[int, str], Answer]
"""Builds a side's usual answer for an error status on a route."""


class BadFault(ValueError):
    """The script of a fault makes no sense; the text says why."""


@dataclasses.dataclass
class Fault:
    """What goes wrong with the next `times` calls of a route, or of a whole side."""

    route: str
    times: int = 1
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    delay_ms: int = 0
    cut: Literal["before", "after"] | None = None
    store: bool = False
    match: str | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """The fault that a JSON object describes. Raises BadFault."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = set(raw) - known
        if unknown or "route" not in raw:
            message = (
                f"a fault has a route and may have {sorted(known - {'route'})}; not known: {sorted(unknown)}"
            )
            raise BadFault(message)
        fault = cls(**cast("dict[str, Any]", raw))
        fault._check()
        return fault

    def _check(self) -> None:
        if self.cut not in ("before", "after", None):
            message = f'"cut" is "before", "after" or null, not {self.cut!r}'
            raise BadFault(message)
        if not _is_whole(self.times) or self.times < 1 or not _is_whole(self.delay_ms) or self.delay_ms < 0:
            message = '"times" is a whole number from 1, "delay_ms" one from 0'
            raise BadFault(message)
        if self.status is not None and (not _is_whole(self.status) or not 200 <= self.status <= 599):
            message = '"status" is an HTTP status from 200 to 599, or null'
            raise BadFault(message)

        texts = [*self.headers.values()] if isinstance(self.headers, dict) else [None]
        if not all(isinstance(text, str) for text in [self.route, self.match or "", *texts]):
            message = '"route" and "match" are strings, "headers" is an object of strings'
            raise BadFault(message)

    @property
    def executes(self) -> bool:
        """Whether the request is carried out despite the fault."""
        if self.cut is not None:
            return self.cut == "after"
        return self.status is None or self.store

    def concerns(self, exchange: Exchange) -> bool:
        """Whether this fault is meant for this call."""
        if self.route != exchange.side and route_key(self.route) != route_key(exchange.route):
            return False
        wanted = (self.match or "").encode()
        return wanted in exchange.body or wanted in exchange.query

    def answer(self, usual: ErrorAnswer, route: str) -> Answer:
        """The answer given instead of the real one."""
        status = self.status or 200
        if self.body is None:
            answer = usual(status, route) if status >= 400 else Answer.json({}, status=status)
        elif isinstance(self.body, str):
            answer = Answer(status, self.body.encode(), {"content-type": "text/html"})
        else:
            answer = Answer(status, json.dumps(self.body).encode(), {"content-type": "application/json"})
        return answer.with_headers(**{name.lower(): value for name, value in self.headers.items()})


class Faults:
    """The faults still to come, in the order they were posted."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """The fault waits behind those posted earlier."""
        self._faults.append(fault)

    def take(self, exchange: Exchange) -> Fault | None:
        """The first fault meant for this call, with one of its times used up, or None."""
        for fault in self._faults:
            if fault.concerns(exchange):
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """The faults still to come as JSON-able objects."""
        return [dataclasses.asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        """No fault waits."""
        self._faults.clear()


class FaultLayer:
    """Carries out the next fault of a call, else lets the call through."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        faults: Faults,
        usual: ErrorAnswer,
        delayed_inside: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._faults = faults
        self._usual = usual
        # Routes whose handler spends the delay itself, because it must hold a lock meanwhile.
        self._delayed_inside = delayed_inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The call is answered by the app or by the fault, or is marked as cut."""
        exchange = Exchange.of(scope)
        fault = self._faults.take(exchange)
        if fault is None:
            await self._app(scope, receive, send)
            return
        await self._delay(fault, exchange)
        exchange.cut = fault.cut is not None
        replaced = fault.cut is None and fault.status is not None
        if fault.executes:
            await self._app(scope, receive, Capture() if replaced else send)
        if replaced:
            await fault.answer(self._usual, exchange.route).send(send)

    async def _delay(self, fault: Fault, exchange: Exchange) -> None:
        if fault.executes and exchange.route in self._delayed_inside:
            exchange.delay_ms = fault.delay_ms
        else:
            await asyncio.sleep(fault.delay_ms / 1000)


def openmeter_error(status: int, route: str) -> Answer:
    """OpenMeter's problem document for a status; it leaves `detail` out on a 500."""
    titles = {
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        408: "Request Timeout",
        409: "Conflict",
        412: "Precondition Failed",
        429: "Too Many Requests",
        500: "Internal Server Error",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Gateway Timeout",
    }
    problem: dict[str, Any] = {"type": "about:blank", "title": titles.get(status, "Error"), "status": status}
    if status != 500:
        problem["detail"] = f"scripted fault on {route}"
    headers = {"content-type": "application/problem+json"}
    return Answer(status, json.dumps(problem).encode(), headers)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
