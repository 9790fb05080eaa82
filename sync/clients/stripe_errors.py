"""What Stripe's refusals and silences mean: the one place where the SDK's errors become ours."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from ssl import SSLCertVerificationError
from typing import TypedDict

import stripe
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from sync.ports import (
    DuplicateIdentifier,
    KeyTaken,
    MeterRefused,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    SyncError,
    TemporaryFailure,
)

LONGEST_MESSAGE = 500
"""Enough for every sentence Stripe is known to answer with; a proxy's HTML page is cut."""

_KEY = re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_*]+")
_PERMISSION = re.compile(r"\brak_[a-z_]+")
_DUPLICATE = "An event already exists with identifier"
_UNKNOWN_CALL = "Unrecognized request URL"
_METER_CODES = frozenset({"archived_meter", "no_meter"})
_METER_MESSAGE = re.compile(
    r"\bno active meter\b|\bno such (billing )?meter\b|\bmeter\b.*\b(inactive|archived)\b", re.IGNORECASE
)


class Call(Enum):
    """What was being done; the same answer means different things to a question and to an event."""

    READ = "read"
    WRITE = "write"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Whom we talk to and as whom, as far as an operator may see it."""

    base: str
    key_tail: str
    """The last four characters of the key."""


class _Facts(TypedDict):
    """What every error of ours keeps of the answer."""

    http_status: int | None
    code: str
    request_id: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is known of a failed call. `status` is 0 where there was no answer."""

    status: int
    is_json: bool = False
    kind: str = ""
    code: str = ""
    param: str = ""
    message: str = ""
    request_id: str = ""

    @property
    def facts(self) -> _Facts:
        return {"http_status": self.status or None, "code": self.code, "request_id": self.request_id}


def translate(error: stripe.StripeError, *, call: Call, peer: Peer) -> SyncError:
    """Return our error for the SDK's: a closed list, whatever is on none of its lines may have arrived.

    No part of a key is in its message.
    """
    if isinstance(error, stripe.APIConnectionError):
        return _no_answer(error, call=call, peer=peer)
    answer = _read_answer(error)
    return (
        _not_now(answer, call=call)
        or _not_allowed(answer, peer=peer)
        or _not_stripe(answer, call=call, peer=peer)
        or _refused(answer, call=call)
    )


def unusable(call: Call, *, peer: Peer) -> SyncError:
    """Return the error for a 2xx answer that is not what was asked for."""
    return _not_json(_Answer(status=HTTPStatus.OK), call=call, peer=peer)


def clean(message: str) -> str:
    """Return the message without anything that looks like a key, cut to a sensible length."""
    return _KEY.sub("(key)", message)[:LONGEST_MESSAGE]


def _no_answer(error: stripe.APIConnectionError, *, call: Call, peer: Peer) -> SyncError:
    causes = list(_causes(error))
    if any(isinstance(cause, SSLCertVerificationError) for cause in causes):
        return Misconfigured(f"The certificate of {peer.base} could not be verified; check STRIPE_API_BASE.")
    if any(isinstance(cause, NewConnectionError | ConnectTimeoutError) for cause in causes):
        return TemporaryFailure(
            f"Stripe cannot be reached at {peer.base}; check the network and STRIPE_API_BASE.",
            maybe_arrived=False,
        )
    silence = f"Stripe at {peer.base} did not answer in time or cut the connection"
    if call is Call.READ:
        return TemporaryFailure(f"{silence}; try again.", maybe_arrived=False)
    return OutcomeUnknown(f"{silence}; the request may have had its effect.")


