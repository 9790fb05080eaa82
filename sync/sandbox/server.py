"""The sandbox as a server: both look-alikes, the control API and the page, on one loopback port."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sync.sandbox import openmeter, page, stripe
from sync.sandbox.clock import Clock
from sync.sandbox.control import Control, restore_clock
from sync.sandbox.exchange import Routes
from sync.sandbox.faults import FaultLayer, Faults, openmeter_error
from sync.sandbox.journal import TRANSPORT_KEY, Journal, Recorder
from sync.sandbox.store import Store
from sync.sandbox.webhook_control import WebhookControl, tell
from sync.sandbox.webhooks import Webhooks
from sync.sandbox.world import Settings, World

HOST = "127.0.0.1"
"""Loopback only: the sandbox takes any test key and lets anybody set its clock."""

GRACE_SECONDS = 2
"""How long a stop waits for calls in progress; a scripted delay may be longer, and is then given up."""

START_SECONDS = 10


class PortTaken(OSError):
    """Something else listens on the port."""


class SandboxProtocol(HttpToolsProtocol):
    """Lets the app reach the transport, so that a scripted cut can drop the connection."""

    def on_message_begin(self) -> None:
        """The scope of the new request carries the transport."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT_KEY: self.transport}  # type: ignore[dict-item]


def build_app(*, state: Path | None, clock: Clock | None = None) -> Starlette:
    """The whole sandbox over the file `state`, or in memory. Its World is at `app.state.world`."""
    store = Store(state)
    world = World(clock=clock or restore_clock(store), store=store, settings=Settings.load(store))
    faults, journal = Faults(), Journal()
    account = stripe.Account(world)
    webhooks = Webhooks(account)
    control = Control(world, account=account, faults=faults, journal=journal, webhooks=webhooks)
    told = WebhookControl(account, webhooks)
    routes: list[BaseRoute] = [
        Mount("/stripe", app=_stripe_side(world, account, faults, journal)),
        Mount("/openmeter", app=_openmeter_side(world, faults, journal)),
        Mount("/sandbox", routes=[*control.routes(), *told.routes(), *openmeter.control_routes(world)]),
        Route("/", page.endpoint(account)),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        telling = tell(webhooks)
        yield
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        store.close()

    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=control.exception_handlers())
    app.state.world = world
    return app


def _stripe_side(world: World, account: stripe.Account, faults: Faults, journal: Journal) -> ASGIApp:
    faulty = FaultLayer(
        stripe.StripeApp(account),
        faults=faults,
        usual=stripe.usual_error,
        delayed_inside=stripe.DELAYED_INSIDE,
    )
    # Faults lie inside the idempotency layer: a scripted 500 is replayed for its key like a real one.
    idempotent = stripe.IdempotencyLayer(faulty, account)
    return Recorder(idempotent, side="stripe", routes=stripe.ROUTES, journal=journal, clock=world.clock)


def _openmeter_side(world: World, faults: Faults, journal: Journal) -> ASGIApp:
    routes = openmeter.routes(world)
    faulty = FaultLayer(Router(routes), faults=faults, usual=openmeter_error)
    known = Routes(_templates(routes))
    return Recorder(faulty, side="openmeter", routes=known, journal=journal, clock=world.clock)


def _templates(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The method and path template of every route, however deeply mounted."""
    for route in routes:
        if isinstance(route, Mount):
            yield from _templates(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            for method in route.methods or ():
                yield method, prefix + route.path


def serve(*, port: int, state: Path | None) -> None:
    """The sandbox answered on the port until Ctrl-C or SIGTERM, and stopped in order. Raises PortTaken."""
    with contextlib.closing(_listen(port)) as listener:
        server = _server(build_app(state=state))
        with _signals_end(server):
            server.run(sockets=[listener])


class SandboxServer:
    """A sandbox in a thread on a free port, for tests: `with SandboxServer() as sandbox: ...`"""

    def __init__(self, *, state: Path | None = None, clock: Clock | None = None) -> None:
        self._app = build_app(state=state, clock=clock)
        self.world: World = self._app.state.world
        self._listener = _listen(0)
        self._server = _server(self._app)
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self.base_url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self.stripe_url = f"{self.base_url}/stripe"
        self.openmeter_url = f"{self.base_url}/openmeter"

    def __enter__(self) -> Self:
        """The sandbox answers: the socket listened before the thread began, so no call is refused."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The sandbox has stopped and its file is closed."""
        self._server.should_exit = True
        self._thread.join(timeout=START_SECONDS + GRACE_SECONDS)
        self._listener.close()
        self.world.store.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])


def _server(app: Starlette) -> uvicorn.Server:
    # Without access log; uvicorn's own loggers are left to whoever configures logging.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=SandboxProtocol,
            ws="none",
            lifespan="on",
            loop="asyncio",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def _listen(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it on, each answer of two
    # writes waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        message = f"Port {port} on {HOST} is taken: stop what listens there, or choose another port."
        raise PortTaken(errno.EADDRINUSE, message) from error
    return listener


@contextlib.contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Ctrl-C and SIGTERM only stop the server, also before uvicorn listens to them itself.

    The socket is open by then, so whoever saw it answer may ask for the end. And after its shutdown uvicorn
    raises them again.
    """

    def end(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
