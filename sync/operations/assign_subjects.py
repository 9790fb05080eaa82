"""Decide under which keys OpenMeter files a customer's usage, and who is reported on which meter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Exists, F, OuterRef, QuerySet, When

from sync.domain.timeline import HOUR, floor_to
from sync.models import Customer, Enrolment, Finding, Subject, SubscriptionItem
from sync.operations.record_findings import FoundIssue

BATCH = 500
NEVER_BILLED = ("incomplete", "incomplete_expired")
"""A subscription whose first payment never came."""


def assign_subjects(*, now: datetime) -> list[FoundIssue]:
    """Every customer has a subject for its external key, else for its Stripe id; return contested keys.

    The first subject of a customer holds since ever, a later one from the next whole UTC hour on, and
    the old ones stay. A key that another customer holds stays there. What staff ended stays ended. Safe
    to repeat.
    """
    contested: list[FoundIssue] = []
    below: int | None = None
    while True:
        # Stripe lists newest first, so among those mirrored together the highest pk is the oldest.
        batch = list((_lacking() if below is None else _lacking().filter(pk__lt=below))[:BATCH])
        if not batch:
            return contested
        below = batch[-1].pk
        contested += _assign(batch, now=now)


def enrol_customers() -> int:
    """Every customer with an item that a meter bills is enrolled on that meter; return how many are new."""
    enrolled = Enrolment.objects.filter(customer=OuterRef("subscription__customer"), meter=OuterRef("meter"))
    # A legacy metered price is billed by no meter, even where the item names one.
    lacking = (
        SubscriptionItem.objects.filter(deleted_at=None, subscription__deleted_at=None, meter__isnull=False)
        .filter(meter=F("price__meter"))
        .exclude(subscription__status__in=NEVER_BILLED)
        .filter(~Exists(enrolled))
        .order_by()
        .values_list("subscription__customer_id", "meter_id")
        .distinct()
    )
    before = Enrolment.objects.count()
    while pairs := list(lacking[:BATCH]):
        rows = [Enrolment(customer_id=customer_id, meter_id=meter_id) for customer_id, meter_id in pairs]
        Enrolment.objects.bulk_create(rows, ignore_conflicts=True)
    return Enrolment.objects.count() - before


def _lacking() -> QuerySet[Customer]:
    """Return customers without a subject for the key they ask for, oldest of a sync first."""
    mine = Subject.objects.filter(customer=OuterRef("pk"))
    return (
        Customer.objects.filter(deleted_at=None)
        .annotate(wanted=Case(When(external_key="", then=F("stripe_id")), default=F("external_key")))
        .filter(~Exists(mine.filter(key=OuterRef("wanted"))))
        # Without an external key the Stripe id is the default for those who have nothing else.
        .exclude(Exists(mine), external_key="")
        .order_by("-pk")
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """A key that a customer asks for."""

    customer: Customer
    key: str


def _assign(batch: Sequence[Customer], *, now: datetime) -> list[FoundIssue]:
    claims = [_Claim(customer, customer.external_key or customer.stripe_id) for customer in batch]
    rows = Subject.objects.filter(key__in={claim.key for claim in claims}).select_related("customer")
    held: dict[str, Customer] = {}
    used: set[str] = set()
    for row in rows:
        used.add(row.key)
        if row.valid_to is None or row.valid_to > now:
            held[row.key] = row.customer
    has_any = set(Subject.objects.filter(customer__in=batch).values_list("customer_id", flat=True))
    later = floor_to(now, HOUR) + HOUR
    new: list[Subject] = []
    contested: list[FoundIssue] = []
    for claim in claims:
        holder = held.setdefault(claim.key, claim.customer)
        if holder.pk != claim.customer.pk:
            contested.append(_contested(claim, holder))
            continue
        since_ever = claim.customer.pk not in has_any and claim.key not in used
        valid_from = None if since_ever else later
        new.append(Subject(key=claim.key, customer=claim.customer, valid_from=valid_from))
    Subject.objects.bulk_create(new, ignore_conflicts=True)
    return contested


def _contested(claim: _Claim, holder: Customer) -> FoundIssue:
    return FoundIssue(
        kind=Finding.Kind.SUBJECT_CLAIMED_TWICE,
        fingerprint=f"{claim.customer.stripe_id}:{claim.key}"[:255],
        message=(
            f"Customers {claim.customer} and {holder} both have the external key {claim.key}; its usage "
            f"stays with {holder.stripe_id}. Correct metadata.external_key of one of them in Stripe."
        ),
        customer_id=claim.customer.pk,
    )
