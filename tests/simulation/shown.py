"""What the console shows as not billed: held, late, refused or of unknown outcome, dismissed, or in vain.

The console's tables are asked nothing else.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal

from sync.domain.reconciliation import Cause
from sync.models import Difference, Finding, UsageReport
from sync.queries.swapped_usage import Fate, swapped_usage
from tests.simulation.owner import at
from tests.simulation.player import Player

KINDS = {
    "held": Finding.Kind.BRAKE,
    "already billed": Finding.Kind.ALREADY_BILLED,
    "late": Finding.Kind.LATE,
    "rejected": Finding.Kind.REJECTED,
    "unknown": Finding.Kind.UNKNOWN_OUTCOME,
}
WAITING = tuple(KINDS)
ALONG = "along"
"""Stands for what a slice bills for others."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Units of a slice that the console shows as not billed."""

    at: int
    units: Decimal
    status: str
    since: int | None = None
    """When its slice begins, which may reach over the end of the last period."""


def shown_units(player: Player, customer: str, meter: str) -> Iterator[Shown]:
    """Yield what the console shows as not billed, slice by slice."""
    rows = UsageReport.objects.filter(
        enrolment__customer__external_key=customer, enrolment__meter__event_name=meter
    ).order_by("slice_start", "revision")
    slices: dict[object, list[UsageReport]] = defaultdict(list)
    for row in rows:
        slices[row.slice_start].append(row)
    sets_hours = player.account.windows[meter] == "hour"
    for mine in slices.values():
        lacking = _of_hour if sets_hours else _of_slice
        yield from lacking(mine, player.found_in_stripe, _unbilled(mine))
        yield from _taken_along(mine)


def _taken_along(rows: list[UsageReport]) -> Iterator[Shown]:
    """Yield, below zero, what a slice bills for others: their rows are carried, and show it as not billed."""
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    if standing and standing[-1].carried:
        yield _shown_of(standing[-1], -standing[-1].carried, ALONG)


def _shown_of(row: UsageReport, units: Decimal, status: str) -> Shown:
    return Shown(int(row.event_at.timestamp()), units, status, int(row.slice_start.timestamp()))


def _unbilled(rows: list[UsageReport]) -> set[int]:
    """Return the rows that say that their slice does not bill units: they wait, or a person decided so."""
    return {
        row.pk
        for row in rows
        if row.status in (*WAITING, "carried") or (row.status == "dismissed" and row.written_off)
    }


def _of_slice(
    rows: list[UsageReport], found_in_stripe: dict[str, Decimal], unbilled: Collection[int]
) -> Iterator[Shown]:
    """Yield what Stripe lacks of each revision that was not sent: revisions add up."""
    for row in rows:
        arrived = found_in_stripe.get(row.identifier, Decimal(0)) if row.status == "dismissed" else Decimal(0)
        if row.pk in unbilled:
            units = row.value - (arrived or row.beside or Decimal(0))
            yield _shown_of(row, units, _why(row))


def _of_hour(
    rows: list[UsageReport], found_in_stripe: dict[str, Decimal], unbilled: Collection[int]
) -> Iterator[Shown]:
    """Yield what Stripe lacks of an hour of which it keeps one value: the newest decision says so."""
    own = told = lacks = rest = Decimal(0)
    status = ""
    for row in rows:
        if row.status == "delivered":
            own, told = row.value, row.value + rest
        elif row.status == "dismissed" and row.beside is not None:
            rest = row.beside  # what Stripe holds of other hours of the same slice
            told = own + rest
        elif row.status == "held" and row.beside is not None:
            lacks, status = row.quantity - told - row.beside, _why(row)
        elif row.status == "dismissed" and row.identifier in found_in_stripe:
            own = told = found_in_stripe[row.identifier]
            lacks, status = row.quantity - told, row.status
        elif row.pk in unbilled:
            lacks, status = row.quantity - told, row.status
    if lacks:
        yield _shown_of(rows[-1], lacks, status)


def _why(row: UsageReport) -> str:
    return "already billed" if row.status == "held" and row.beside is not None else row.status


def sent_in_vain(customer: str, meter: str) -> Iterator[Shown]:
    """Yield what the console says was reported and is on no invoice, as a price changed."""
    for one in swapped_usage(since=at(0)):
        found = Finding.objects.filter(kind=Finding.Kind.SWAP_NOT_BILLED, item=one.old.item)
        item, billed = one.old.item, one.old.price.meter
        is_meant = item.subscription.customer.external_key == customer and billed and billed.slug == meter
        if is_meant and one.fate is not Fate.REPRICED and one.units and found.exists():
            yield Shown(int(one.span.end.timestamp()) - 1, one.units, "reported in vain")


def on_no_invoice(customer: str, meter: str) -> Iterator[Shown]:
    """Yield what the comparison with final invoices says was reported and is on none.

    Nothing that is billed twice is among it.
    """
    found = Difference.objects.filter(
        cause=Cause.INVOICE, units__gt=0, customer__external_key=customer, meter__event_name=meter
    )
    for one in found.select_related("period"):
        if one.period:
            yield Shown(int(one.period.end.timestamp()) - 1, one.units, "on no invoice")
