"""The console's tables."""

from sync.models.catalog import Meter, Price
from sync.models.customers import Customer, StripeAccount, Subject
from sync.models.findings import Finding
from sync.models.ledger import CallBudget, DeliveryAttempt, Enrolment, UsageReport
from sync.models.runs import ReportRun
from sync.models.subscriptions import BillingPeriod, Subscription, SubscriptionItem, SubscriptionPause

__all__ = [
    "BillingPeriod",
    "CallBudget",
    "Customer",
    "DeliveryAttempt",
    "Enrolment",
    "Finding",
    "Meter",
    "Price",
    "ReportRun",
    "StripeAccount",
    "Subject",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionPause",
    "UsageReport",
]
