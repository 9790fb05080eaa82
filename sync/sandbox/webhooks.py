"""Webhooks: what happened is told to addresses, signed as Stripe signs it, and as often as is scripted."""

import asyncio
import dataclasses
import hashlib
import hmac
import json
import ssl
import time
from collections import deque
from typing import Any

import httpx

from sync.sandbox import stripe
from sync.sandbox.stripe.refusals import KIND as THIN_KIND
from sync.sandbox.stripe.snapshots import KIND

STYLES = ("snapshot", "thin")
KEPT = 1000
"""How many of what was told are kept for being told again."""
TRIES = 3
"""How often an address is tried that does not answer with a 2xx; as in Stripe's own sandboxes."""
PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 10


class BadWebhook(ValueError):
    """An address or a script makes no sense; the text says why."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where events of a style go, and what they are signed with."""

    url: str
    secret: str


@dataclasses.dataclass
class Telling:
    """One event that is to be told to an address."""

    style: str
    event: str
    type: str
    body: str
    tries: int = 0

    def request(self, endpoint: Endpoint, *, age_seconds: int) -> dict[str, Any]:
        """The request as it goes out now, or as it went out some time ago (ahead, where that is negative).

        It is signed in real time, whatever the sandbox's clock says: whoever takes it looks at their own.
        """
        at = int(time.time()) - age_seconds
        signed = hmac.new(endpoint.secret.encode(), f"{at}.{self.body}".encode(), hashlib.sha256)
        return {
            "style": self.style,
            "event": self.event,
            "type": self.type,
            "url": endpoint.url,
            "body": self.body,
            "signature": f"t={at},v1={signed.hexdigest()}",
        }


@dataclasses.dataclass(frozen=True)
class Script:
    """How what waits is told."""

    times: int = 1
    """How often each is told, one right after the other."""
    newest_first: bool = False
    replay: bool = False
    """Whether what was told before is told again, too."""
    age_seconds: int = 0

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "Script":
        """The script that a JSON object describes. Raises BadWebhook."""
        defaults = dataclasses.asdict(cls())
        for name, value in raw.items():
            if name not in defaults or type(value) is not type(defaults[name]):
                message = f"a script may have {sorted(defaults)}; {name} cannot be {value!r}"
                raise BadWebhook(message)
        return cls(**raw)


class Webhooks:
    """Who is told, what waits to be told, and what was."""

    def __init__(self, account: stripe.Account) -> None:
        self._account = account
        self.clear()

    def clear(self) -> None:
        """Nobody is told anything, and nothing waits."""
        self._endpoints: dict[str, Endpoint] = {}
        self._last: dict[str, str] = {}
        self._waiting: list[Telling] = []
        self._told: deque[Telling] = deque(maxlen=KEPT)
        self._log: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.automatic = False
        self.delay_seconds = 0

    def configure(self, given: dict[str, Any]) -> None:
        """These addresses are told what happens from now on. Raises BadWebhook."""
        endpoints = {style: _endpoint(style, given[style]) for style in STYLES if given.get(style)}
        automatic, delay = given.get("automatic", False), given.get("delay_seconds", 0)
        unknown = set(given) - {*STYLES, "automatic", "delay_seconds"}
        if unknown or not isinstance(automatic, bool) or not isinstance(delay, int) or delay < 0:
            message = 'there are "snapshot", "thin" (each with url and secret), "automatic", "delay_seconds"'
            raise BadWebhook(message)
        if not self._endpoints:
            self._last = {kind: self._newest(kind) for kind in (KIND, THIN_KIND)}
        self._endpoints, self.automatic, self.delay_seconds = endpoints, automatic, delay

    def as_dict(self) -> dict[str, Any]:
        """Addresses, what waits and what was answered, without secrets."""
        self._collect(due_only=True)
        return {
            "endpoints": {style: endpoint.url for style, endpoint in self._endpoints.items()},
            "automatic": self.automatic,
            "waiting": [{"event": one.event, "type": one.type, "tries": one.tries} for one in self._waiting],
            "told": list(self._log),
        }

    def sign(self, script: Script) -> list[dict[str, Any]]:
        """What waits, as signed requests, which count as told: whoever asks sends them themselves."""
        self._collect(due_only=False)
        found = [*(self._told if script.replay else ()), *self._waiting]
        self._told.extend(self._waiting)
        self._waiting = []
        ordered = found[::-1] if script.newest_first else found
        return [
            one.request(self._endpoints[one.style], age_seconds=script.age_seconds)
            for one in ordered
            for _ in range(script.times)
            if one.style in self._endpoints
        ]

    async def run(self) -> None:
        """Tell by itself, where that is asked for, until this is cancelled."""
        # Nothing goes further than loopback; reading the certificate authorities would only take time.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=plain) as http:
            while True:
                await asyncio.sleep(PAUSE_SECONDS)
                if self.automatic:
                    await self._tell(http)

    async def _tell(self, http: httpx.AsyncClient) -> None:
        self._collect(due_only=True)
        waiting, self._waiting = self._waiting, []
        if waiting and self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        for one in waiting:
            endpoint = self._endpoints.get(one.style)
            if endpoint is None:
                continue
            status = await _post(http, one.request(endpoint, age_seconds=0))
            self._log.append({"event": one.event, "type": one.type, "status": status})
            one.tries += 1
            if status // 100 == 2 or one.tries >= TRIES:
                self._told.append(one)
            else:
                self._waiting.append(one)

    def _collect(self, *, due_only: bool) -> None:
        """What happened since the last look waits to be told, oldest first."""
        if "snapshot" in self._endpoints:
            stripe.advance(self._account)
            for event in self._since_last(KIND):
                shown = stripe.shown_event(event)
                self._waiting.append(Telling("snapshot", event["id"], event["type"], json.dumps(shown)))
        if "thin" in self._endpoints:
            self._account.refusals.report(now=self._account.now(), due_only=due_only)
            for event in self._since_last(THIN_KIND):
                body = json.dumps(stripe.notification(event))
                self._waiting.append(Telling("thin", event["id"], event["type"], body))

    def _since_last(self, kind: str) -> list[dict[str, Any]]:
        new: list[dict[str, Any]] = []
        for event in reversed(self._account.world.store.all(kind)):
            if event["id"] == self._last.get(kind):
                break
            new.append(event)
        self._last[kind] = self._newest(kind)
        return new[::-1]

    def _newest(self, kind: str) -> str:
        events = self._account.world.store.all(kind)
        return str(events[-1]["id"]) if events else ""


def _endpoint(style: str, given: Any) -> Endpoint:
    texts = (given.get("url"), given.get("secret")) if isinstance(given, dict) else (None, None)
    if not all(isinstance(text, str) and text for text in texts) or not str(texts[0]).startswith("http"):
        message = f'"{style}" needs a url and a secret'
        raise BadWebhook(message)
    return Endpoint(*map(str, texts))


async def _post(http: httpx.AsyncClient, request: dict[str, Any]) -> int:
    """Return the status of the answer; 0 where there was none."""
    headers = {"stripe-signature": request["signature"], "content-type": "application/json"}
    try:
        answer = await http.post(request["url"], content=request["body"], headers=headers)
    except httpx.HTTPError:
        return 0
    return answer.status_code
