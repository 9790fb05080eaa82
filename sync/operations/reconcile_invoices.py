"""Compare the quantity on final invoices with what the ledger says was reported in their periods."""

from collections.abc import Iterator
from decimal import Decimal

from sync.domain.comparison import is_same
from sync.domain.quantities import as_text
from sync.domain.reconciliation import Cause
from sync.domain.timeline import Span
from sync.models import BillingPeriod, Meter
from sync.operations.reconcile_meter import Found
from sync.queries.billed_periods import BilledPeriod, billed_periods
from sync.queries.planning import Scope

BATCH = 500


def reconcile_invoices(
    meter: Meter, *, scope: Scope, span: Span
) -> Iterator[tuple[BillingPeriod, Found | None]]:
    """Yield each period whose invoice became final in the span, and what differs, or None.

    A period that comes to less than nothing bills nothing. One of whose lines it is not known how they divide
    between periods is left out. A constant number of queries for every few hundred.
    """
    final = BillingPeriod.objects.filter(
        item__meter=meter,
        item__price__meter=meter,
        finalized_at__gte=span.start,
        finalized_at__lt=span.end,
        billed_quantity__isnull=False,
    ).select_related("item__subscription__customer", "item__price", "item__meter")
    if scope.customer:
        final = final.filter(item__subscription__customer__stripe_id=scope.customer)
    periods = list(final.order_by("pk"))
    for first in range(0, len(periods), BATCH):
        page = periods[first : first + BATCH]
        for line in billed_periods(page, now=span.end):
            yield line.period, _difference(line, meter)


def _difference(line: BilledPeriod, meter: Meter) -> Found | None:
    period, billed, delivered = line.period, line.period.billed_quantity, line.delivered
    if billed is None or delivered is None:
        return None
    expected = max(delivered, Decimal(0))
    if is_same(billed, expected, decimals=meter.decimals):
        return None
    return Found(
        cause=Cause.INVOICE,
        units=expected - billed,
        customer_id=period.item.subscription.customer_id,
        period_id=period.pk,
        detail=(
            f"Invoice {period.invoice_id} of {period.item.subscription.customer} bills {as_text(billed)} "
            f"units of {meter.slug} from {period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC, "
            f"and {as_text(delivered)} were reported."
        ),
    )
