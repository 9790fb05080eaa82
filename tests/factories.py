"""One row of anything, with as much around it as it needs.

Everything happens at `NOW` unless the test says otherwise. Times that a status needs are filled in, so that
`UsageReportFactory(status="delivered")` is a row that the ledger takes.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import factory
from factory.django import DjangoModelFactory

from sync import models as m

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def letters(number: int) -> str:
    """Return a number without digits, so that nobody is found by a report's number: a, b, … z, ba, bb, …"""
    rest, last = divmod(number, 26)
    return (letters(rest) if rest else "") + chr(ord("a") + last)


class StripeAccountFactory(DjangoModelFactory):
    class Meta:
        model = m.StripeAccount
        django_get_or_create = ("singleton",)

    singleton = True
    stripe_id = "acct_northwind"
    livemode = False
    pinned_at = NOW


class CustomerFactory(DjangoModelFactory):
    class Meta:
        model = m.Customer

    stripe_id = factory.Sequence("cus_{}".format)
    name = factory.Sequence(lambda number: f"Customer {letters(number).upper()}")
    email = factory.LazyAttribute(lambda row: f"{row.external_key}@example.com")
    external_key = factory.Sequence(lambda number: f"key-{letters(number)}")
    fetched_at = NOW


class SubjectFactory(DjangoModelFactory):
    class Meta:
        model = m.Subject

    customer = factory.SubFactory(CustomerFactory)
    key = factory.LazyAttribute(lambda row: row.customer.external_key)


class MeterFactory(DjangoModelFactory):
    class Meta:
        model = m.Meter

    stripe_id = factory.Sequence("mtr_{}".format)
    event_name = factory.Sequence("event_{}".format)
    display_name = factory.LazyAttribute(lambda row: row.event_name.replace("_", " ").title())
    formula = "sum"
    openmeter_slug = factory.LazyAttribute(lambda row: row.event_name)
    openmeter_id = factory.Sequence("om_{}".format)
    aggregation = "SUM"
    fetched_at = NOW


class PriceFactory(DjangoModelFactory):
    """Two cents a thousand units, monthly."""

    class Meta:
        model = m.Price

    stripe_id = factory.Sequence("price_{}".format)
    product_id = factory.Sequence("prod_{}".format)
    product_name = "AI Tokens"
    meter = factory.SubFactory(MeterFactory)
    usage_type = "metered"
    currency = "usd"
    unit_amount_decimal = Decimal("0.002")
    billing_scheme = "per_unit"
    interval = "month"
    fetched_at = NOW


class SubscriptionFactory(DjangoModelFactory):
    class Meta:
        model = m.Subscription

    stripe_id = factory.Sequence("sub_{}".format)
    customer = factory.SubFactory(CustomerFactory)
    status = "active"
    billing_mode = "flexible"
    created_at = NOW
    start_date = factory.SelfAttribute("created_at")
    fetched_at = NOW


class SubscriptionItemFactory(DjangoModelFactory):
    """An item on the meter of its price."""

    class Meta:
        model = m.SubscriptionItem

    stripe_id = factory.Sequence("si_{}".format)
    subscription = factory.SubFactory(SubscriptionFactory)
    price = factory.SubFactory(PriceFactory)
    meter = factory.SelfAttribute("price.meter")
    created_at = factory.SelfAttribute("subscription.created_at")
    fetched_at = NOW


class SubscriptionPauseFactory(DjangoModelFactory):
    class Meta:
        model = m.SubscriptionPause

    subscription = factory.SubFactory(SubscriptionFactory)
    start = NOW


class BillingPeriodFactory(DjangoModelFactory):
    """A month that begins with the item."""

    class Meta:
        model = m.BillingPeriod

    item = factory.SubFactory(SubscriptionItemFactory)
    start = factory.SelfAttribute("item.created_at")
    end = factory.LazyAttribute(lambda row: row.start + 700 * HOUR)
    closes_at = factory.LazyAttribute(lambda row: row.end + HOUR)


class EnrolmentFactory(DjangoModelFactory):
    class Meta:
        model = m.Enrolment

    customer = factory.SubFactory(CustomerFactory)
    meter = factory.SubFactory(MeterFactory)


class ReportRunFactory(DjangoModelFactory):
    """A run that ended well; a status that has not ended has no `finished_at`."""

    class Meta:
        model = m.ReportRun

    trigger = "command"
    requested_by = "ada"
    status = "succeeded"
    counters = factory.LazyFunction(lambda: {"delivered": 2, "held": 0})
    queued_at = NOW

    @factory.lazy_attribute
    def started_at(self) -> datetime | None:
        return None if self.status == "queued" else self.queued_at

    heartbeat_at = factory.SelfAttribute("started_at")

    @factory.lazy_attribute
    def finished_at(self) -> datetime | None:
        return None if self.status in {"queued", "running"} else self.queued_at + timedelta(minutes=1)


