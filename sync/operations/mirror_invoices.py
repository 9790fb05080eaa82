"""Mirror Stripe's invoices, as far as they bill usage: they say when billing periods close."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min

from sync.domain.invoices import CLOCKS_DIFFER, DRAFT, InvoiceSource, StripeInvoice
from sync.models import Invoice, InvoiceLine
from sync.operations.close_periods import close_periods_of, close_waiting_periods, waiting_periods
from sync.operations.find_unbilled import record_gone_invoices, record_uninvoiced
from sync.operations.mirror_catalog import Tally
from sync.operations.mirror_lists import Progress, read_again
from sync.operations.store_rows import Row, store_rows, timed
from sync.ports import Misconfigured

MOST_SINGLE_READS = 20
"""If more invoices than this changed, they are listed: a hundred a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceMirror:
    """Reads and stores invoices; `grace` is how long a draft stays open where nothing says it."""

    stripe: InvoiceSource
    clock: Callable[[], datetime]
    progress: Progress
    tally: Tally
    grace: timedelta

    def mirror(self, *, changed: Collection[str] = (), all_waiting: bool = False) -> str:
        """Billing periods say which invoice closes them and when; return why that cannot be known, or "".

        Drafts are listed for the whole account, and only while some period waits for its invoice. What is
        no draft any more, or is among `changed`, is read singly, or in lists where that is much. With
        `all_waiting` every invoice is read that can close a period which waits. Safe to repeat and to run
        twice at once.
        """
        try:
            self._read(changed, all_waiting=all_waiting)
        except Misconfigured as error:
            minutes = round(self.grace.total_seconds() / 60)
            return (
                f"Stripe's invoices cannot be read, so billing periods are taken to close {minutes} minutes "
                f"after they end: {error}"
            )
        finally:
            self._count(close_waiting_periods(grace=self.grace, now=self.clock()))
        record_uninvoiced(now=self.clock())
        return ""

    def _read(self, changed: Collection[str], *, all_waiting: bool) -> None:
        began_at = self.clock()
        earliest = waiting_periods(began_at).aggregate(first=Min("end"))["first"]
        drafts = Invoice.objects.filter(status=DRAFT, deleted_at=None)
        if earliest or drafts.exists():
            self._store_pages(self.stripe.draft_invoices())
        gone = drafts.filter(fetched_at__lt=began_at)
        wanted = self._unread(changed, unknown_too=bool(earliest), since=began_at)
        wanted |= set(gone.values_list("stripe_id", flat=True))
        if (all_waiting and earliest) or len(wanted) > MOST_SINGLE_READS:
            oldest_draft = gone.aggregate(first=Min("created_at"))["first"]
            since = min((at for at in (earliest, oldest_draft) if at), default=None)
            if since:
                self._store_pages(self.stripe.invoices(created_since=since - CLOCKS_DIFFER))
                wanted = self._unread(wanted, unknown_too=False, since=began_at)
        for number, stripe_id in enumerate(sorted(wanted), start=1):
            read_again(Invoice, stripe_id, fetch=self._fetch, clock=self.clock)
            self.progress(f"invoices: {number}")
        self._forget_deleted(wanted)

    @staticmethod
    def _unread(stripe_ids: Collection[str], *, unknown_too: bool, since: datetime) -> set[str]:
        """Return those not read since; of what was never stored only if a period may be waiting for it."""
        ids = list(stripe_ids)
        read_at: dict[str, datetime] = {}
        for first in range(0, len(ids), 500):
            rows = Invoice.objects.filter(stripe_id__in=ids[first : first + 500])
            read_at |= dict(rows.values_list("stripe_id", "fetched_at"))
        return {one for one in ids if (read_at[one] < since if one in read_at else unknown_too)}

    def _store_pages(self, pages: Iterator[list[StripeInvoice]]) -> None:
        for fetched_at, page in timed(pages, clock=self.clock):
            self._store(page, fetched_at=fetched_at)
            self.progress(f"invoices: {self.tally.seen.get('invoices', 0)}")

    def _fetch(self, stripe_id: str) -> None:
        asked_at = self.clock()
        self._store([self.stripe.invoice(stripe_id)], fetched_at=asked_at)

    def _store(self, page: Sequence[StripeInvoice], *, fetched_at: datetime) -> None:
        """Store a page with what follows for periods; what bills no item, and never did, is left out."""
        before = Invoice.objects.in_bulk([one.id for one in page], field_name="stripe_id")
        billing = [one for one in page if one.lines or one.id in before]
        with transaction.atomic():
            stored = store_rows(Invoice, [_row(one) for one in billing], fetched_at=fetched_at)
            fresh = {stored.ids[one.id]: one for one in billing if one.id not in stored.stale}
            _store_lines(fresh)
            closed = close_periods_of(list(fresh), grace=self.grace)
            turned = [pk for pk, one in fresh.items() if _turned_void(one, before.get(one.id))]
            record_gone_invoices(turned, now=fetched_at)
        if billing:
            self.tally.add("invoices", seen=len(billing), changed=stored.changed)
        self._count(closed)

    def _count(self, closed: int) -> None:
        if closed:
            self.tally.add("periods", seen=0, changed=closed)

    def _forget_deleted(self, stripe_ids: Collection[str]) -> None:
        deleted = Invoice.objects.filter(stripe_id__in=list(stripe_ids)).exclude(deleted_at=None)
        ids = list(deleted.values_list("pk", flat=True))
        with transaction.atomic():
            self._count(close_periods_of(ids, grace=self.grace))
            record_gone_invoices(ids, now=self.clock())


def _turned_void(one: StripeInvoice, before: Invoice | None) -> bool:
    return one.status == "void" and (before is None or before.status != "void")


def _row(one: StripeInvoice) -> Row:
    return {
        "stripe_id": one.id,
        "customer": one.customer_id,
        "subscription": one.subscription_id,
        "status": one.status,
        "auto_advance": one.auto_advance,
        "created_at": one.created_at,
        "automatically_finalizes_at": one.automatically_finalizes_at,
        "finalized_at": one.finalized_at,
    }


def _store_lines(fresh: dict[int, StripeInvoice]) -> None:
    """Each invoice has the lines that it shows, and no others; what is the same is left alone."""
    wanted = {
        (pk, line.id): (line.item_id, line.span.start, line.span.end, line.quantity)
        for pk, one in fresh.items()
        for line in one.lines
    }
    changed = dict(wanted)
    outdated: list[int] = []
    for row in InvoiceLine.objects.filter(invoice__in=list(fresh)):
        key = (row.invoice_id, row.stripe_id)
        if wanted.get(key) == (row.item, row.start, row.end, row.quantity):
            changed.pop(key, None)
        else:
            outdated.append(row.pk)
    for first in range(0, len(outdated), 500):
        InvoiceLine.objects.filter(pk__in=outdated[first : first + 500]).delete()
    InvoiceLine.objects.bulk_create(
        [
            InvoiceLine(invoice_id=pk, stripe_id=line_id, item=item, start=start, end=end, quantity=quantity)
            for (pk, line_id), (item, start, end, quantity) in changed.items()
        ],
        batch_size=500,
    )
