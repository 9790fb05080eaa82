"""Idempotency keys as Stripe v1 treats them: the first result of a POST is the result of all its repeats."""

import datetime as dt
import hashlib
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from sync.sandbox.exchange import Answer, Capture, Exchange
from sync.sandbox.stripe.errors import StripeError
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.operations import Account

KIND = "stripe.idempotency"
KEPT_FOR = dt.timedelta(hours=24)
LONGEST_KEY = 255


class IdempotencyLayer:
    """Replays the stored result of a key, refuses a key in use, and stores each first result.

    Stored is what came of a request once its execution began, server errors included. Nothing is stored of
    a request that was refused for its parameters, its rate, or a conflict with a concurrent one.
    """

    def __init__(self, app: ASGIApp, account: Account) -> None:
        self._app = app
        self._account = account
        self._in_use: set[str] = set()
        self._load()

    def _load(self) -> None:
        store = self._account.world.store
        self._generation = store.generation
        records = store.all(KIND)
        self._ages = deque((dt.datetime.fromisoformat(record["at"]), record["key"]) for record in records)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The call is answered, by the app or from what is stored."""
        exchange = Exchange.of(scope)
        key = exchange.headers.get("idempotency-key")
        if exchange.method != "POST" or not key:
            await self._app(scope, receive, send)
            return
        try:
            stored = self._stored(key, exchange)
        except StripeError as error:
            await error.answer().send(send)
            return
        if stored is not None:
            await _replayed(stored, key).send(send)
            return
        await self._first(key, scope, receive, send)

    async def _first(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        capture = Capture()
        self._in_use.add(key)
        try:
            await self._app(scope, receive, capture)
        finally:
            self._in_use.discard(key)
        answer = capture.answer
        if answer is None:
            return
        if _is_result(answer.status, exchange):
            self._keep(key, exchange, answer)
        await answer.with_headers(idempotency_key=key).send(send)

    def _stored(self, key: str, exchange: Exchange) -> Answer | None:
        """The stored answer for the key, or None. Raises the StripeError for a key that cannot be used."""
        self._forget_old()
        if len(key) > LONGEST_KEY:
            message = f"The idempotency key is longer than {LONGEST_KEY} characters."
            raise StripeError(message, type="idempotency_error")
        if key in self._in_use:
            message = (
                "There is currently another in-progress request using this Idempotent Key (that probably "
                f"means you submitted twice, and the other request is still going through): {key}."
            )
            raise StripeError(message, status=409, code="idempotency_key_in_use")
        record = self._account.world.store.get(KIND, key)
        if record is None:
            return None
        if record["fingerprint"] != _fingerprint(exchange):
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used "
                f"with. Try using a key other than '{key}' if you meant to execute a different request."
            )
            raise StripeError(message, type="idempotency_error")
        return Answer(record["status"], record["body"].encode(), record["headers"])

    def _keep(self, key: str, exchange: Exchange, answer: Answer) -> None:
        now = self._account.now()
        record = {
            "key": key,
            "at": now.isoformat(),
            "fingerprint": _fingerprint(exchange),
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body.decode(),
        }
        self._account.world.store.put(KIND, key, record)
        self._ages.append((now, key))

    def _forget_old(self) -> None:
        store = self._account.world.store
        if self._generation != store.generation:
            self._load()
        now = self._account.now()
        while self._ages and now - self._ages[0][0] >= KEPT_FOR:
            store.delete(KIND, self._ages.popleft()[1])


def _replayed(stored: Answer, key: str) -> Answer:
    return stored.with_headers(
        idempotent_replayed="true",
        idempotency_key=key,
        original_request=stored.headers.get("request-id", ""),
        request_id=new_id("req_"),
    )


def _is_result(status: int, exchange: Exchange) -> bool:
    if status in (409, 429):
        return False
    return status < 400 or status >= 500 or exchange.final


def _fingerprint(exchange: Exchange) -> str:
    return hashlib.sha256(f"{exchange.path}\n".encode() + exchange.query + b"\n" + exchange.body).hexdigest()
