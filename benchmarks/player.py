"""A fast player of both APIs: `python -m benchmarks.player --port 0 --latency-ms 20`.

It answers by rule and keeps one dict, so that it costs a fraction of what its callers cost. It is no
sandbox: of Stripe's refusals it knows two, the repeated identifier and the overlapping call.
"""

import argparse
import asyncio
import json
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.world import (
    ACCOUNT,
    HOUR,
    METER_PREFIX,
    SUBJECT_PREFIX,
    World,
    meter_slug,
    subject_key,
    usage,
)

METER_EVENTS = "/v1/billing/meter_events"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 409: "Conflict"}

Answer = tuple[int, bytes]


class Player:
    """What the two APIs know: usage by rule, events by identifier."""

    def __init__(self, world: World) -> None:
        """Begin with no event."""
        self.world = world
        self.events: dict[str, tuple[str, str, str, int]] = {}
        self.calls: Counter[str] = Counter()
        self.under_way: set[tuple[str, str]] = set()
        self.made_meters: list[dict[str, Any]] = []

    def answer(self, method: str, target: str, body: bytes) -> tuple[Answer, Callable[[], None] | None]:
        """Return status and JSON, and what is to be done when the answer leaves."""
        path, _, query = target.partition("?")
        if path == METER_EVENTS and method == "POST":
            return self._take_event(body)
        return self._read(method, path, query, body), None

    def _read(self, method: str, path: str, query: str, body: bytes) -> Answer:
        if path.startswith("/player/"):
            return 200, json.dumps(self._own(path)).encode()
        if path == "/v1/account":
            self.calls["stripe account"] += 1
            return 200, json.dumps({"id": ACCOUNT, "object": "account"}).encode()
        if path == "/api/v1/meters":
            self.calls["openmeter meters"] += 1
            return 200, json.dumps(self._meters(method, body)).encode()
        if path.startswith("/api/v1/meters/") and path.endswith("/query"):
            self.calls["openmeter query"] += 1
            return self._query(unquote(path.split("/")[4]), _asked(method, query, body))
        self.calls["unknown"] += 1
        return 404, b'{"title": "Not Found", "status": 404}'

    def _own(self, path: str) -> object:
        if path == "/player/events":
            return [[name, *event] for name, event in self.events.items()]
        if path == "/player/reset":
            self.events.clear()
            self.calls.clear()
        return self.calls

    # --- Stripe --------------------------------------------------------------------------------------------

    def _take_event(self, body: bytes) -> tuple[Answer, Callable[[], None] | None]:
        self.calls["stripe meter event"] += 1
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        customer, value = form["payload[stripe_customer_id]"], form["payload[value]"]
        name, identifier, at = form["event_name"], form["identifier"], int(form["timestamp"])
        lane = (customer, name)
        if lane in self.under_way:
            self.calls["answered 409"] += 1
            return _refusal(409, "Too many concurrent requests for this customer and meter."), None
        if identifier in self.events:
            self.calls["answered 400"] += 1
            return _refusal(400, f"An event already exists with identifier {identifier}."), None
        self.events[identifier] = (customer, name, value, at)
        self.under_way.add(lane)
        answer = {
            "object": "billing.meter_event",
            "created": at,
            "event_name": name,
            "identifier": identifier,
            "livemode": False,
            "payload": {"stripe_customer_id": customer, "value": value},
            "timestamp": at,
        }
        return (200, json.dumps(answer).encode()), lambda: self.under_way.discard(lane)

    # --- OpenMeter -----------------------------------------------------------------------------------------

    def _meters(self, method: str, body: bytes) -> object:
        if method == "POST":
            self.made_meters.append({"id": f"made_{len(self.made_meters)}", **json.loads(body)})
            return self.made_meters[-1]
        return [
            {"id": f"om_{number}", "slug": meter_slug(number), "aggregation": "SUM", "groupBy": {}}
            for number in range(self.world.meters)
        ] + self.made_meters

    def _query(self, slug: str, asked: Mapping[str, Any]) -> Answer:
        number = slug.removeprefix(METER_PREFIX)
        if not number.isdigit() or int(number) >= self.world.meters:
            return 404, b'{"title": "Not Found", "status": 404}'
        start, end = (datetime.fromisoformat(asked[name]).astimezone(UTC) for name in ("from", "to"))
        chosen = self._chosen(int(number), asked.get("subject"))
        hours = _hours(start, end)
        if asked.get("windowSize") == "HOUR":
            rows = [_row(one, usage(one, at), at, at + HOUR) for at in hours for one in chosen]
        else:
            rows = [_row(one, sum(usage(one, at) for at in hours), start, end) for one in chosen if hours]
        return 200, b'{"data":[' + b",".join(rows) + b"]}"

    def _chosen(self, meter: int, subjects: list[str] | None) -> range | list[int]:
        on_meter = self.world.numbers_of(meter)
        if subjects is None:
            return on_meter
        numbers = (int(key.removeprefix(SUBJECT_PREFIX)) for key in subjects)
        return [number for number in numbers if number in on_meter]


