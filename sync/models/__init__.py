"""The console's tables."""

from sync.models.catalog import Meter, Price
from sync.models.customers import Customer, StripeAccount, Subject
from sync.models.findings import Finding
from sync.models.invoices import Invoice, InvoiceLine
from sync.models.ledger import CallBudget, DeliveryAttempt, Enrolment, UsageReport
from sync.models.listings import Listing
from sync.models.notices import StripeNotice
from sync.models.pauses import Pause
from sync.models.reconciliations import Difference, ReconciledDay, Reconciliation
from sync.models.runs import ReportRun
from sync.models.subscriptions import (
    BillingPeriod,
    ItemPrice,
    Subscription,
    SubscriptionItem,
    SubscriptionPause,
)
from sync.models.usage_days import UsageDay
from sync.models.watch import Incident, Worker

__all__ = [
    "BillingPeriod",
    "CallBudget",
    "Customer",
    "DeliveryAttempt",
    "Difference",
    "Enrolment",
    "Finding",
    "Incident",
    "Invoice",
    "InvoiceLine",
    "ItemPrice",
    "Listing",
    "Meter",
    "Pause",
    "Price",
    "ReconciledDay",
    "Reconciliation",
    "ReportRun",
    "StripeAccount",
    "StripeNotice",
    "Subject",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionPause",
    "UsageDay",
    "UsageReport",
    "Worker",
]
