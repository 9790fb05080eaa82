"""What a route of the look-alike is, and what its handler is given."""

import dataclasses
import datetime as dt
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sync.sandbox.exchange import Exchange
from sync.sandbox.stripe.errors import rate_limited
from sync.sandbox.stripe.ledger import EventLedger
from sync.sandbox.stripe.objects import Body, Objects
from sync.sandbox.stripe.refusals import Refusals
from sync.sandbox.stripe.shapes import Shape
from sync.sandbox.stripe.snapshots import SnapshotLog
from sync.sandbox.world import World

API_VERSION = "2026-10-28.endive"


class RateLimiter:
    """Lets so many calls through in any second of real time; a frozen sandbox clock must not stop it."""

    def __init__(self) -> None:
        self._passed: deque[float] = deque()

    def check(self, per_second: int | None) -> None:
        """The call is counted. Raises the 429 when the second is full."""
        if per_second is None:
            return
        now = time.monotonic()
        while self._passed and now - self._passed[0] >= 1:
            self._passed.popleft()
        if len(self._passed) >= per_second:
            raise rate_limited(reason="endpoint-rate")
        self._passed.append(now)


class Account:
    """The one Stripe account of the sandbox: its objects, its events, and who is being served."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limiter = RateLimiter()
        self.in_flight: set[tuple[str, str]] = set()
        """Meter and customer of the meter events being processed."""
        self._load()

    def _load(self) -> None:
        self._generation = self.world.store.generation
        self._objects = Objects(self.world.store)
        self._snapshots = SnapshotLog(
            self.world.store, self._objects, now=lambda: int(self.now().timestamp())
        )
        self._objects.watcher = self._snapshots
        self._ledger = EventLedger(self.world.store)
        self._refusals = Refusals(self.world.store)

    def _fresh(self) -> None:
        # The store was cleared: what was indexed is gone.
        if self._generation != self.world.store.generation:
            self._load()

    @property
    def objects(self) -> Objects:
        """The stored objects."""
        self._fresh()
        return self._objects

    @property
    def snapshots(self) -> SnapshotLog:
        """What happened to the objects."""
        self._fresh()
        return self._snapshots

    @property
    def ledger(self) -> EventLedger:
        """The accepted meter events."""
        self._fresh()
        return self._ledger

    @property
    def refusals(self) -> Refusals:
        """What is refused after it was taken."""
        self._fresh()
        return self._refusals

    def now(self) -> dt.datetime:
        """The sandbox's time."""
        return self.world.clock.now()


@dataclasses.dataclass(frozen=True)
class Call:
    """One authenticated request with its parameters read."""

    account: Account
    exchange: Exchange
    account_id: str
    params: dict[str, Any]
    at: int
    """The sandbox's time in Unix seconds."""

    @property
    def objects(self) -> Objects:
        """The stored objects."""
        return self.account.objects

    @property
    def url(self) -> str:
        """The path as list envelopes repeat it."""
        return self.exchange.path

    def path(self, name: str) -> str:
        """The value of a name in the path template."""
        return self.exchange.path_params[name]


Handler = Callable[[Call], Body | Awaitable[Body]]


@dataclasses.dataclass(frozen=True)
class Operation:
    """A method and path of the spec, the parameters modelled of it, and who answers."""

    method: str
    path: str
    handle: Handler
    params: Shape

    @property
    def key(self) -> str:
        """For example "GET /v1/prices/{price}"."""
        return f"{self.method} {self.path}"


def new_object(type_name: str, id_: str, *, at: int, **fields: Any) -> Body:
    """The fields that all objects share, then its own."""
    return {"id": id_, "object": type_name, "created": at, "livemode": False} | fields


def pick(params: Mapping[str, Any], *names: str) -> Body:
    """Those of the named parameters that were given."""
    return {name: params[name] for name in names if name in params}
