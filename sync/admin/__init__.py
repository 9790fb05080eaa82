"""The console's pages in Django admin: one module per model."""

from sync.admin import (
    billing_period,
    customer,
    delivery_attempt,
    enrolment,
    finding,
    meter,
    price,
    report_run,
    stripe_account,
    subject,
    subscription,
    subscription_item,
    subscription_pause,
    usage_report,
)

__all__ = [
    "billing_period",
    "customer",
    "delivery_attempt",
    "enrolment",
    "finding",
    "meter",
    "price",
    "report_run",
    "stripe_account",
    "subject",
    "subscription",
    "subscription_item",
    "subscription_pause",
    "usage_report",
]
