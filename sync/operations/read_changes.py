"""Read again what changed in Stripe since it was last read, by the events that Stripe keeps of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import models

from sync.domain.changes import StripeEvent, latest_changes
from sync.models import Customer, Invoice, Meter, Price, StripeAccount, Subscription
from sync.operations.assign_subjects import assign_subjects, enrol_customers
from sync.operations.conclude_mirror import MirrorSummary, ask_for_meters, record_obstacles
from sync.operations.find_swapped import record_swapped
from sync.operations.link_meters import MeterProblem, mark_conflicts
from sync.operations.mirror_catalog import CatalogMirror, Tally
from sync.operations.mirror_invoices import InvoiceMirror
from sync.operations.mirror_lists import MirrorLists, Progress, read_again
from sync.operations.mirror_stripe import mirror_stripe
from sync.operations.mirror_subscriptions import SubscriptionMirror
from sync.operations.pin_account import mark_events_read
from sync.operations.resume_meters import resume_meters
from sync.ports import BillingGateway, UsageSource

OVERLAP = timedelta(minutes=5)
"""Events are read again from so long before the mark: for clocks that differ, and events that are late."""
OLDEST_MARK = timedelta(days=29)
"""Stripe keeps events for 30 days: a mark this old may have a gap behind it."""
MOST_SINGLE_READS = 500
"""If more than this changed (a month begins), whole lists are read: a hundred objects a call."""
PAGE = 100

KINDS: Mapping[str, type[models.Model]] = {
    "billing.meter": Meter,
    "price": Price,
    "customer": Customer,
    "subscription": Subscription,
    "invoice": Invoice,
}
"""Stripe's type → table, in the order in which they refer to each other."""


def read_changes(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
    progress: Progress,
) -> MirrorSummary:
    """Everything that changed since the mark is mirrored as Stripe shows it now, and the mark has moved.

    Where there is no mark, or a gap behind it, or too much changed, all of Stripe is mirrored instead. The
    mark moves only once everything was read, so a read that was broken off is done again. The key was
    found to be of this database's account before. Safe to repeat
    and to run twice at once, beside a full sync, too: newer rows are never overwritten.
    """
    began_at = clock()
    account = StripeAccount.objects.get()
    mark = account.events_read_through
    changed: list[_Changed] = []
    why_all = _why_no_mark_will_do(mark, now=began_at)
    if mark and not why_all:
        progress("events: 0")
        changed = _changed(stripe.events(since=mark - OVERLAP), progress=progress)
        # Many invoices are read in lists of their own.
        singly = sum(one.model is not Invoice for one in changed)
        if singly > _most_single_reads():
            why_all = f"{singly} objects changed"
    if why_all:
        summary = mirror_stripe(
            stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=progress
        )
        return replace(summary, remark=f"All of Stripe was read: {why_all}.")
    reading = _Reading.of(
        stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=progress
    )
    summary = reading.read(changed)
    mark_events_read(through=began_at)
    return summary


def read_told(
    told: list[StripeEvent],
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
) -> None:
    """What these events are about is mirrored as Stripe shows it now; `created_at` is when we were told.

    What was read since then is left out: it shows the change already. The order of events does not matter,
    nor how often they come. Few are expected: each object is a call. Safe to repeat, and beside a sync.
    """
    changed = _changed([told], progress=_tell_nobody, overlap=timedelta(0))
    if changed:
        reading = _Reading.of(
            stripe=stripe,
            openmeter=openmeter,
            clock=clock,
            invoice_grace=invoice_grace,
            progress=_tell_nobody,
        )
        reading.read(changed)


def _tell_nobody(_what: str) -> None:
    """Nobody watches."""


def _why_no_mark_will_do(mark: datetime | None, *, now: datetime) -> str:
    """Return why the events since the mark cannot tell everything, or ""."""
    if mark is None:
        return "it never was before"
    if now - mark > OLDEST_MARK:
        return f"changes were last read on {mark:%Y-%m-%d}, and Stripe keeps them for 30 days"
    return ""


