"""Bring the mirror of Stripe up to date, tie it to OpenMeter, and say what stands in the way."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sync.models import Customer, Meter, Price, Subscription
from sync.operations.assign_subjects import assign_subjects, enrol_customers
from sync.operations.conclude_mirror import MirrorSummary, ask_for_meters, record_obstacles
from sync.operations.find_swapped import record_swapped
from sync.operations.keep_listings import end_listings
from sync.operations.link_meters import mark_conflicts, mark_seen_subjects
from sync.operations.mirror_catalog import CatalogMirror, Tally
from sync.operations.mirror_invoices import InvoiceMirror
from sync.operations.mirror_lists import MirrorLists, Progress
from sync.operations.mirror_subscriptions import SubscriptionMirror
from sync.operations.pin_account import mark_events_read, pin_account
from sync.operations.resume_meters import resume_meters
from sync.ports import BillingGateway, SyncError, UsageSource


def mirror_stripe(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
    progress: Progress | None = None,
) -> MirrorSummary:
    """The tables show what Stripe has, and findings say what cannot be resolved.

    Pages are stored as they come, and how far a long list was read is kept, so an interrupted sync has done
    part of the work and the next one does the rest; nothing is marked as deleted before its list was read to
    the end, and no finding as over before all were. Where this went on with lists that were begun earlier,
    what changed since has still to be read by its events. OpenMeter being away stops only what needs it.
    Safe to repeat and to run twice at once.
    """
    began_at = clock()
    pinned_at = pin_account(stripe.account(), now=began_at)
    catalog = CatalogMirror(stripe=stripe, clock=clock, tally=Tally())
    subscriptions = SubscriptionMirror(catalog=catalog, invoice_grace=invoice_grace, pinned_at=pinned_at)
    progress = progress or (lambda _: None)
    lists = MirrorLists(clock=clock, progress=progress, tally=catalog.tally)
    invoices = InvoiceMirror(
        stripe=stripe, clock=clock, progress=progress, tally=catalog.tally, grace=invoice_grace
    )

    lists.mirror(Meter, stripe.meters(), store=catalog.store_meters, fetch=catalog.fetch_meter)
    resume_meters(now=clock())
    # Before the subscriptions: an item may name its meter by what OpenMeter calls it.
    linked, problem = ask_for_meters(openmeter)
    mark_conflicts(redefined=catalog.redefined, linked=linked)
    lists.go_on(Price, stripe.prices, store=catalog.store_prices, fetch=catalog.fetch_price)
    lists.go_on(Customer, stripe.customers, store=catalog.store_customers, fetch=catalog.fetch_customer)
    lists.go_on(Subscription, stripe.subscriptions, store=subscriptions.store, fetch=subscriptions.fetch)
    record_swapped(now=clock())
    # After the subscriptions, which tell which periods are over.
    invoices_problem = invoices.mirror(all_waiting=True)
    contested = assign_subjects(now=clock())
    enrol_customers()
    problem = problem or _look_for_usage(openmeter, without=linked or {}, now=clock())
    summary = record_obstacles(
        contested=contested,
        linked=linked,
        usage_is_known=not problem,
        tally=catalog.tally,
        problem=problem,
        invoices_problem=invoices_problem,
        now=clock(),
    )
    # Whatever changed since the first of its lists was begun is read again by its event.
    mark_events_read(through=min(began_at, *(one.began_at for one in lists.listings)))
    end_listings(lists.listings)
    return replace(summary, went_on=bool(lists.gone_on), remark=_remark(lists.gone_on))


def _remark(gone_on: Sequence[str]) -> str:
    if not gone_on:
        return ""
    return f"It went on where an earlier sync had stopped: {', '.join(gone_on)}."


def _look_for_usage(openmeter: UsageSource, *, without: Collection[int], now: datetime) -> str:
    """Return why OpenMeter could not be asked, or ""."""
    tied = Meter.objects.filter(deleted_at=None).exclude(openmeter_id="").exclude(pk__in=list(without))
    try:
        mark_seen_subjects(openmeter, slugs=set(tied.values_list("openmeter_slug", flat=True)), now=now)
    except SyncError as error:
        return str(error)
    return ""
