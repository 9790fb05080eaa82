"""Find usage that Stripe bills otherwise than when it was used, as a price changed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from sync.domain.quantities import as_text
from sync.models import Finding, Price, StripeAccount
from sync.operations.record_findings import FoundIssue, record_findings
from sync.queries.swapped_usage import Fate, SwappedUsage, swapped_usage

LOOK_BACK = timedelta(days=40)
"""A period, and until its invoice is surely final."""
KINDS = {
    Fate.NOT_BILLED: Finding.Kind.SWAP_NOT_BILLED,
    Fate.AFTER_THE_END: Finding.Kind.SWAP_NOT_BILLED,
    Fate.REPRICED: Finding.Kind.SWAP_REPRICED,
}


def record_swapped(*, now: datetime) -> int:
    """Usage that was reported around a change of price, and what Stripe makes of it, has its finding.

    What a person has resolved comes back only where there are more units than that person saw.
    """
    mark = StripeAccount.objects.values_list("events_read_through", flat=True).first()
    # What happened while nobody read Stripe counts as new.
    since = min(now, mark or now) - LOOK_BACK
    found = [_issue(one, units) for one in swapped_usage(since=since) if (units := one.units)]
    said = Finding.objects.filter(kind__in=KINDS.values(), resolved_at__isnull=False)
    told = set(said.filter(fingerprint__in=[one.fingerprint for one in found]).values_list("kind", "message"))
    return record_findings([one for one in found if (one.kind.value, one.message) not in told], now=now)


def _issue(one: SwappedUsage, units: Decimal) -> FoundIssue:
    item, meter = one.old.item, one.old.price.meter
    return FoundIssue(
        kind=KINDS[one.fate],
        fingerprint=f"{item.stripe_id}:{int(one.span.end.timestamp())}",
        message=" ".join(_sentences(one, units)),
        customer_id=item.subscription.customer_id,
        meter_id=meter.pk if meter else None,
        item_id=item.pk,
    )


def _sentences(one: SwappedUsage, units: Decimal) -> Iterator[str]:
    item, meter, at = one.old.item, one.old.price.meter, f"{one.span.end:%Y-%m-%d %H:%M:%S} UTC"
    whose = f"{item.stripe_id} of {item.subscription.customer}"
    most = "Up to " if one.is_rough else ""
    what = f"{most}{as_text(units)} units of {meter.slug if meter else 'a meter'}"
    worth = _amount(one.old.price, units)
    if one.fate is Fate.AFTER_THE_END:
        yield f"The price of item {whose} changed in its period, which ended at {at}."
        yield f"{what} reached Stripe after that end: they are on no invoice ({worth})."
        return
    took_over = one.new and one.new.item_id != item.pk
    became = f"changed from {one.old.price} to {one.new.price}" if one.new else "was taken off"
    if one.new and took_over:
        became = f"was taken off, and {one.new.item.stripe_id} at {one.new.price} took its place,"
    yield f"Item {whose} {became} at {at}."
    # Of an item that took another's place that is not documented.
    bills = "Stripe probably bills" if took_over else "Stripe bills"
    if one.fate is Fate.REPRICED and one.new:
        yield (
            f"{what} were used before and reported after: {bills} {_amount(one.new.price, units)} for "
            f"them; at the price when they were used it is {worth}."
        )
    elif item.subscription.billing_mode == "flexible":
        yield f"{what} were used before and reached Stripe too late: they are on no invoice ({worth})."
    else:
        yield (
            f"{what} were used and reported before: in classic billing mode Stripe bills nothing of what was "
            f"used in the period before such a change ({worth})."
        )


def _amount(price: Price, units: Decimal) -> str:
    """Return what units cost for themselves; where the price has tiers that depends on all of the period."""
    if not price.terms.is_known:
        return "an amount that is not known"
    text = price.terms.amount(abs(units)).text
    if units < 0:
        text = f"-{text}"
    return text if price.terms.is_linear else f"about {text}"