def _most_single_reads() -> int:
    """Return how many objects are read one by one before whole lists take fewer calls."""
    rows = sum(model._default_manager.count() for model in KINDS.values())  # noqa: SLF001
    return max(MOST_SINGLE_READS, rows // PAGE)


@dataclass(frozen=True, slots=True)
class _Changed:
    """An object that changed, and when it last did by Stripe's clock."""

    model: type[models.Model]
    stripe_id: str
    at: datetime


def _changed(
    pages: Iterable[list[StripeEvent]], *, progress: Progress, overlap: timedelta = OVERLAP
) -> list[_Changed]:
    """Return what the events are about, each object once, but what was read since it changed.

    What was read less than `overlap` after its change counts as unread.
    """
    events: list[StripeEvent] = []
    for page in pages:
        events += page
        progress(f"events: {len(events)}")
    latest = latest_changes(events)
    for (kind, product), at in list(latest.items()):
        if kind == "product":
            # A price shows its product's name.
            for price in Price.objects.filter(product_id=product).values_list("stripe_id", flat=True):
                latest["price", price] = max(latest.get(("price", price), at), at)
    return [
        _Changed(KINDS[kind], stripe_id, at)
        for kind in KINDS
        for stripe_id, at in _unread(
            KINDS[kind], {i: at + overlap for (k, i), at in latest.items() if k == kind}
        )
    ]


def _unread(model: type[models.Model], changed: Mapping[str, datetime]) -> Iterable[tuple[str, datetime]]:
    """Return those that were not read since these instants."""
    table: models.Manager[Any] = model._default_manager  # noqa: SLF001 - Django's documented accessor
    ids = list(changed)
    read_at: dict[str, datetime] = {}
    for first in range(0, len(ids), 500):
        rows = table.filter(stripe_id__in=ids[first : first + 500]).values_list("stripe_id", "fetched_at")
        read_at |= dict(rows)
    return [
        (stripe_id, at)
        for stripe_id, at in changed.items()
        if stripe_id not in read_at or read_at[stripe_id] < at
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Reads single objects again."""

    catalog: CatalogMirror
    subscriptions: SubscriptionMirror
    lists: MirrorLists
    invoices: InvoiceMirror
    openmeter: UsageSource

    @classmethod
    def of(
        cls,
        *,
        stripe: BillingGateway,
        openmeter: UsageSource,
        clock: Callable[[], datetime],
        invoice_grace: timedelta,
        progress: Progress,
    ) -> "_Reading":
        """Return one that is about to begin."""
        catalog = CatalogMirror(stripe=stripe, clock=clock, tally=Tally())
        pinned_at = StripeAccount.objects.get().pinned_at
        return cls(
            catalog=catalog,
            subscriptions=SubscriptionMirror(
                catalog=catalog, invoice_grace=invoice_grace, pinned_at=pinned_at
            ),
            lists=MirrorLists(clock=clock, progress=progress, tally=catalog.tally),
            invoices=InvoiceMirror(
                stripe=stripe, clock=clock, progress=progress, tally=catalog.tally, grace=invoice_grace
            ),
            openmeter=openmeter,
        )

    def read(self, changed: list[_Changed]) -> MirrorSummary:
        """The objects are mirrored, with all that follows from them."""
        now = self.catalog.clock
        linked: Mapping[int, MeterProblem] | None = None
        problem = ""
        if any(one.model is Meter for one in changed):
            linked, problem = self._read_meters()
        for model in (Price, Customer, Subscription):
            self._read(model, [one.stripe_id for one in changed if one.model is model])
        record_swapped(now=now())
        # Also where no event tells of one: drafts are looked at while a period waits for its invoice.
        invoices_problem = self.invoices.mirror(
            changed=[one.stripe_id for one in changed if one.model is Invoice]
        )
        if all(one.model is Invoice for one in changed):
            return MirrorSummary(
                seen=self.catalog.tally.seen,
                changed=self.catalog.tally.changed,
                findings={},
                new_findings=0,
                resolved_findings=0,
                openmeter_problem="",
                invoices_problem=invoices_problem,
            )
        contested = assign_subjects(now=now())
        enrol_customers()
        return record_obstacles(
            contested=contested,
            linked=linked,
            usage_is_known=False,
            tally=self.catalog.tally,
            problem=problem,
            invoices_problem=invoices_problem,
            now=now(),
        )

    def _read_meters(self) -> tuple[Mapping[int, MeterProblem] | None, str]:
        """All meters are read: they are few, and what is wrong with one is told from all of them."""
        catalog = self.catalog
        self.lists.mirror(
            Meter, catalog.stripe.meters(), store=catalog.store_meters, fetch=catalog.fetch_meter
        )
        resume_meters(now=catalog.clock())
        linked, problem = ask_for_meters(self.openmeter)
        mark_conflicts(redefined=catalog.redefined, linked=linked)
        return linked, problem

    def _read(self, model: type[models.Model], stripe_ids: list[str]) -> None:
        fetch = {
            Price: self.catalog.fetch_price,
            Customer: self.catalog.fetch_customer,
            Subscription: self.subscriptions.fetch,
        }[model]
        kind = f"{model._meta.model_name}s"  # noqa: SLF001 - Django's documented accessor
        for number, stripe_id in enumerate(stripe_ids, start=1):
            read_again(model, stripe_id, fetch=fetch, clock=self.catalog.clock)
            self.lists.progress(f"{kind}: {number}")
