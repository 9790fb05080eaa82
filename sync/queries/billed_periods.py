"""Billing periods with what invoices say of them, beside what the ledger delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.invoices import DRAFT, VOID
from sync.domain.quantities import exact_sum
from sync.domain.timeline import Span
from sync.models import BillingPeriod, Enrolment, Invoice
from sync.queries.held_units import DELIVERED, Asked, held_units
from sync.queries.item_prices import price_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledPeriod:
    """A billing period, and how its invoice stands."""

    period: BillingPeriod
    invoice: Invoice | None
    """None also where it was not read: its id may be known from before."""
    delivered: Decimal | None
    """Units that Stripe has by the ledger; None where the item is not metered."""
    standing: str
    """How the invoice stands, in a few words."""

    @property
    def missing(self) -> Decimal | None:
        """Units that were delivered and are on no final invoice; negative if more was billed than that."""
        billed = self.period.billed_quantity
        return None if self.delivered is None or billed is None else self.delivered - billed


def billed_periods(periods: Sequence[BillingPeriod], *, now: datetime) -> list[BilledPeriod]:
    """Return a line for each period whose item and subscription are loaded, in the same order.

    A constant number of queries for a page of them.
    """
    ids = {period.invoice_id for period in periods} - {""}
    invoices = Invoice.objects.in_bulk(list(ids), field_name="stripe_id")
    delivered = delivered_units(periods)
    return [
        BilledPeriod(
            period=period,
            invoice=invoices.get(period.invoice_id),
            delivered=delivered.get(period.pk),
            standing=_standing(period, invoices.get(period.invoice_id), now),
        )
        for period in periods
    ]


def delivered_units(periods: Sequence[BillingPeriod]) -> dict[int, Decimal]:
    """Return the units of each period (local id) that Stripe surely has; none where nothing is metered.

    Items are loaded with price and subscription. A constant number of queries.
    """
    asked = _reported_in(periods)
    flat = [(pk, one) for pk, found in asked.items() for one in found]
    units = held_units([one for _pk, one in flat], counted=DELIVERED)
    sums: dict[int, list[Decimal]] = {pk: [] for pk in asked}
    for (pk, _one), found in zip(flat, units, strict=True):
        sums[pk].append(found)
    return {pk: exact_sum(found) for pk, found in sums.items()}


def _reported_in(periods: Sequence[BillingPeriod]) -> dict[int, list[Asked]]:
    """Return by which enrolments, and when, usage is reported: by two where the item changed its meter."""
    enrolments = {
        (customer, meter): pk
        for customer, meter, pk in Enrolment.objects.filter(
            customer__in={period.item.subscription.customer_id for period in periods}
        ).values_list("customer_id", "meter_id", "pk")
    }
    parts = price_parts([(period.item, Span(period.start, period.end)) for period in periods])
    found: dict[int, list[Asked]] = {}
    for period, mine in zip(periods, parts, strict=True):
        customer = period.item.subscription.customer_id
        asked = [
            Asked(pk, part.span) for part in mine if (pk := enrolments.get((customer, part.meter_id or 0)))
        ]
        if asked:
            found[period.pk] = asked
    return found


def _standing(period: BillingPeriod, invoice: Invoice | None, now: datetime) -> str:
    if invoice and invoice.status == VOID:
        return "voided"
    if period.finalized_at:
        return "final"
    if invoice and invoice.status == DRAFT:
        waits = "a draft that stays open until somebody finalizes it in Stripe"
        return waits if invoice.auto_advance is False else "a draft, open until it closes"
    if period.end > now:
        return "the period goes on"
    return "no invoice was seen yet"
