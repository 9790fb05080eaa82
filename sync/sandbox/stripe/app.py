"""The look-alike of Stripe as an ASGI app: authentication, parameters, the handler, the answer."""

import base64
import binascii
import inspect
import json
import re
import secrets
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from starlette.types import Receive, Scope, Send

from sync.sandbox.exchange import Answer, Exchange, Routes
from sync.sandbox.stripe import (
    core_events,
    customers,
    events,
    invoice_items,
    invoices,
    items,
    lifecycle,
    meter_event_adjustments,
    meter_events,
    meters,
    other_routes,
    prices,
    products,
    subscriptions,
    summaries,
)
from sync.sandbox.stripe.errors import StripeError, unrecognized_url
from sync.sandbox.stripe.forms import parse_form
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import API_VERSION, Account, Call, Operation
from sync.sandbox.stripe.rendering import expand, render

OPERATIONS: Sequence[Operation] = [
    *meter_events.OPERATIONS,
    *meter_event_adjustments.OPERATIONS,
    *meters.OPERATIONS,
    *summaries.OPERATIONS,
    *products.OPERATIONS,
    *prices.OPERATIONS,
    *customers.OPERATIONS,
    *subscriptions.OPERATIONS,
    *items.OPERATIONS,
    *invoices.OPERATIONS,
    *invoice_items.OPERATIONS,
    *events.OPERATIONS,
    *core_events.OPERATIONS,
    *other_routes.OPERATIONS,
]
ROUTES = Routes((operation.method, operation.path) for operation in OPERATIONS)

DELAYED_INSIDE = frozenset({"POST /v1/billing/meter_events"})
"""A meter event spends a scripted delay while it holds the lock of its customer and meter."""

TEST_KEY = re.compile(r"(?:sk|rk)_test_([A-Za-z0-9]+)(?:_\w+)?")
"""The first part after the prefix names the account."""

_MARK = secrets.token_hex(8)
_MARKED = re.compile(rf'"{_MARK}(-?\d+(?:\.\d+)?)"')


class StripeApp:
    """Answers each call of the API, or says what is wrong with it in Stripe's words."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._operations = {operation.key: operation for operation in OPERATIONS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The call is answered; a refusal is an answer too."""
        del receive  # the body was read by the layers around
        exchange = Exchange.of(scope)
        try:
            body = encode(await self._answer(exchange))
            headers = {"content-type": "application/json", "request-id": new_id("req_")}
            answer = Answer(200, body, headers)
        except StripeError as error:
            answer = error.answer()
        version = exchange.headers.get("stripe-version", API_VERSION)
        await answer.with_headers(stripe_version=version).send(send)

    async def _answer(self, exchange: Exchange) -> Body:
        account_id = authenticate(exchange.headers.get("authorization", ""))
        operation = self._operations.get(exchange.route)
        if operation is None:
            raise unrecognized_url(exchange.method, exchange.path)
        raw = exchange.query if exchange.method == "GET" or not exchange.body else exchange.body
        call = Call(
            account=self._account,
            exchange=exchange,
            account_id=account_id,
            params=operation.params.read(parse_form(raw), ""),
            at=int(self._account.now().timestamp()),
        )
        lifecycle.advance(self._account)
        exchange.final = True
        body = operation.handle(call)
        shown = render(call.objects, await body if inspect.isawaitable(body) else body)
        expand(call.objects, shown, call.params.get("expand", []))
        return shown


def authenticate(authorization: str) -> str:
    """The id of the account whose test key the header carries. Raises the 401."""
    key = _key(authorization)
    if not key:
        message = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise StripeError(message, status=401)
    found = TEST_KEY.fullmatch(key)
    if found is None:
        message = f"Invalid API Key provided: {key[:8]}********{key[-4:]}"
        raise StripeError(message, status=401)
    return f"acct_{found[1]}"


def _key(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def encode(body: Body) -> bytes:
    """JSON in which each Decimal is a number, digit by digit."""
    return _MARKED.sub(r"\1", json.dumps(body, default=_mark)).encode()


def _mark(value: Any) -> str:
    # json can write floats only; the number is marked as a string and the quotes are taken off afterwards.
    if isinstance(value, Decimal):
        return f"{_MARK}{value:f}"
    message = f"not JSON: {value!r}"
    raise TypeError(message)
