"""Find what keeps usage of living subscriptions from being billed right."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef, QuerySet

from sync.models import Customer, Finding, Meter, Price, Subject, SubscriptionItem
from sync.operations.link_meters import MeterProblem
from sync.operations.record_findings import FoundIssue
from sync.operations.register_meter import ADDITIVE

Kind = Finding.Kind
OVER = ("canceled", "incomplete", "incomplete_expired")
"""Subscriptions that will not be billed for anything new."""
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFacts:
    """What a sync learned about meters beside the tables. `linked` is None where OpenMeter was silent."""

    redefined: Mapping[str, str]
    linked: Mapping[int, MeterProblem] | None


def find_item_obstacles() -> Iterator[FoundIssue]:
    """Yield metered items without a meter, items billed twice, and legacy prices in use."""
    lost = living_items().filter(price__usage_type="metered", meter=None)
    for item in lost.select_related("subscription", "price").iterator(CHUNK):
        yield FoundIssue(
            kind=Kind.ITEM_WITHOUT_METER,
            fingerprint=item.stripe_id,
            message=(
                f"Metered item {item.stripe_id} of subscription {item.subscription.stripe_id} has no meter, "
                "so its usage is not reported; move it to a price with a billing meter."
            ),
            customer_id=item.subscription.customer_id,
            item_id=item.pk,
        )
    legacy = Price.objects.filter(usage_type="metered", meter=None)
    for price in legacy.filter(Exists(living_items().filter(price=OuterRef("pk")))).iterator(CHUNK):
        yield FoundIssue(
            kind=Kind.LEGACY_PRICE,
            fingerprint=price.stripe_id,
            message=(
                f"Price {price} uses Stripe's usage records, which were removed in API 2025-03-31; move "
                "its subscriptions to a price with a billing meter."
            ),
        )
    yield from _billed_twice()


def find_meter_obstacles(facts: MeterFacts) -> Iterator[FoundIssue]:
    """Yield meters of living items that cannot be reported, with what to do."""
    used = Meter.objects.filter(Exists(living_items().filter(meter=OuterRef("pk"))))
    for meter in used:
        for problem in _meter_problems(meter, facts):
            yield FoundIssue(
                kind=problem.kind, fingerprint=meter.stripe_id, message=problem.sentence, meter_id=meter.pk
            )


def find_silent_customers() -> Iterator[FoundIssue]:
    """Yield customers with a metered item none of whose subjects ever appeared in OpenMeter."""
    metered = living_items().filter(subscription__customer=OuterRef("pk"), meter__isnull=False)
    seen = Subject.objects.filter(customer=OuterRef("pk"), seen_at__isnull=False)
    silent = Customer.objects.filter(Exists(metered)).filter(~Exists(seen)).prefetch_related("subjects")
    for customer in silent.iterator(CHUNK):
        keys = ", ".join(subject.key for subject in customer.subjects.all()) or "no subject"
        yield FoundIssue(
            kind=Kind.SUBJECT_NEVER_SEEN,
            fingerprint=customer.stripe_id,
            message=(
                f"OpenMeter has never seen usage of {customer} (looked for: {keys}); check that events "
                "carry one of these subjects, or set the customer's metadata.external_key in Stripe."
            ),
            customer_id=customer.pk,
        )


def living_items() -> QuerySet[SubscriptionItem]:
    """Return items on subscriptions that go on."""
    return SubscriptionItem.objects.filter(deleted_at=None, subscription__deleted_at=None).exclude(
        subscription__status__in=OVER
    )


def _billed_twice() -> Iterator[FoundIssue]:
    """Meter events name a customer, not a subscription: every item on the meter bills all of them."""
    doubled = (
        living_items()
        .filter(meter__isnull=False, meter=F("price__meter"))
        .order_by()
        .values(
            "meter_id",
            "meter__stripe_id",
            "meter__event_name",
            "subscription__customer_id",
            "subscription__customer__stripe_id",
        )
        .annotate(items=Count("pk"))
        .filter(items__gt=1)
    )
    for row in doubled.iterator(CHUNK):
        customer = row["subscription__customer__stripe_id"]
        yield FoundIssue(
            kind=Kind.BILLED_TWICE,
            fingerprint=f"{customer}:{row['meter__stripe_id']}",
            message=(
                f"Customer {customer} has {row['items']} living items on meter {row['meter__event_name']}, "
                "and Stripe bills the same usage on each of them; keep one."
            ),
            customer_id=row["subscription__customer_id"],
            meter_id=row["meter_id"],
        )


def _meter_problems(meter: Meter, facts: MeterFacts) -> Iterator[MeterProblem]:
    """Yield at most one problem of each kind: the first that stands in the way."""
    sentence = _unsupported(meter, facts)
    if sentence:
        yield MeterProblem(Kind.METER_UNSUPPORTED, sentence)
    problem = (facts.linked or {}).get(meter.pk)
    if problem and not (sentence and problem.kind is Kind.METER_UNSUPPORTED):
        yield problem


def _unsupported(meter: Meter, facts: MeterFacts) -> str:
    name = f"Meter {meter.event_name or meter.stripe_id}"
    replace = "make a new meter with manage.py set_up_stripe --meter-only and move the prices to it"
    if meter.deleted_at:
        return f"{name} is gone from Stripe, but living items use it; {replace}."
    if meter.stripe_id in facts.redefined:
        changed = facts.redefined[meter.stripe_id]
        return f"{name} is not what it was in Stripe ({changed}); its old definition is kept: {replace}."
    if not meter.active:
        return f"{name} is inactive in Stripe, which refuses its events; reactivate it in the dashboard."
    if meter.formula != "sum":
        return f"{name} counts by '{meter.formula}' in Stripe, and only 'sum' can be reported; {replace}."
    if meter.event_time_window not in {"", "hour"}:
        window = meter.event_time_window
        return f"{name} has the window '{window}', and only none or 'hour' can be reported; {replace}."
    if meter.aggregation and meter.aggregation not in ADDITIVE:
        return (
            f"{name} is measured by {meter.aggregation} in OpenMeter, whose windows do not add up; "
            "tie it to a SUM or COUNT meter."
        )
    return ""
