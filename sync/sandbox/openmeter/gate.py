"""The way in: the bearer token of the hosted OpenMeter, and its slowness."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.sandbox.openmeter.answers import ProblemResponse
from sync.sandbox.world import World


class Gate:
    """Lets a request through when its token is right, after the latency that the settings ask for.

    Without a token in the settings it is a self-hosted OpenMeter, which ignores Authorization. The
    settings are read at each request, because the sandbox may be told others while it runs.
    """

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The request is answered, here or behind the gate."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        settings = self._world.settings
        if settings.openmeter_latency_ms:
            await asyncio.sleep(settings.openmeter_latency_ms / 1000)
        token = settings.openmeter_token
        if token and Request(scope).headers.get("authorization") != f"Bearer {token}":
            refusal = ProblemResponse(401, "the bearer token is missing or wrong")
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)
