"""How many answers a second the player can give: is it ever the bottleneck?

`python -m benchmarks.player_speed --port PORT` sends meter events over many connections with a client
that does next to nothing, and prints answers a second. It wants a player with `--latency-ms 0`.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from benchmarks.player import METER_EVENTS

CONNECTIONS = 64


def requests(count: int) -> Iterator[bytes]:
    """Yield meter events, each of another customer, with about the headers that the SDK sends."""
    for number in range(count):
        body = urlencode(
            {
                "event_name": "meter_0",
                "payload[stripe_customer_id]": f"cus_speed{number}",
                "payload[value]": "1.25",
                "identifier": f"speed:{number}",
                "timestamp": 1_800_000_000,
            }
        )
        padding = "x" * 500
        yield (
            f"POST {METER_EVENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Client: {padding}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class _Client(asyncio.Protocol):
    """Sends the next request as soon as the last one was answered."""

    def __init__(self, todo: Iterator[bytes], finished: asyncio.Future[None]) -> None:
        self._todo, self._finished = todo, finished
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type for mypy
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 200"):
            self._next()
        elif not self._finished.done():
            self._finished.set_exception(RuntimeError(data[:300].decode()))

    def _next(self) -> None:
        assert self._transport  # noqa: S101 - narrows the type for mypy
        request = next(self._todo, None)
        if request is None:
            self._transport.close()
            if not self._finished.done():
                self._finished.set_result(None)
        else:
            self._transport.write(request)


async def answers_per_second(*, port: int, count: int) -> float:
    """Return how many meter events a second the player on this port answers."""
    todo = list(requests(count))
    loop = asyncio.get_running_loop()
    shared = iter(todo)
    finished = [loop.create_future() for _ in range(CONNECTIONS)]
    start = time.perf_counter()
    for one in finished:
        await loop.create_connection(lambda one=one: _Client(shared, one), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*finished)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    print(f"{asyncio.run(answers_per_second(port=options.port, count=options.count)):.0f}")


if __name__ == "__main__":
    main()
