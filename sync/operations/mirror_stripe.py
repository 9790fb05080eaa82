"""Bring the mirror of Stripe up to date, tie it to OpenMeter, and say what stands in the way."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from django.db import models

from sync.models import Customer, Finding, Meter, Price, Subscription
from sync.operations.assign_subjects import assign_subjects, enrol_customers
from sync.operations.find_obstacles import (
    find_item_obstacles,
    find_meter_obstacles,
    find_silent_customers,
)
from sync.operations.link_meters import MeterProblem, link_meters, mark_conflicts, mark_seen_subjects
from sync.operations.mirror_catalog import CatalogMirror, Tally
from sync.operations.mirror_subscriptions import SubscriptionMirror
from sync.operations.pin_account import pin_account
from sync.operations.record_findings import FoundIssue, record_findings, resolve_absent
from sync.operations.resume_meters import resume_meters
from sync.operations.store_rows import timed
from sync.ports import BillingGateway, NotFound, SyncError, UsageSource

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Kind = Finding.Kind
Progress = Callable[[str], None]

ALWAYS_KNOWN = (Kind.SUBJECT_CLAIMED_TWICE, Kind.ITEM_WITHOUT_METER, Kind.BILLED_TWICE, Kind.LEGACY_PRICE)
"""Findings that Stripe's answers alone decide."""
KNOWN_WITH_OPENMETER = (Kind.METER_WITHOUT_SLUG, Kind.METER_UNSUPPORTED, Kind.SUBJECT_NEVER_SEEN)
"""Findings that are only over once OpenMeter was asked, too."""
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSummary:
    """What a sync saw and did. `openmeter_problem` is a sentence where OpenMeter did not answer."""

    seen: Mapping[str, int]
    changed: Mapping[str, int]
    findings: Mapping[str, int]
    """Kind → how many of it this sync found."""
    new_findings: int
    resolved_findings: int
    openmeter_problem: str


def mirror_stripe(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
    progress: Progress | None = None,
) -> MirrorSummary:
    """The tables show what Stripe has, and findings say what cannot be resolved.

    Pages are stored as they come, so an interrupted sync has done part of the work and the next one does
    the rest; nothing is marked as deleted before its list was read to the end, and no finding as over
    before all were. OpenMeter being away stops only what needs it. Safe to repeat and to run twice at once.
    """
    pinned_at = pin_account(stripe.account(), now=clock())
    catalog = CatalogMirror(stripe=stripe, clock=clock, tally=Tally())
    subscriptions = SubscriptionMirror(catalog=catalog, invoice_grace=invoice_grace, pinned_at=pinned_at)
    listing = _Listing(clock=clock, progress=progress or (lambda _: None), tally=catalog.tally)

    listing.mirror(Meter, stripe.meters(), store=catalog.store_meters, fetch=catalog.fetch_meter)
    resume_meters(now=clock())
    # Before the subscriptions: an item may name its meter by what OpenMeter calls it.
    linked, problem = _link(openmeter)
    mark_conflicts(redefined=catalog.redefined, linked=linked)
    listing.mirror(Price, stripe.prices(), store=catalog.store_prices, fetch=catalog.fetch_price)
    listing.mirror(Customer, stripe.customers(), store=catalog.store_customers, fetch=catalog.fetch_customer)
    listing.mirror(Subscription, stripe.subscriptions(), store=subscriptions.store, fetch=subscriptions.fetch)
    contested = assign_subjects(now=clock())
    enrol_customers()
    problem = problem or _look_for_usage(openmeter, without=linked or {}, now=clock())

    found = chain(contested, find_item_obstacles(), find_meter_obstacles(linked or {}))
    issues, new = _record(found if problem else chain(found, find_silent_customers()), now=clock())
    decided = ALWAYS_KNOWN if problem else ALWAYS_KNOWN + KNOWN_WITH_OPENMETER
    return MirrorSummary(
        seen=catalog.tally.seen,
        changed=catalog.tally.changed,
        findings=dict(Counter(issue.kind.value for issue in issues)),
        new_findings=new,
        resolved_findings=resolve_absent(decided, seen=issues, now=clock()),
        openmeter_problem=problem,
    )


class _Store(Protocol[T_contra]):
    """Stores one page that was asked for at `fetched_at`."""

    def __call__(self, page: Sequence[T_contra], /, *, fetched_at: datetime) -> object:
        """Store it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """Reads whole lists."""

    clock: Callable[[], datetime]
    progress: Progress
    tally: Tally

    def mirror(
        self,
        model: type[models.Model],
        pages: Iterator[Sequence[T]],
        *,
        store: _Store[T],
        fetch: Callable[[str], None],
    ) -> None:
        """The table holds every listed object; what it held beside them was asked for one by one."""
        began_at = self.clock()
        kind = f"{model._meta.model_name}s"  # noqa: SLF001 - Django's documented accessor
        for fetched_at, page in timed(pages, clock=self.clock):
            store(page, fetched_at=fetched_at)
            self.progress(f"{kind}: {self.tally.seen.get(kind, 0)}")
        self._confirm_missing(model, fetch, began_at=began_at)

    def _confirm_missing(
        self, model: type[models.Model], fetch: Callable[[str], None], *, began_at: datetime
    ) -> None:
        """A list that is read page by page can miss a row, so each missing one is asked for itself."""
        table: models.Manager[Any] = model._default_manager  # noqa: SLF001 - Django's documented accessor
        missing = table.filter(deleted_at=None, fetched_at__lt=began_at)
        for stripe_id in list(missing.values_list("stripe_id", flat=True)):
            asked_at = self.clock()
            try:
                fetch(stripe_id)
            except NotFound:
                table.filter(stripe_id=stripe_id, fetched_at__lt=asked_at).update(
                    deleted_at=asked_at, fetched_at=asked_at
                )


def _link(openmeter: UsageSource) -> tuple[Mapping[int, MeterProblem] | None, str]:
    """Return what is wrong with meters, or None and why OpenMeter could not be asked."""
    try:
        return link_meters(openmeter.meters()), ""
    except SyncError as error:
        return None, str(error)


def _look_for_usage(openmeter: UsageSource, *, without: Collection[int], now: datetime) -> str:
    """Return why OpenMeter could not be asked, or ""."""
    tied = Meter.objects.filter(deleted_at=None).exclude(openmeter_id="").exclude(pk__in=list(without))
    try:
        mark_seen_subjects(openmeter, slugs=set(tied.values_list("openmeter_slug", flat=True)), now=now)
    except SyncError as error:
        return str(error)
    return ""


def _record(found: Iterable[FoundIssue], *, now: datetime) -> tuple[list[FoundIssue], int]:
    """Record issues in batches; return them all and how many were new."""
    issues: list[FoundIssue] = []
    new, waiting = 0, iter(found)
    while batch := list(islice(waiting, BATCH)):
        new += record_findings(batch, now=now)
        issues += batch
    return issues, new
