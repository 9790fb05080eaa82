"""Billing periods with what invoices say of them, beside what the ledger delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.invoices import DRAFT, VOID
from sync.domain.quantities import exact_sum
from sync.domain.timeline import Span
from sync.models import BillingPeriod, Enrolment, Invoice, SubscriptionItem
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
    found = delivered_in([(period.item, Span(period.start, period.end)) for period in periods])
    return {period.pk: units for period, units in zip(periods, found, strict=True) if units is not None}


def delivered_in(stretches: Sequence[tuple[SubscriptionItem, Span]]) -> list[Decimal | None]:
    """Return what Stripe surely has of each stretch of an item's time; None where it is not metered.

    Items are loaded with price and subscription. A constant number of queries.
    """
    asked = _reported_in(stretches)
    units = iter(held_units([one for mine in asked for one in mine], counted=DELIVERED))
    return [exact_sum([next(units) for _ in mine]) if mine else None for mine in asked]


def _reported_in(stretches: Sequence[tuple[SubscriptionItem, Span]]) -> list[list[Asked]]:
    """Return by which enrolments, and when, usage is reported: by two where the item changed its meter."""
    customers = {item.subscription.customer_id for item, _span in stretches}
    enrolments = {
        (customer, meter): pk
        for customer, meter, pk in Enrolment.objects.filter(customer__in=customers).values_list(
            "customer_id", "meter_id", "pk"
        )
    }
    return [
        [
            Asked(pk, part.span)
            for part in parts
            if (pk := enrolments.get((item.subscription.customer_id, part.meter_id or 0)))
        ]
        for (item, _span), parts in zip(stretches, price_parts(stretches), strict=True)
    ]


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
