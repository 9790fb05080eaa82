"""The control API's part about what Stripe tells by itself: webhooks, and what it refuses later."""

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sync.sandbox import stripe
from sync.sandbox.webhooks import BadWebhook, Script, Webhooks


class WebhookControl:
    """The handlers."""

    def __init__(self, account: stripe.Account, webhooks: Webhooks) -> None:
        self._account, self._webhooks = account, webhooks

    def routes(self) -> list[BaseRoute]:
        """The routes below /sandbox."""
        return [
            Route("/webhooks", self.read, methods=["GET"]),
            Route("/webhooks", self.configure, methods=["PUT"]),
            Route("/webhooks/sign", self.sign, methods=["POST"]),
            Route("/meter_events/refusals", self.refuse, methods=["POST"]),
            Route("/meter_events/refusals", self.clear_refusals, methods=["DELETE"]),
        ]

    async def read(self, _: Request) -> Response:
        """Who is told, what waits, and what was answered."""
        return JSONResponse(self._webhooks.as_dict())

    async def configure(self, request: Request) -> Response:
        """These addresses are told what happens from now on."""
        self._webhooks.configure(await _object(request))
        return await self.read(request)

    async def sign(self, request: Request) -> Response:
        """What waits, as signed requests that somebody else sends."""
        return JSONResponse(self._webhooks.sign(Script.parse(await _object(request))))

    async def refuse(self, request: Request) -> Response:
        """The next meter events are taken, and refused afterwards."""
        self._account.refusals.script(stripe.Refusal.parse(await _object(request)))
        return Response(status_code=204)

    async def clear_refusals(self, _: Request) -> Response:
        """No refusal waits for its events."""
        self._account.refusals.clear()
        return Response(status_code=204)


def tell(webhooks: Webhooks) -> "asyncio.Task[None]":
    """Begin to tell by itself; cancel the task to end that."""
    return asyncio.create_task(webhooks.run())


async def _object(request: Request) -> dict[str, Any]:
    try:
        given = await request.json()
    except json.JSONDecodeError as error:
        message = "the body is not JSON"
        raise BadWebhook(message) from error
    if not isinstance(given, dict):
        message = "the body is not a JSON object"
        raise BadWebhook(message)
    return given