def _row(number: int, value: Decimal | int, start: datetime, end: datetime) -> bytes:
    return (
        f'{{"value":{value},"subject":"{subject_key(number)}","windowStart":"{start:%Y-%m-%dT%H:%M:%SZ}",'
        f'"windowEnd":"{end:%Y-%m-%dT%H:%M:%SZ}","groupBy":{{}}}}'
    ).encode()


def _hours(start: datetime, end: datetime) -> list[datetime]:
    """Return the starts of the hours that begin in `[start, end)`."""
    first = start.replace(minute=0, second=0, microsecond=0)
    first += HOUR if first < start else 0 * HOUR
    return [first + number * HOUR for number in range(max(0, -((first - end) // HOUR)))]


def _asked(method: str, query: str, body: bytes) -> Mapping[str, Any]:
    if method == "POST":
        posted: dict[str, Any] = json.loads(body)
        return posted
    asked = parse_qs(query)
    return {name: values if name == "subject" else values[0] for name, values in asked.items()}


def _refusal(status: int, message: str) -> Answer:
    return status, json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as `requests` and `httpx` speak."""

    def __init__(self, player: Player, latency: float) -> None:
        """Serve one connection."""
        self._player, self._latency = player, latency
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every complete request, each after the latency."""
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:head_end]
            end = head_end + 4 + _content_length(head)
            if len(self._buffer) < end:
                return
            method, target, _ = head[: head.find(b"\r\n")].decode().split(" ", 2)
            body, self._buffer = self._buffer[head_end + 4 : end], self._buffer[end:]
            self._serve(method, urlsplit(target)._replace(scheme="", netloc="").geturl(), body)

    def _serve(self, method: str, target: str, body: bytes) -> None:
        answer, on_leaving = self._player.answer(method, target, body)
        latency = 0.0 if target.startswith("/player/") else self._latency
        if latency:
            asyncio.get_running_loop().call_later(latency, self._send, answer, on_leaving)
        else:
            self._send(answer, on_leaving)

    def _send(self, answer: Answer, on_leaving: Callable[[], None] | None) -> None:
        if on_leaving:
            on_leaving()
        status, content = answer
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Request-Id: req_benchmark\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        if self._transport and not self._transport.is_closing():
            self._transport.write(head.encode() + content)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve(player: Player, *, port: int, latency: float) -> None:
    """Serve until the process is ended; the first line of output is the port."""
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(player, latency), sock=listener
    )
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Parse and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--meters", type=int, default=2)
    options = parser.parse_args()
    player = Player(World(options.subscriptions, options.meters))
    asyncio.run(serve(player, port=options.port, latency=options.latency_ms / 1000))


if __name__ == "__main__":
    main()
