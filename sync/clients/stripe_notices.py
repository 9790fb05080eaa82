"""What Stripe sends by itself: signatures are verified, and only what is needed is read."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import stripe

from sync.clients.stripe_calls import PAGE, Body, StripeCalls
from sync.clients.stripe_errors import clean
from sync.domain.notices import REFUSALS, ErrorCount, ErrorReport, Notification, Refused
from sync.ports import InvalidInput

TOLERANCE_SECONDS = 300
"""Stripe's own: a signature that is older, or dated further ahead, is refused. It signs each attempt anew."""
NOT_SIGNED = (
    "This is not signed by Stripe with the secret of this address, or it is too old; nothing was kept."
)
NOT_AN_EVENT = "This is signed, but it is no event of the kind that this address takes; nothing was kept."


def read_snapshot(body: bytes, *, signature: str, secret: str) -> Notification:
    """Return which object an event is about. Raises `InvalidInput` for what Stripe did not send so."""
    _verify(body, signature, secret)
    try:
        event = stripe.Webhook.construct_event(body, signature, secret, TOLERANCE_SECONDS).to_dict()
        changed = event["data"]["object"]
        return Notification(
            id=_name(event["id"]),
            type=_name(event["type"]),
            created_at=datetime.fromtimestamp(int(event["created"]), UTC),
            livemode=bool(event["livemode"]),
            account=str(event.get("account") or ""),
            # An upcoming invoice has no id.
            object_id=str(changed.get("id") or ""),
            object_kind=str(changed.get("object") or ""),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(NOT_AN_EVENT) from error


def read_thin(body: bytes, *, signature: str, secret: str) -> Notification:
    """Return what a thin event is about. Raises `InvalidInput` for what Stripe did not send so."""
    _verify(body, signature, secret)
    try:
        # The client asks nothing here, and needs no key for that.
        parser = stripe.StripeClient("unused", http_client=stripe.RequestsClient())
        event = parser.parse_event_notification(body, signature, secret, TOLERANCE_SECONDS)
        related = getattr(event, "related_object", None)
        return Notification(
            id=_name(event.id),
            type=_name(event.type),
            created_at=_instant(event.created),
            livemode=bool(event.livemode),
            account=str(getattr(event, "context", None) or ""),
            object_id=str(getattr(related, "id", "") or ""),
            object_kind=str(getattr(related, "type", "") or ""),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(NOT_AN_EVENT) from error


def _verify(body: bytes, signature: str, secret: str) -> None:
    """Raise `InvalidInput` unless Stripe signed exactly this, about now."""
    try:
        # Beside digits and hexadecimal ones nothing belongs there, and the SDK compares no others.
        signature.encode("ascii")
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError) as error:
        raise InvalidInput(NOT_SIGNED) from error
    # The SDK takes signatures dated ahead, and who holds one could use it for as long.
    dated = next(part[2:] for part in signature.split(",") if part.startswith("t="))
    if int(dated) > time.time() + TOLERANCE_SECONDS:
        raise InvalidInput(NOT_SIGNED)


class StripeErrorReports:
    """Implements `domain.notices.ErrorReportSource` over the calls of a gateway."""

    _client: stripe.StripeClient
    _calls: StripeCalls

    def error_report(self, event_id: str) -> ErrorReport:
        """Return what Stripe keeps of the event."""
        return self._calls.read(lambda: self._client.v2.core.events.retrieve(event_id), parse_error_report)

    def refusals(self, *, since: datetime) -> Iterator[list[Notification]]:
        """Yield the thin events that tell of refused events, newest first; Stripe keeps them for 30 days."""
        asked: Any = {"types": sorted(REFUSALS), "created": {"gte": _as_text(since)}, "limit": PAGE}
        page = self._calls.read(lambda: self._client.v2.core.events.list(asked), dict)
        while True:
            yield [self._calls.read_answer(row, _told) for row in page.get("data") or []]
            address = page.get("next_page_url")
            if not address:
                return
            page = self._calls.read(lambda url=address: self._page(url), dict)  # type: ignore[misc]

    def _page(self, address: str) -> stripe.StripeObject:
        return self._client.deserialize(self._client.raw_request("get", address), api_mode="V2")


def _told(body: Body) -> Notification:
    related = _part(body, "related_object")
    return Notification(
        id=_name(body["id"]),
        type=_name(body["type"]),
        created_at=_instant(body["created"]),
        livemode=bool(body["livemode"]),
        account=str(body.get("context") or ""),
        object_id=str(related.get("id") or ""),
        object_kind=str(related.get("type") or ""),
    )


def parse_error_report(body: Body) -> ErrorReport:
    """Return the report; of an event without data, one that names nothing."""
    data, related = _part(body, "data"), _part(body, "related_object")
    reason = _part(data, "reason")
    types: list[Body] = [one for one in reason.get("error_types") or () if isinstance(one, Mapping)]
    counts = [ErrorCount(code=str(one.get("code") or ""), count=_count(one)) for one in types]
    return ErrorReport(
        type=str(body["type"]),
        meter_id=str(related.get("id") or ""),
        summary=clean(str(data.get("developer_message_summary") or "")),
        validation_start=_instant_or_none(data.get("validation_start")),
        validation_end=_instant_or_none(data.get("validation_end")),
        count=max(_count(reason), sum(one.count for one in counts)),
        counts=counts,
        samples=[sample for one in types for sample in _samples(one)],
    )


def _samples(error_type: Body) -> Iterator[Refused]:
    for sample in error_type.get("sample_errors") or ():
        request = _part(sample, "request")
        # `identifier` since 2025; before that, and in some of Stripe's examples, the other two.
        names = [request.get(name) for name in ("identifier", "idempotency_key", "id")]
        yield Refused(
            code=str(error_type.get("code") or ""),
            message=clean(str(sample.get("error_message") or "no reason given")),
            names=tuple(str(name) for name in names if name),
        )


def _count(body: Body) -> int:
    return int(body.get("error_count") or 0)


def _part(body: Body, name: str) -> Body:
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def _name(value: object) -> str:
    """Return a short text that is surely there."""
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        msg = "an event has an id and a type"
        raise ValueError(msg)
    return value


def _instant(value: object) -> datetime:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _as_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant_or_none(value: object) -> datetime | None:
    return _instant(value) if value else None
