"""One call to a look-alike as the layers around it see it, and the plain answer they pass along."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

SCOPE_KEY = "sandbox.exchange"
MAX_BODY_BYTES = 8_000_000


@dataclasses.dataclass
class Exchange:
    """A request with its body read, and what the layers have decided about it."""

    side: str
    method: str
    path: str
    route: str
    path_params: Mapping[str, str]
    query: bytes
    body: bytes
    headers: Mapping[str, str]
    cut: bool = False
    """The connection is dropped instead of answered."""
    delay_ms: int = 0
    """A fault's delay that the handler spends itself, inside its lock."""
    final: bool = False
    """The handler began its work, so its error counts as a result."""

    @classmethod
    def of(cls, scope: Scope) -> "Exchange":
        """The exchange that the outermost layer put into the scope."""
        exchange = scope[SCOPE_KEY]
        assert isinstance(exchange, Exchange)  # noqa: S101 - narrows an untyped scope
        return exchange


@dataclasses.dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def json(cls, body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        """A JSON answer."""
        kind = {"content-type": "application/json"}
        return cls(status, json.dumps(body).encode(), kind | dict(headers or {}))

    def with_headers(self, **headers: str) -> "Answer":
        """The same answer with more headers; underscores in names become dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return dataclasses.replace(self, headers=dict(self.headers) | more)

    async def send(self, send: Send) -> None:
        """The answer is on its way to the client."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Capture:
    """Stands in for `send` and keeps what was sent."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            pairs = message.get("headers", [])
            self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        else:
            self._body += message.get("body", b"")

    @property
    def answer(self) -> Answer | None:
        """What was sent, or None when nothing was."""
        if self._status is None:
            return None
        headers = {name: value for name, value in self._headers.items() if name != "content-length"}
        return Answer(self._status, bytes(self._body), headers)


class Routes:
    """Says which path template a request belongs to."""

    def __init__(self, known: Iterable[tuple[str, str]]) -> None:
        self._literal: dict[tuple[str, str], str] = {}
        self._patterns: dict[tuple[str, int], list[tuple[re.Pattern[str], str]]] = {}
        for method, template in known:
            if "{" not in template:
                self._literal[method, template] = template
                continue
            pattern = re.compile(re.sub(r"\{(\w+)(:\w+)?\}", r"(?P<\1>[^/]+)", template))
            key = (method, template.count("/"))
            self._patterns.setdefault(key, []).append((pattern, template))

    def match(self, method: str, path: str) -> tuple[str, Mapping[str, str]] | None:
        """The template and the values in its braces, or None for an unknown route."""
        if (method, path) in self._literal:
            return path, {}
        for pattern, template in self._patterns.get((method, path.count("/")), []):
            found = pattern.fullmatch(path)
            if found:
                return template, found.groupdict()
        return None


def route_key(route: str) -> str:
    """The route with nameless braces, so that `{id}` and `{customer}` compare as equal."""
    return re.sub(r"\{[^}]*\}", "{}", route.strip())


async def read_body(receive: Receive) -> bytes | None:
    """The whole request body, or None when the client went away before it was complete."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES or not message.get("more_body", False):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out a body already read, then goes on with the connection's own."""
    handed_out = False

    async def again() -> Any:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