class UsageReportFactory(DjangoModelFactory):
    """An hour's report of one unit price's worth: `units` is what was measured, billed and sent."""

    class Meta:
        model = m.UsageReport

    class Params:
        units = Decimal("1234.5")

    enrolment = factory.SubFactory(EnrolmentFactory)
    slice_start = NOW
    slice_end = factory.LazyAttribute(lambda row: row.slice_start + HOUR)
    revision = 1
    measured = factory.SelfAttribute("units")
    quantity = factory.SelfAttribute("units")
    value = factory.SelfAttribute("units")
    event_at = factory.LazyAttribute(lambda row: row.slice_end - SECOND)
    closes_at = NOW + 701 * HOUR
    identifier = factory.Sequence("report-{}".format)
    status = "pending"
    run = factory.SubFactory(ReportRunFactory)
    created_at = factory.SelfAttribute("slice_end")

    @factory.lazy_attribute
    def first_sent_at(self) -> datetime | None:
        return self.slice_end if self.status in {"sending", "unknown", "delivered"} else None

    @factory.lazy_attribute
    def delivered_at(self) -> datetime | None:
        return self.slice_end if self.status == "delivered" else None

    @factory.lazy_attribute
    def decision(self) -> str:
        return "Decided by ada: a test" if self.status in {"dismissed", "replaced", "carried"} else ""


class DeliveryAttemptFactory(DjangoModelFactory):
    class Meta:
        model = m.DeliveryAttempt

    report = factory.SubFactory(UsageReportFactory)
    run = factory.SelfAttribute("report.run")
    number = 1
    outcome = "TemporaryFailure"
    http_status = 429
    attempted_at = NOW


class FindingFactory(DjangoModelFactory):
    class Meta:
        model = m.Finding

    kind = m.Finding.Kind.REJECTED
    fingerprint = factory.Sequence("report:{}".format)
    message = "Stripe refused it."
    found_at = NOW
    seen_at = NOW


class PauseFactory(DjangoModelFactory):
    """Everything stands still, or the customer or meter that is named."""

    class Meta:
        model = m.Pause

    reason = "asked"
    paused_by = "ada"
    paused_at = NOW

    @factory.lazy_attribute
    def scope(self) -> str:
        named: Any = self
        if getattr(named, "customer", None):
            return f"customer:{named.customer.stripe_id}"
        return f"meter:{named.meter.stripe_id}" if getattr(named, "meter", None) else "everything"


class UsageDayFactory(DjangoModelFactory):
    class Meta:
        model = m.UsageDay

    meter = factory.SubFactory(MeterFactory)
    day = NOW.date()
    summed_at = NOW


class WorkerFactory(DjangoModelFactory):
    class Meta:
        model = m.Worker

    name = factory.Sequence("worker-{}".format)
    seen_at = NOW


class IncidentFactory(DjangoModelFactory):
    class Meta:
        model = m.Incident

    kind = m.Incident.Kind.WORKER_DEAD
    message = "No worker."
    began_at = NOW


class StripeNoticeFactory(DjangoModelFactory):
    class Meta:
        model = m.StripeNotice

    event_id = factory.Sequence("evt_{}".format)
    type = "customer.updated"
    object_id = "cus_1"
    object_kind = "customer"
    livemode = False
    created_at = received_at = next_attempt_at = NOW


def subscribe(
    *,
    customer: m.Customer | None = None,
    price: m.Price | None = None,
    at: datetime = NOW,
    **subscription: Any,
) -> m.Enrolment:
    """A customer is subscribed to a price for a month from `at` on, and enrolled on its meter."""
    subscription = {"customer": customer or CustomerFactory(), "created_at": at} | subscription
    item = SubscriptionItemFactory(
        subscription=SubscriptionFactory(**subscription), price=price or PriceFactory()
    )
    BillingPeriodFactory(item=item)
    enrolment, _ = m.Enrolment.objects.get_or_create(customer=item.subscription.customer, meter=item.meter)
    return enrolment


class ReconciliationFactory(DjangoModelFactory):
    class Meta:
        model = m.Reconciliation

    run = factory.SubFactory(ReportRunFactory, kind="reconcile")
    start = NOW - 35 * 24 * HOUR
    end = NOW
    is_whole = True


class ReconciledDayFactory(DjangoModelFactory):
    class Meta:
        model = m.ReconciledDay

    reconciliation = factory.SubFactory(ReconciliationFactory)
    meter = factory.SubFactory(MeterFactory)
    day = NOW.date()
    used = measured = told = held = Decimal(7)


class DifferenceFactory(DjangoModelFactory):
    class Meta:
        model = m.Difference

    reconciliation = factory.SubFactory(ReconciliationFactory)
    meter = factory.SubFactory(MeterFactory)
    customer = factory.SubFactory(CustomerFactory)
    day = NOW.date()
    cause = "missing"
    units = Decimal(3)
