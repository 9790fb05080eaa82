"""What planning has to know of one meter: who is billed when, and what the ledger holds already."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from sync.domain.accounts import Counts
from sync.domain.closings import OLDEST_EVENT
from sync.domain.periods import BilledItem
from sync.domain.slices import StoredSlice
from sync.domain.timeline import Span
from sync.models import Enrolment, Meter, Subject, SubscriptionItem, UsageReport
from sync.models.ledger import how_it_counts
from sync.queries.billed_items import billed_items
from sync.queries.pauses import unpaused

LONGEST_UNMEASURED = timedelta(days=400)
"""How far back is looked where nothing was ever measured, or everything has to be measured again."""
CHUNK = 500
"""How many ids go into one IN list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which part of the world a run is about; everything empty means all of it."""

    subscriptions: tuple[str, ...] = ()
    customer: str = ""
    meter: str = ""

    @classmethod
    def stored(cls, kept: Mapping[str, Any]) -> "Scope":
        """Return the scope that a run keeps."""
        return cls(**{**kept, "subscriptions": tuple(kept.get("subscriptions", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectSpan:
    """A subject and the stretch in which its usage is this customer's; None means without end."""

    key: str
    valid_from: datetime | None
    valid_to: datetime | None

    def holds(self, instant: datetime) -> bool:
        """Whether usage at this instant is this customer's."""
        return (self.valid_from is None or self.valid_from <= instant) and (
            self.valid_to is None or instant < self.valid_to
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What planning needs of a stored report."""

    id: int
    slice_start: datetime
    slice_end: datetime
    event_at: datetime
    closes_at: datetime
    revision: int
    measured: Decimal
    carried: Decimal
    quantity: Decimal
    value: Decimal
    status: str
    written_off: bool
    maybe_arrived: bool
    first_sent_at: datetime | None
    half_closed: bool
    decision: str

    @property
    def counts(self) -> Counts:
        """Return how it counts for its slice."""
        return how_it_counts(self.status, written_off=self.written_off, maybe_arrived=self.maybe_arrived)

    @property
    def was_never_claimed(self) -> bool:
        """Whether it waits and nobody has begun to send it: only such a row can be superseded."""
        return self.status == UsageReport.Status.PENDING and self.first_sent_at is None

    @property
    def is_late_unsent(self) -> bool:
        """Whether it waits for a person because it is too late: a newer reading may take its place."""
        return self.status == UsageReport.Status.LATE and self.first_sent_at is None

    @property
    def is_held_half_closed(self) -> bool:
        """Whether it is held for nothing but that one of several billing periods seemed to have closed."""
        return self.status == UsageReport.Status.HELD and self.half_closed


@dataclass(slots=True, kw_only=True)
class EnrolmentToPlan:
    """One customer on the meter, with everything that decides about its slices."""

    id: int
    customer_id: str
    report_from: datetime | None
    planned_through: datetime | None
    anew: int
    subjects: list[SubjectSpan] = field(default_factory=list)
    items: list[BilledItem] = field(default_factory=list)
    rows: list[LedgerRow] = field(default_factory=list)

    def stored_slices(self) -> list[StoredSlice]:
        """Return the slices that have rows, each as its newest row has it."""
        unsettled = {row.slice_start for row in self.rows if row.status in UsageReport.UNSETTLED}
        return [
            StoredSlice(
                span=Span(row.slice_start, row.slice_end),
                event_at=row.event_at,
                closes_at=row.closes_at,
                unsettled=row.slice_start in unsettled,
            )
            for row in {row.slice_start: row for row in self.rows}.values()
        ]


def enrolments_in(scope: Scope) -> QuerySet[Enrolment]:
    """Return the enrolments of a scope, paused ones too."""
    chosen = Enrolment.objects.all()
    if scope.customer:
        chosen = chosen.filter(customer__stripe_id=scope.customer)
    if scope.meter:
        chosen = chosen.filter(
            Q(meter__openmeter_slug=scope.meter)
            | Q(meter__event_name=scope.meter)
            # A name may be of several meters, Stripe's id is of one.
            | Q(meter__stripe_id=scope.meter)
        )
    if scope.subscriptions:
        items = SubscriptionItem.objects.filter(subscription__stripe_id__in=scope.subscriptions)
        # Also those that an item has left: what was used before has to be reported, or shown as late.
        pairs = items.filter(
            Q(meter=F("subscription__customer__enrolments__meter"))
            | Q(prices__meter=F("subscription__customer__enrolments__meter"))
        ).values("subscription__customer__enrolments__pk")
        chosen = chosen.filter(pk__in=pairs)
    return chosen


def enrolments_to_plan(
    meter: Meter,
    *,
    scope: Scope,
    since: datetime,
    now: datetime,
    as_if_over: int = 0,
    only: Collection[int] | None = None,
    paused_too: bool = False,
) -> list[EnrolmentToPlan]:
    """Return the scope's enrolments on this meter that are not paused, but by the pause `as_if_over`.

    With `only`, those of these ids; with `paused_too`, whatever is paused.

    Their ledger rows are those that end after `since`, that lie beyond what was planned so far, or that
    are not settled and young enough to be sent. Who has no subject is left out: nothing can be measured.
    Query count is constant up to `CHUNK` enrolments and grows with their number only in such chunks.
    """
    chosen = enrolments_in(scope).filter(Q() if only is None else Q(pk__in=only), meter=meter)
    found = {
        pk: EnrolmentToPlan(
            id=pk, customer_id=customer, report_from=start, planned_through=through, anew=anew
        )
        for pk, customer, start, through, anew in (
            chosen if paused_too else unpaused(chosen, as_if_over=as_if_over)
        )
        .order_by("pk")
        .values_list("pk", "customer__stripe_id", "report_from", "planned_through", "anew")
    }
    ids = list(found)
    for first in range(0, len(ids), CHUNK):
        chunk = ids[first : first + CHUNK]
        attach_subjects(found, chunk)
        attach_items(found, chunk, meter, now)
        _attach_rows(found, chunk, since, now)
    return [enrolment for enrolment in found.values() if enrolment.subjects]


def attach_subjects(found: dict[int, EnrolmentToPlan], ids: Sequence[int]) -> None:
    """Give enrolments the subjects of their customers, and when they are theirs."""
    rows = (
        Subject.objects.filter(customer__enrolments__in=ids)
        # Taken back before it began: nothing was ever measured under it.
        .exclude(valid_to=F("valid_from"))
        .values_list("customer__enrolments__pk", "key", "valid_from", "valid_to")
    )
    for pk, key, start, end in rows:
        if pk in found:
            found[pk].subjects.append(SubjectSpan(key=key, valid_from=start, valid_to=end))


def attach_items(found: dict[int, EnrolmentToPlan], ids: Sequence[int], meter: Meter, now: datetime) -> None:
    """Give enrolments on a meter the items that bill it, with periods of the last five weeks and more.

    What ended just before the oldest slice that is measured again counts, too: a boundary that two periods
    share is cut otherwise than one at which billing begins. And earlier ones where less was measured: Stripe
    takes nothing for them any more, but what was used in them has to be shown as late.
    """
    marks = [found[pk].planned_through or now - LONGEST_UNMEASURED for pk in ids]
    oldest = min([now - OLDEST_EVENT - timedelta(days=3), *(mark - timedelta(days=1) for mark in marks)])
    for pk, item in billed_items(ids, meter, since=oldest):
        found[pk].items.append(item)


def _attach_rows(
    found: dict[int, EnrolmentToPlan], ids: Sequence[int], since: datetime, now: datetime
) -> None:
    # All revisions of a slice that is not settled: what was told before counts, too.
    sibling = UsageReport.objects.filter(
        enrolment=OuterRef("enrolment"),
        slice_start=OuterRef("slice_start"),
        status__in=UsageReport.UNSETTLED,
    )
    unsettled = Q(Exists(sibling), slice_end__gt=now - OLDEST_EVENT)
    beyond = Q(enrolment__planned_through=None) | Q(slice_end__gte=F("enrolment__planned_through"))
    rows = (
        UsageReport.objects.filter(Q(slice_end__gt=since) | beyond | unsettled, enrolment__in=ids)
        .order_by("enrolment", "slice_start", "revision")
        .values_list("enrolment_id", *LedgerRow.__dataclass_fields__)
    )
    names = list(LedgerRow.__dataclass_fields__)
    for pk, *values in rows.iterator(chunk_size=2000):
        found[pk].rows.append(LedgerRow(**dict(zip(names, values, strict=True))))


def rows_by_slice(rows: Iterable[LedgerRow]) -> dict[datetime, list[LedgerRow]]:
    """Group rows by the slice they speak for, revisions in order."""
    grouped: dict[datetime, list[LedgerRow]] = defaultdict(list)
    for row in rows:
        grouped[row.slice_start].append(row)
    return grouped
