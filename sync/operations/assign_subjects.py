"""Decide under which keys OpenMeter files a customer's usage, and who is reported on which meter."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Exists, F, Max, OuterRef, QuerySet, When

from sync.domain.statuses import NEVER_BILLED
from sync.domain.timeline import HOUR, ceil_to, floor_to
from sync.models import Customer, Enrolment, Finding, ItemPrice, Subject, Subscription, SubscriptionItem
from sync.operations.measure_anew import measure_customers_anew
from sync.operations.record_findings import FoundIssue

BATCH = 500


def assign_subjects(*, now: datetime) -> list[FoundIssue]:
    """Every customer has a subject for its external key, else for its Stripe id; return contested keys.

    The first subject of a customer holds since ever, a later one from the next whole UTC hour on, and
    the old ones stay. A key that another customer holds stays there, until that customer is deleted in
    Stripe. What staff ended stays ended. Safe to repeat.
    """
    _end_subjects_of_deleted()
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
    """Every customer with an item that a meter bills is enrolled on that meter; return how many are new.

    And on one that an item had a price of before, or that an item was on that came and went unseen.
    """
    living = SubscriptionItem.objects.filter(deleted_at=None, subscription__deleted_at=None)
    before = Enrolment.objects.count()
    _enrol(
        # A legacy metered price is billed by no meter, even where the item names one.
        living.filter(meter__isnull=False, meter=F("price__meter"))
        .exclude(subscription__status__in=NEVER_BILLED)
        .filter(~Exists(_enrolled("subscription__customer", "meter")))
        .order_by()
        .values_list("subscription__customer_id", "meter_id")
        .distinct()
    )
    _enrol(
        ItemPrice.objects.filter(end__isnull=False, meter__isnull=False, meter=F("price__meter"))
        .exclude(item__subscription__status__in=NEVER_BILLED)
        .filter(~Exists(_enrolled("item__subscription__customer", "meter")))
        .order_by()
        .values_list("item__subscription__customer_id", "meter_id")
        .distinct()
    )
    return Enrolment.objects.count() - before


def _enrolled(customer: str, meter: str) -> QuerySet[Enrolment]:
    return Enrolment.objects.filter(customer=OuterRef(customer), meter=OuterRef(meter))


def _enrol(lacking: QuerySet[Any, Any]) -> None:
    while pairs := list(lacking[:BATCH]):
        rows = [Enrolment(customer_id=customer_id, meter_id=meter_id) for customer_id, meter_id in pairs]
        Enrolment.objects.bulk_create(rows, ignore_conflicts=True)


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
    spans: dict[str, list[Subject]] = defaultdict(list)
    for row in Subject.objects.filter(key__in={claim.key for claim in claims}).select_related("customer"):
        spans[row.key].append(row)
    held = {key: holder for key, rows in spans.items() if (holder := _holder(rows, now=now))}
    has_any = set(Subject.objects.filter(customer__in=batch).values_list("customer_id", flat=True))
    new: list[Subject] = []
    contested: list[FoundIssue] = []
    for claim in claims:
        holder = held.setdefault(claim.key, claim.customer)
        if holder.pk != claim.customer.pk:
            contested.append(_contested(claim, holder))
            continue
        is_first = claim.customer.pk not in has_any
        valid_from = _valid_from(spans[claim.key], is_first=is_first, now=now)
        new.append(Subject(key=claim.key, customer=claim.customer, valid_from=valid_from))
    past = {one.customer_id for one in new if one.valid_from is None or one.valid_from < now}
    with transaction.atomic():
        Subject.objects.bulk_create(new, ignore_conflicts=True)
        measure_customers_anew(past)
    return contested


def _holder(rows: Sequence[Subject], *, now: datetime) -> Customer | None:
    """Return whose a key is; what a deleted customer held has an end, and is free from then on."""
    for row in reversed(rows):
        goes_on = row.valid_to and row.valid_to > now and not row.never_held
        if row.valid_to is None or (goes_on and row.customer.deleted_at is None):
            return row.customer
    return None


def _valid_from(rows: Sequence[Subject], *, is_first: bool, now: datetime) -> datetime | None:
    """Return when a free key becomes the claimant's; None means since ever.

    Where a deleted customer held it last, it goes over without a gap, as to the same customer made anew.
    """
    later = floor_to(now, HOUR) + HOUR
    rows = [row for row in rows if not row.never_held]
    if not rows:
        return None if is_first else later
    last = max(rows, key=lambda row: row.valid_to or later)
    if is_first and last.customer.deleted_at:
        return last.valid_to
    return max(later, last.valid_to or later)


def _end_subjects_of_deleted() -> None:
    """End what deleted customers hold, at the first hour in which nothing of theirs can be billed any more.

    That is the hour after their last subscription ended, which Stripe does when it deletes a customer, or
    where that is not known the hour after the deletion was seen.
    """
    living = Subscription.objects.filter(customer=OuterRef("customer"), ended_at=None)
    open_ones = (
        Subject.objects.filter(valid_to=None, customer__deleted_at__isnull=False)
        .annotate(
            gone_at=F("customer__deleted_at"),
            ended_at=Max("customer__subscriptions__ended_at"),
            goes_on=Exists(living.exclude(status__in=NEVER_BILLED)),
        )
        .order_by("pk")
    )
    ended: list[Subject] = []
    never_began: list[int] = []
    for row in open_ones:
        known = row.ended_at and not row.goes_on
        row.valid_to = ceil_to(row.ended_at, HOUR) if known else floor_to(row.gone_at, HOUR) + HOUR
        if row.valid_from and row.valid_from >= row.valid_to:
            never_began.append(row.pk)
        else:
            ended.append(row)
    with transaction.atomic():
        Subject.objects.filter(pk__in=never_began).delete()
        Subject.objects.filter(valid_to=None).bulk_update(ended, ["valid_to"], batch_size=BATCH)


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
