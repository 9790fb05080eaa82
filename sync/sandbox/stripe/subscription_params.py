"""The parameters of /v1/subscriptions."""

from sync.sandbox.stripe.items import ITEM, ITEM_CHANGE, NO_EFFECT, PRORATION
from sync.sandbox.stripe.shapes import (
    Choice,
    Flag,
    Kind,
    ListOf,
    Range,
    StringMap,
    Text,
    Whole,
    group,
    listing,
    shape,
)

FEEDBACKS = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
CANCELLATION_DETAILS = group(comment=Text(), feedback=Choice(FEEDBACKS))
STATUSES = (
    "active",
    "all",
    "canceled",
    "ended",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)

COMMON: dict[str, Kind] = {
    "cancel_at": Whole(words=frozenset({"max_period_end", "min_period_end"}), clearable=True),
    "cancel_at_period_end": Flag(),
    "collection_method": Choice(("charge_automatically", "send_invoice")),
    "days_until_due": Whole(least=0),
    "description": Text(500),
    "metadata": StringMap(),
    "off_session": Flag(),
    "payment_behavior": NO_EFFECT["payment_behavior"],
    **PRORATION,
    "trial_end": Whole(words=frozenset({"now"})),
    "trial_settings": group(
        end_behavior=group(
            missing_payment_method=Choice(("cancel", "create_invoice", "pause")),
        ).needing("missing_payment_method"),
    ).needing("end_behavior"),
}
CREATE = shape(
    backdate_start_date=Whole(),
    billing_cycle_anchor=Whole(),
    billing_mode=group(
        flexible=group(proration_discounts=Choice(("included", "itemized"))),
        type=Choice(("classic", "flexible")),
    ).needing("type"),
    currency=Text(3),
    customer=Text(),
    items=ListOf(ITEM),
    trial_period_days=Whole(least=0),
    **COMMON,
).needing("customer items")
UPDATE = shape(
    billing_cycle_anchor=group(type=Choice(("now", "unchanged"))).needing("type"),
    cancellation_details=CANCELLATION_DETAILS,
    items=ListOf(ITEM_CHANGE),
    pause_collection=group(
        behavior=Choice(("keep_as_draft", "mark_uncollectible", "void")),
        resumes_at=Whole(),
    ).needing("behavior"),
    proration_date=NO_EFFECT["proration_date"],
    **COMMON,
)
DELETE = shape(cancellation_details=CANCELLATION_DETAILS, invoice_now=Flag(), prorate=Flag())
LIST = listing(
    collection_method=Choice(("charge_automatically", "send_invoice")),
    created=Range(),
    current_period_end=Range(),
    current_period_start=Range(),
    customer=Text(),
    price=Text(),
    status=Choice(STATUSES),
)
