"""POST /v1/billing/meter_events"""

import asyncio
import dataclasses
import datetime as dt
import re
import uuid
from decimal import Decimal

from sync.sandbox.stripe import lifecycle
from sync.sandbox.stripe.errors import (
    NO_RETRY,
    StripeError,
    invalid,
    missing,
    no_such,
    too_many_concurrent_requests,
)
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Call, Operation
from sync.sandbox.stripe.shapes import DECIMAL, StringMap, Text, Whole, shape

OLDEST = dt.timedelta(days=35)
FURTHEST_AHEAD = dt.timedelta(minutes=5)
MOST_DIGITS = 15

CREATE = shape(
    event_name=Text(100),
    payload=StringMap(),
    identifier=Text(100),
    timestamp=Whole(),
).needing("event_name payload")


@dataclasses.dataclass(frozen=True)
class Draft:
    """A meter event that names a meter and a customer, before it has been looked at closely."""

    meter: Body
    customer: str
    payload: dict[str, str]
    identifier: str
    timestamp: int | None


async def create(call: Call) -> Body:
    """The event is accepted and counted, or refused.

    Stripe refuses some of these only later, in a report; where that is not established the look-alike
    refuses at once, so that no wrong event goes unnoticed here. `refusals` scripts what is refused later.
    """
    account = call.account
    account.limiter.check(account.world.settings.stripe_rate_limit)
    draft = _draft(call)
    lock = (draft.meter["id"], draft.customer)
    exclusive = account.world.settings.one_call_per_customer_and_meter
    if exclusive and lock in account.in_flight:
        raise too_many_concurrent_requests()
    account.in_flight.add(lock)
    try:
        await _spend_time(call)
        return _accept(call, draft)
    finally:
        account.in_flight.discard(lock)


def _draft(call: Call) -> Draft:
    params = call.params
    meter = _active_meter(call, params["event_name"])
    payload = params["payload"]
    key = meter["customer_mapping"]["event_payload_key"]
    customer_id = payload.get(key)
    if not customer_id:
        message = f"Missing required payload key: {key}."
        raise invalid(message, f"payload[{key}]", code="meter_event_no_customer_defined")
    customer = call.objects.find("customer", customer_id)
    if customer is None or customer.get("deleted"):
        raise no_such(customer_id, "customer", param=f"payload[{key}]", status=400)
    return Draft(
        meter=meter,
        customer=customer_id,
        payload=payload,
        identifier=params.get("identifier") or str(uuid.uuid4()),
        timestamp=params.get("timestamp"),
    )


def _active_meter(call: Call, event_name: str) -> Body:
    meter = call.objects.active_meter(event_name)
    if meter is None:
        message = f"No active meter found corresponding to event name {event_name}."
        raise invalid(message, "event_name", code="resource_missing")
    return meter


async def _spend_time(call: Call) -> None:
    latency_ms = call.account.world.settings.meter_event_latency_ms + call.exchange.delay_ms
    if latency_ms:
        await asyncio.sleep(latency_ms / 1000)


def _accept(call: Call, draft: Draft) -> Body:
    account = call.account
    lifecycle.advance(account)
    now = account.now()
    meter = account.objects.active_meter(draft.meter["event_name"])
    if meter is None or meter["id"] != draft.meter["id"]:
        message = f"No active meter found corresponding to event name {draft.meter['event_name']}."
        raise invalid(message, "event_name", code="resource_missing")
    value = _value(draft)
    timestamp = _timestamp(draft, now)
    if account.ledger.is_taken(draft.identifier, now=now):
        # Seen in the wild: a plain 400 without a code, marked as not to be retried.
        message = f"An event already exists with identifier {draft.identifier}."
        raise StripeError(message, headers=NO_RETRY)
    refusal = account.refusals.take(call.exchange.body)
    if refusal:
        key = call.exchange.headers.get("idempotency-key")
        account.refusals.add(refusal, at=now, meter=meter["id"], identifier=draft.identifier, key=key)
    account.ledger.record(
        received_at=now,
        identifier=draft.identifier,
        event_name=meter["event_name"],
        meter=meter["id"],
        customer=draft.customer,
        value=value,
        timestamp=timestamp,
        **({"refused": refusal.code} if refusal else {}),
    )
    return {
        "object": "billing.meter_event",
        "created": int(now.timestamp()),
        "event_name": meter["event_name"],
        "identifier": draft.identifier,
        "livemode": False,
        "payload": draft.payload,
        "timestamp": timestamp,
    }


def _value(draft: Draft) -> Decimal:
    key = draft.meter["value_settings"]["event_payload_key"]
    param = f"payload[{key}]"
    if draft.meter["default_aggregation"]["formula"] == "count":
        return Decimal(1)  # a counting meter does not look at the value
    text = draft.payload.get(key)
    if text is None:
        raise missing(param)
    if not DECIMAL.fullmatch(text):
        message = f"Invalid value: {text}. The value must be a plain decimal number."
        raise invalid(message, param, code="meter_event_invalid_value")
    if len(re.sub(r"[-.]", "", text).lstrip("0")) > MOST_DIGITS:
        message = f"Invalid value: {text}. The value must have at most {MOST_DIGITS} digits."
        raise invalid(message, param, code="meter_event_value_too_many_digits")
    return Decimal(text)


def _timestamp(draft: Draft, now: dt.datetime) -> int:
    if draft.timestamp is None:
        return int(now.timestamp())
    if draft.timestamp < int((now - OLDEST).timestamp()):
        message = "The timestamp must be within the past 35 calendar days."
        raise invalid(message, "timestamp", code="timestamp_too_far_in_past")
    if draft.timestamp > int((now + FURTHEST_AHEAD).timestamp()):
        message = "The timestamp must be at most 5 minutes in the future."
        raise invalid(message, "timestamp", code="timestamp_in_future")
    return draft.timestamp


OPERATIONS = [Operation("POST", "/v1/billing/meter_events", create, CREATE)]
