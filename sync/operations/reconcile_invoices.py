"""Compare the quantity on final invoices with what the ledger says was reported in their periods."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sync.domain.comparison import is_same
from sync.domain.invoices import VOID
from sync.domain.quantities import as_text, exact_add, exact_sum
from sync.domain.reconciliation import Cause
from sync.domain.timeline import Span
from sync.models import BillingPeriod, InvoiceLine, Meter
from sync.operations.reconcile_meter import Found
from sync.queries.billed_periods import BilledPeriod, billed_periods, delivered_in
from sync.queries.planning import Scope

BATCH = 500


def reconcile_invoices(
    meter: Meter, *, scope: Scope, span: Span
) -> Iterator[tuple[BillingPeriod, Found | None]]:
    """Yield each period whose invoice became final in the span, and what differs, or None.

    A period that comes to less than nothing bills nothing. Where a line of an invoice is not of one period,
    as when nobody saw how they were cut, what was reported in the line's own stretch is compared. A line
    that does not say how much it bills is left out. A constant number of queries for every few hundred.
    """
    final = BillingPeriod.objects.filter(
        item__meter=meter,
        item__price__meter=meter,
        finalized_at__gte=span.start,
        finalized_at__lt=span.end,
    ).select_related("item__subscription__customer", "item__price", "item__meter")
    if scope.customer:
        final = final.filter(item__subscription__customer__stripe_id=scope.customer)
    periods = list(final.order_by("pk"))
    for first in range(0, len(periods), BATCH):
        page = periods[first : first + BATCH]
        for line in billed_periods([one for one in page if one.billed_quantity is not None], now=span.end):
            yield line.period, _difference(line, meter)
        yield from _by_lines([one for one in page if one.billed_quantity is None], meter)


def _difference(line: BilledPeriod, meter: Meter) -> Found | None:
    period, billed, delivered = line.period, line.period.billed_quantity, line.delivered
    if billed is None or delivered is None:
        return None
    parts = [_Part(period.invoice_id, Span(period.start, period.end), billed, delivered)]
    return _found(period, parts, meter)


@dataclass(frozen=True, slots=True)
class _Part:
    """What an invoice bills of a stretch, and what was reported in it."""

    invoice_id: str
    span: Span
    billed: Decimal
    delivered: Decimal

    @property
    def expected(self) -> Decimal:
        return max(self.delivered, Decimal(0))


def _by_lines(periods: Sequence[BillingPeriod], meter: Meter) -> Iterator[tuple[BillingPeriod, Found | None]]:
    """Yield each period with what differs on the lines that end in it."""
    if not periods:
        return
    lines = InvoiceLine.objects.filter(
        item__in={one.item.stripe_id for one in periods},
        quantity__isnull=False,
        invoice__deleted_at=None,
        invoice__finalized_at__isnull=False,
    ).exclude(invoice__status=VOID)
    by_item: dict[str, list[InvoiceLine]] = defaultdict(list)
    for line in lines.select_related("invoice").order_by("end", "pk"):
        by_item[line.item].append(line)
    asked = [
        (period, line)
        for period in periods
        for line in by_item[period.item.stripe_id]
        if period.start < line.end <= period.end
    ]
    delivered = delivered_in([(period.item, Span(line.start, line.end)) for period, line in asked])
    parts: dict[int, list[_Part]] = defaultdict(list)
    for (period, line), units in zip(asked, delivered, strict=True):
        if units is not None and line.quantity is not None:
            span = Span(line.start, line.end)
            parts[period.pk].append(_Part(line.invoice.stripe_id, span, line.quantity, units))
    for period in periods:
        if parts[period.pk]:
            yield period, _found(period, parts[period.pk], meter)


def _found(period: BillingPeriod, parts: Sequence[_Part], meter: Meter) -> Found | None:
    differing = [one for one in parts if not is_same(one.billed, one.expected, decimals=meter.decimals)]
    if not differing:
        return None
    return Found(
        cause=Cause.INVOICE,
        units=exact_sum([exact_add(one.expected, -one.billed) for one in differing]),
        customer_id=period.item.subscription.customer_id,
        period_id=period.pk,
        detail=" ".join(
            f"Invoice {one.invoice_id} of {period.item.subscription.customer} bills {as_text(one.billed)} "
            f"units of {meter.slug} from {one.span.start:%Y-%m-%d %H:%M} to {one.span.end:%Y-%m-%d %H:%M} "
            f"UTC, and {as_text(one.delivered)} were reported."
            for one in differing
        ),
    )
