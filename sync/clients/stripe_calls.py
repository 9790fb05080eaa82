"""How calls to Stripe are made: reads paced and repeated, writes and events sent once."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import stripe

from sync.clients.pacing import Pacer
from sync.clients.stripe_errors import Call, Peer, translate, unusable
from sync.domain.retries import CURSOR_GONE
from sync.ports import NotFound, TemporaryFailure

Body = Mapping[str, Any]
Send = Callable[[], stripe.StripeObject]
P = TypeVar("P")

EVENT_OBJECT = "billing.meter_event"
PAGE = 100
"""Stripe's largest page."""
READ_TRIES = 4
READS_PER_SECOND = 14
"""Everything but meter events stays under 15 a second: test keys have 25 for all calls together."""


class StripeCalls:
    """Makes the SDK's calls and turns what they answer into plain data, or into a `SyncError`."""

    def __init__(self, *, peer: Peer, retry_pause_seconds: float) -> None:
        """Start with an empty pace."""
        self._peer = peer
        self._pacer = Pacer(calls_per_second=READS_PER_SECOND)
        self._retry_pause_seconds = retry_pause_seconds

    def event(self, send: Send, *, identifier: str) -> str:
        """Send a meter event once, unpaced, and return Stripe's request id.

        Delivery owns retries and the rate limit of events. An answer that is no such
        event did not come from Stripe: whether the event arrived is unknown.
        """
        answer, request_id = self._answer(send, call=Call.EVENT)
        named = answer.get("identifier") or (identifier if answer.get("object") == EVENT_OBJECT else "")
        if named != identifier:
            raise unusable(Call.EVENT, peer=self._peer)
        return request_id

    def write(self, send: Send, parse: Callable[[Body], P]) -> P:
        """Send once; the caller's idempotency key makes it safe to ask for the same again."""
        self._pacer.wait()
        return self._parsed(send, parse, call=Call.WRITE)

    def read(self, ask: Send, parse: Callable[[Body], P]) -> P:
        """Ask up to `READ_TRIES` times; a question has no effect, so repeating it is always safe."""
        for attempt in range(1, READ_TRIES):
            self._pacer.wait()
            try:
                return self._parsed(ask, parse, call=Call.READ)
            except TemporaryFailure:
                pause = self._retry_pause_seconds * 2 ** (attempt - 1)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
        self._pacer.wait()
        return self._parsed(ask, parse, call=Call.READ)

    def read_once(self, ask: Send, parse: Callable[[Body], P]) -> P:
        """Ask once: somebody waits for the answer, and may ask again."""
        self._pacer.wait()
        return self._parsed(ask, parse, call=Call.READ)

    def read_living(self, ask: Send, parse: Callable[[Body], P]) -> P:
        """Ask for one object; `NotFound` also for one that Stripe still shows as deleted."""
        body = self.read(ask, dict)
        if body.get("deleted"):
            message = f"Stripe says that {body.get('id')} was deleted."
            raise NotFound(message)
        return self.read_answer(body, parse)

    def pages(
        self,
        fetch: Callable[[Any], stripe.ListObject[Any]],
        parse: Callable[[Body], P],
        asked: Mapping[str, Any] | None = None,
    ) -> Iterator[list[P]]:
        """Yield every page of a list; nothing is asked before the first one is wanted."""
        cursor: dict[str, Any] = {"limit": PAGE, **(asked or {})}
        while True:
            try:
                page = self.read(lambda: fetch(dict(cursor)), dict)
            except NotFound as gone:
                if "starting_after" not in cursor:
                    raise
                # The row that the cursor names was deleted meanwhile: this says nothing of the others.
                message = "A list changed while it was read from Stripe; run this again."
                raise TemporaryFailure(message, maybe_arrived=False, code=CURSOR_GONE) from gone
            rows: Sequence[Body] = page.get("data") or []
            yield [self.read_answer(row, parse) for row in rows]
            if not page.get("has_more") or not rows:
                return
            cursor["starting_after"] = rows[-1]["id"]

    def read_answer(self, body: Body, parse: Callable[[Body], P]) -> P:
        """Return what a part of an answer to a question says."""
        return self._guarded(body, parse, call=Call.READ)

    def _parsed(self, send: Send, parse: Callable[[Body], P], *, call: Call) -> P:
        answer, _ = self._answer(send, call=call)
        return self._guarded(answer, parse, call=call)

    def _guarded(self, body: Body, parse: Callable[[Body], P], *, call: Call) -> P:
        try:
            return parse(body)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise unusable(call, peer=self._peer) from error

    def _answer(self, send: Send, *, call: Call) -> tuple[dict[str, Any], str]:
        try:
            answer = send()
            # Since SDK 15 a StripeObject is no dict. Decimals become strings, exactly.
            response = answer.last_response
            return answer.to_dict(for_json=True), (response.request_id if response else None) or ""
        except stripe.StripeError as error:
            raise translate(error, call=call, peer=self._peer) from error
        except (AttributeError, TypeError, ValueError) as error:
            # The SDK could not make an object of a 2xx answer: JSON, but not Stripe's.
            raise unusable(call, peer=self._peer) from error