def _not_now(answer: _Answer, *, call: Call) -> SyncError | None:
    if answer.kind == "idempotency_error":
        sentence = f"Stripe has another request under this Idempotency-Key: {answer.message}"
        is_another = call is Call.EVENT and answer.status == HTTPStatus.BAD_REQUEST
        return (KeyTaken if is_another else OutcomeUnknown)(sentence, **answer.facts)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.code == "rate_limit":
        sentence = "Stripe asks for fewer calls a second (429); try again a little later."
    elif answer.status == HTTPStatus.CONFLICT:
        sentence = "Stripe is busy with another request for the same object (409); try again a little later."
    elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        sentence = f"Stripe has a fault of its own (HTTP {answer.status}); try again later."
        return TemporaryFailure(sentence, maybe_arrived=call is not Call.READ, **answer.facts)
    else:
        return None
    return TemporaryFailure(sentence, maybe_arrived=False, **answer.facts)


def _not_allowed(answer: _Answer, *, peer: Peer) -> SyncError | None:
    if not answer.is_json:
        return None
    if answer.status == HTTPStatus.UNAUTHORIZED:
        sentence = f"Stripe does not accept the key that ends in {peer.key_tail}; check STRIPE_KEY."
        return Misconfigured(sentence, **answer.facts)
    if answer.status == HTTPStatus.FORBIDDEN:
        scopes = ", ".join(sorted(set(_PERMISSION.findall(answer.message))))
        missing = f"the permission {scopes}" if scopes else f"a permission ({answer.message})"
        sentence = (
            f"The Stripe key that ends in {peer.key_tail} lacks {missing}; "
            "grant it in the Stripe dashboard under Developers, API keys."
        )
        return Misconfigured(sentence, **answer.facts)
    return None


def _not_stripe(answer: _Answer, *, call: Call, peer: Peer) -> SyncError | None:
    if not answer.is_json:
        return _not_json(answer, call=call, peer=peer)
    nameless = answer.code != "resource_missing" and call is Call.READ
    if answer.status == HTTPStatus.NOT_FOUND and (nameless or answer.message.startswith(_UNKNOWN_CALL)):
        # Taken as "gone" it would mark everything as deleted, taken as a refusal it would spend every event.
        sentence = f"{peer.base} does not know this call of Stripe's API; check STRIPE_API_BASE."
        return Misconfigured(sentence, **answer.facts)
    return None


def _not_json(answer: _Answer, *, call: Call, peer: Peer) -> SyncError:
    sentence = f"{peer.base} answered with something that is not Stripe's JSON; check STRIPE_API_BASE."
    if call is Call.EVENT and answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return OutcomeUnknown(sentence, **answer.facts)
    return TemporaryFailure(sentence, maybe_arrived=call is not Call.READ, **answer.facts)


def _refused(answer: _Answer, *, call: Call) -> SyncError:
    sentence = f"Stripe refuses: {answer.message}"
    if call is Call.READ and answer.code == "resource_missing":
        return NotFound(sentence, **answer.facts)
    if call is Call.EVENT and answer.message.startswith(_DUPLICATE):
        # v1 sends no code for this, so the message is all there is to go by.
        return DuplicateIdentifier(sentence, **answer.facts)
    if call is Call.EVENT and _concerns_meter(answer):
        return MeterRefused(sentence, **answer.facts)
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Rejected(sentence, **answer.facts)
    unexpected = f"Stripe gave an answer nobody expected (HTTP {answer.status}): {answer.message}"
    return OutcomeUnknown(unexpected, **answer.facts)


def _concerns_meter(answer: _Answer) -> bool:
    if answer.code in _METER_CODES or _METER_MESSAGE.search(answer.message):
        return True
    return answer.code == "resource_missing" and answer.param == "event_name"


def _read_answer(error: stripe.StripeError) -> _Answer:
    envelope = error.json_body if isinstance(error.json_body, Mapping) else {}
    inner = envelope.get("error")
    body: Mapping[str, object] = inner if isinstance(inner, Mapping) else {}
    return _Answer(
        status=error.http_status or 0,
        is_json=isinstance(inner, Mapping),
        kind=str(body.get("type") or ""),
        code=str(body.get("code") or ""),
        param=str(body.get("param") or ""),
        message=clean(str(body.get("message") or "no reason given")),
        request_id=str(error.request_id or ""),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to an error: urllib3 keeps it in `reason`, requests in `args`."""
    waiting: list[object] = [error.__cause__]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
