"""Stripe's JSON as the console's plain data. Absent keys are empty; ids stand where objects could."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sync.domain.changes import StripeEvent
from sync.domain.invoices import DRAFT, StripeInvoice, StripeInvoiceLine
from sync.domain.timeline import Span
from sync.ports import StripeCustomer, StripeItem, StripeMeter, StripePrice, StripeSubscription

Body = Mapping[str, Any]


def parse_meter(body: Body) -> StripeMeter:
    """Return a billing meter; payload keys default to Stripe's own defaults."""
    return StripeMeter(
        id=body["id"],
        event_name=_text(body, "event_name"),
        display_name=_text(body, "display_name"),
        formula=_text(_part(body, "default_aggregation"), "formula"),
        event_time_window=_text(body, "event_time_window"),
        customer_key=_text(_part(body, "customer_mapping"), "event_payload_key") or "stripe_customer_id",
        value_key=_text(_part(body, "value_settings"), "event_payload_key") or "value",
        active=body.get("status", "active") == "active",
    )


def parse_price(body: Body) -> StripePrice:
    """Return a price. Amounts stay exact: `Decimal` here, strings inside tiers."""
    recurring = _part(body, "recurring")
    return StripePrice(
        id=body["id"],
        active=bool(body.get("active", True)),
        lookup_key=_text(body, "lookup_key"),
        product_id=_id(body.get("product")),
        product_name=_text(_part(body, "product"), "name"),
        meter=_id(recurring.get("meter")),
        usage_type=_text(recurring, "usage_type"),
        currency=_text(body, "currency"),
        unit_amount_decimal=_unit_amount(body),
        billing_scheme=_text(body, "billing_scheme"),
        tiers_mode=_text(body, "tiers_mode"),
        tiers=[_tier(tier) for tier in body.get("tiers") or []],
        transform_quantity=dict(_part(body, "transform_quantity")),
        interval=_text(recurring, "interval"),
        interval_count=int(recurring.get("interval_count") or 1),
    )


def parse_customer(body: Body) -> StripeCustomer:
    """Return a customer."""
    return StripeCustomer(
        id=body["id"],
        name=_text(body, "name"),
        email=_text(body, "email"),
        external_key=_text(_part(body, "metadata"), "external_key").strip(),
    )


def parse_event(body: Body) -> StripeEvent:
    """Return an event; of the object it is about only which one it is: what it shows may be outdated."""
    changed = _part(_part(body, "data"), "object")
    return StripeEvent(
        id=body["id"],
        type=_text(body, "type"),
        created_at=_instant(body["created"]) or datetime.fromtimestamp(0, UTC),
        object_id=_text(changed, "id"),
        object_kind=_text(changed, "object"),
    )


def parse_subscription(body: Body, *, items: Sequence[Body]) -> StripeSubscription:
    """Return a subscription with the items given, which need not be the embedded ones."""
    created_at = _instant(body.get("created")) or datetime.fromtimestamp(0, UTC)
    return StripeSubscription(
        id=body["id"],
        customer_id=_id(body.get("customer")),
        status=_text(body, "status"),
        # Before 2025-06-30.basil there was no such field, and every subscription was classic.
        billing_mode=_text(_part(body, "billing_mode"), "type") or "classic",
        created_at=created_at,
        start_date=_instant(body.get("start_date")) or created_at,
        trial_start=_instant(body.get("trial_start")),
        trial_end=_instant(body.get("trial_end")),
        cancel_at=_instant(body.get("cancel_at")),
        ended_at=_instant(body.get("ended_at")),
        items=[_item(item, subscription=body, fallback=created_at) for item in items],
    )


def _item(body: Body, *, subscription: Body, fallback: datetime) -> StripeItem:
    # Periods live on the item since 2025-03-31.basil; an older peer has them on the subscription.
    # With neither, start and end are the same instant, which is no period.
    start = _instant(_first(body, subscription, "current_period_start")) or fallback
    return StripeItem(
        id=body["id"],
        price_id=_id(body.get("price")),
        om_meter=_text(_part(body, "metadata"), "om_meter_id").strip(),
        created_at=_instant(body.get("created")) or fallback,
        period_start=start,
        period_end=_instant(_first(body, subscription, "current_period_end")) or start,
    )


def parse_invoice(body: Body, *, lines: Sequence[Body]) -> StripeInvoice:
    """Return an invoice with what the lines given say of subscription items; prorations are left out.

    Usage is never prorated, and what a line bills for one is another item's.
    """
    created_at = _instant(body.get("created")) or datetime.fromtimestamp(0, UTC)
    status = _text(body, "status")
    # Of a status that only finalizing leads to, the latest that it can have been is when it took effect.
    finalized_at = _instant(_part(body, "status_transitions").get("finalized_at"))
    if not finalized_at and status not in ("", DRAFT):
        finalized_at = _instant(body.get("effective_at")) or created_at
    details = _part(_part(body, "parent"), "subscription_details")
    auto_advance = body.get("auto_advance")
    return StripeInvoice(
        id=body["id"],
        customer_id=_id(body.get("customer")),
        # Before 2025-03-31.basil the invoice itself named its subscription.
        subscription_id=_id(details.get("subscription") or body.get("subscription")),
        status=status,
        auto_advance=None if auto_advance is None else bool(auto_advance),
        created_at=created_at,
        automatically_finalizes_at=_instant(body.get("automatically_finalizes_at")),
        finalized_at=finalized_at,
        lines=[line for raw in lines if (line := _invoice_line(raw))],
    )


def _invoice_line(body: Body) -> StripeInvoiceLine | None:
    details = _part(_part(body, "parent"), "subscription_item_details")
    # Before 2025-03-31.basil the line itself named its item.
    item_id = _id(details.get("subscription_item") or body.get("subscription_item"))
    start, end = (_instant(_part(body, "period").get(name)) for name in ("start", "end"))
    if not item_id or not start or not end or start >= end or details.get("proration"):
        return None
    return StripeInvoiceLine(id=body["id"], item_id=item_id, span=Span(start, end), quantity=_quantity(body))


def _quantity(body: Body) -> Decimal | None:
    """Return the exact quantity: Stripe cuts decimals off the whole-numbered one."""
    raw = body.get("quantity_decimal")
    if raw is None:
        raw = body.get("quantity")
    try:
        return None if raw is None else Decimal(str(raw))
    except InvalidOperation as error:
        msg = f"{raw} is no quantity"
        raise ValueError(msg) from error


def _first(item: Body, subscription: Body, name: str) -> object:
    return item.get(name) or subscription.get(name)


def _tier(tier: Body) -> dict[str, Any]:
    """Return a tier with plain digits: the SDK's own strings may have an exponent."""
    return {
        name: format(Decimal(value), "f") if name.endswith("_decimal") and value is not None else value
        for name, value in tier.items()
    }


def _unit_amount(body: Body) -> Decimal | None:
    raw = body.get("unit_amount_decimal")
    if raw is None:
        raw = body.get("unit_amount")
    try:
        return None if raw is None else Decimal(str(raw))
    except InvalidOperation:
        return None


def _instant(raw: object) -> datetime | None:
    return datetime.fromtimestamp(int(raw), UTC) if isinstance(raw, int | float) else None


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    return "" if value is None else str(value)


def _part(body: Body, name: str) -> Body:
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def _id(value: object) -> str:
    """Return the id of an object that may or may not be expanded."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return "" if value is None else str(value)
