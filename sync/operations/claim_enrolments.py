"""Who may send for an enrolment: leases, taken and kept by compare-and-set on the database's clock."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from sync.models import Enrolment, UsageReport
from sync.models.ledger import is_unsettled
from sync.operations.confirmed_reports import ConfirmedReports
from sync.queries.pauses import unpaused
from sync.queries.planning import Scope, enrolments_in

LEASE = timedelta(seconds=30)
"""Outlasts a call to Stripe twice; short, so that another machine soon completes what a crash left."""
RENEW_BELOW_SECONDS = LEASE.total_seconds() * 3 / 4

Status = UsageReport.Status


@dataclass(slots=True)
class Lease:
    """The enrolments that one worker holds, and until when, by this machine's steady clock."""

    owner: str
    enrolments: set[int] = field(default_factory=set)
    expires: float = 0.0
    """`time.monotonic()` until which nobody else can hold them; counted from *before* the claim."""

    def seconds_left(self) -> float:
        """Return how long sending is still safe; time a stopped process slept through counts."""
        return self.expires - time.monotonic()


def due_reports(due_by: datetime) -> Q:
    """Return the condition for rows that somebody should send now; `sending` ones were left by a crash."""
    waiting = Q(status=Status.PENDING) & (Q(next_attempt_at=None) | Q(next_attempt_at__lte=due_by))
    in_doubt = Q(status=Status.UNKNOWN, next_attempt_at__lte=due_by)
    return waiting | in_doubt | Q(status=Status.SENDING)


def claim_enrolments(
    lease: Lease,
    *,
    scope: Scope,
    due_by: datetime,
    limit: int,
    leave_out: Collection[int] = (),
    only: ConfirmedReports | None = None,
) -> list[int]:
    """The lease holds up to `limit` more enrolments with due reports; return them, soonest closing first.

    With `only`, those that may have some of these; what is due there may be another report, though.
    """
    before = time.monotonic()
    free = _unpaused(scope).filter(_is_free()).exclude(pk__in=list(leave_out))
    candidates = list(
        # Exists, not IN: what is not settled is looked through, not all that these ever reported.
        UsageReport.objects.filter(
            is_unsettled(), due_reports(due_by), _among(only), Exists(free.filter(pk=OuterRef("enrolment")))
        )
        .values("enrolment")
        .annotate(closes_first=Min("closes_at"))
        .order_by("closes_first", "enrolment")
        .values_list("enrolment", flat=True)[:limit]
    )
    if not candidates:
        return []
    with transaction.atomic():
        _lock(candidates)
        Enrolment.objects.filter(_is_free(), pk__in=candidates).update(
            lease_owner=lease.owner, lease_expires_at=Now() + LEASE
        )
    mine = set(
        Enrolment.objects.filter(pk__in=candidates, lease_owner=lease.owner).values_list("pk", flat=True)
    )
    # Renewal extends all of them at once, so the earliest end is the one to go by.
    end = before + LEASE.total_seconds()
    lease.expires = min(lease.expires, end) if lease.enrolments else end
    lease.enrolments |= mine
    return [pk for pk in candidates if pk in mine]


def count_held_elsewhere(
    *, scope: Scope, due_by: datetime, owner: str, only: ConfirmedReports | None = None
) -> int:
    """Return how many due reports of the scope belong to another worker's running lease."""
    others = _unpaused(scope).exclude(_is_free()).exclude(lease_owner=owner).values("pk")
    return UsageReport.objects.filter(due_reports(due_by), _among(only), enrolment__in=others).count()


def renew_lease(lease: Lease) -> set[int]:
    """The lease runs anew from now for every enrolment still held; return those that were lost."""
    before = time.monotonic()
    held = Enrolment.objects.filter(pk__in=lease.enrolments, lease_owner=lease.owner)
    with transaction.atomic():
        _lock(lease.enrolments)
        renewed = held.update(lease_expires_at=Now() + LEASE)
    lost: set[int] = set()
    if renewed != len(lease.enrolments):
        lost = lease.enrolments - set(held.values_list("pk", flat=True))
        lease.enrolments -= lost
    lease.expires = before + LEASE.total_seconds()
    return lost


def release_enrolments(lease: Lease, enrolments: Iterable[int]) -> None:
    """Anybody may claim these enrolments again."""
    done = set(enrolments)
    if not done:
        return
    with transaction.atomic():
        _lock(done)
        Enrolment.objects.filter(pk__in=done, lease_owner=lease.owner).update(
            lease_owner="", lease_expires_at=None
        )
    lease.enrolments -= done


def _among(only: ConfirmedReports | None) -> Q:
    return only.candidates() if only else Q()


def _unpaused(scope: Scope) -> QuerySet[Enrolment]:
    return unpaused(enrolments_in(scope).filter(meter__conflict=""))


def _lock(enrolments: Collection[int]) -> None:
    """Take the rows' locks in the order everybody takes them, so that no two workers block each other."""
    list(
        Enrolment.objects.select_for_update(no_key=True)
        .filter(pk__in=enrolments)
        .order_by("pk")
        .values_list("pk")
    )


def _is_free() -> Q:
    return Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())
