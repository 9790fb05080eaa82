"""Whether everybody was billed what they used: by the simulator's own book and Stripe's invoices.

The console's tables are asked one thing only: which units it *shows* as not billed (held, late, refused or of
unknown outcome, or dismissed by a person), and whether a finding says so.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sync.domain.reconciliation import Cause
from sync.models import Difference as InvoiceDifference
from sync.models import Finding, UsageReport
from sync.queries.swapped_usage import Fate, swapped_usage
from tests.simulation.account import Account, Period, Placed
from tests.simulation.invoices import lines_of
from tests.simulation.owner import at
from tests.simulation.player import Player

ROUNDING = Decimal("0.0000005")
"""A slice is rounded once, to six decimals."""
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
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Difference:
    """A period of an item whose invoice and shown differences do not come to what was used."""

    customer: str
    meter: str
    period: str
    used: str
    billed: Decimal
    shown: Decimal
    kind: str
    """`lost`, `doubled`, or `silent`: the difference is known, and nobody is told."""

    def __str__(self) -> str:
        """Say what is the matter."""
        return (
            f"{self.kind}: {self.customer} on {self.meter}, {self.period}: used {self.used}, "
            f"billed {self.billed}, shown as not billed {self.shown}"
        )


@dataclass(frozen=True, slots=True)
class _Shown:
    """Units of a slice that the console shows as not billed."""

    at: int
    units: Decimal
    status: str


def judge(player: Player) -> list[Difference]:
    """Return every difference that the console neither bills nor shows."""
    found: list[Difference] = []
    for customer, meter in player.account.enrolments():
        found += _judge_enrolment(player, customer, meter)
    return found


def _judge_enrolment(player: Player, customer: str, meter: str) -> Iterator[Difference]:
    account = player.account
    mine = {one.key for one in account.contracts_of(customer, meter)}
    invoices = player.world.control.invoices(customer=player.customers[customer])
    lines = [line for line in lines_of(invoices) if line.item in mine]
    shown = [*_shown(player, customer, meter), *_sent_in_vain(player, customer, meter)]
    sums = [
        (
            period,
            _sum(
                line.units
                for line in lines
                if line.item == period.item and period.start < line.end <= period.end
            ),
            _sum(one.units for one in shown if one.at in period),
        )
        for period in account.periods(customer, meter, player.now)
    ]
    placed = account.placed(customer, meter, player.now)
    bound = ROUNDING * (len(placed) + len(shown) + 1)
    dropped = {
        period.key: _sum(
            one.units
            for one in shown
            if one.status == ALONG and one.at in period and account.may_drop(period, meter=meter, at=one.at)
        )
        for period, _billed, _known in sums
    }
    shifted = _shifted(account, [period for period, _billed, _known in sums], shown)
    missed = {
        period.key: _sum(one.units for one in _on_no_invoice(player, customer, meter) if one.at in period)
        for period, _billed, _known in sums
    }
    yield from _compare(customer, meter, placed, sums, dropped, shifted, missed, bound)
    yield from _silent(customer, meter, shown)
    if account.windows[meter] != "hour":
        yield from _carried_nowhere(customer, meter, shown, bound)
    yield from _silently_repriced(account, customer, meter, placed, sums, bound)


def _shifted(
    account: Account, periods: list[Period], shown: list[_Shown]
) -> Mapping[tuple[str, int], list[Decimal]]:
    """Return by how much periods may hold less or more, as what was carried into one has the next price."""
    found: dict[tuple[str, int], list[Decimal]] = defaultdict(list)
    for one in shown:
        period = next((period for period in periods if one.at in period), None)
        following = account.repriced_as(period, periods) if period and one.status == ALONG else None
        if period and following:
            found[period.key].append(one.units)
            found[following.key].append(-one.units)
    return found


def _on_no_invoice(player: Player, customer: str, meter: str) -> Iterator[_Shown]:
    """Yield what the comparison with final invoices says was reported and is on none.

    Only where Stripe does what is not established: of all else the console has to take care. And nothing that
    is billed twice is excused.
    """
    if not player.account.switches:
        return
    found = InvoiceDifference.objects.filter(
        cause=Cause.INVOICE, units__gt=0, customer__external_key=customer, meter__event_name=meter
    )
    for one in found.select_related("period"):
        if one.period:
            yield _Shown(int(one.period.end.timestamp()) - 1, one.units, "on no invoice")


def _sent_in_vain(player: Player, customer: str, meter: str) -> Iterator[_Shown]:
    """Yield what the console says was reported and is on no invoice, as a price changed."""
    for one in swapped_usage(since=at(0)):
        found = Finding.objects.filter(kind=Finding.Kind.SWAP_NOT_BILLED, item=one.old.item)
        item, billed = one.old.item, one.old.price.meter
        is_meant = item.subscription.customer.external_key == customer and billed and billed.slug == meter
        if is_meant and one.fate is not Fate.REPRICED and one.units and found.exists():
            yield _Shown(int(one.span.end.timestamp()) - 1, one.units, "reported in vain")


def _silently_repriced(
    account: Account,
    customer: str,
    meter: str,
    placed: list[Placed],
    sums: list[tuple[Period, Decimal, Decimal]],
    bound: Decimal,
) -> Iterator[Difference]:
    """Yield what has a later price than when it was used, and no finding says so."""
    for contract in account.contracts_of(customer, meter):
        if contract.left != "swap" or contract.mode != "flexible":
            continue
        for period, on_invoice, known in sums:
            # What slips over a boundary within a minute is told to nobody.
            own = _sum(p.usage.amount for p in placed if period.start - 60 <= p.usage.at < period.end)
            told = Finding.objects.filter(kind=Finding.Kind.SWAP_REPRICED, item__stripe_id=contract.item)
            explained = on_invoice + known
            if period.start == contract.ends_at and explained > own + bound and not told.exists():
                yield Difference(customer, meter, _words(period), f"{own}", on_invoice, known, "silent")


def _sum(units: Iterable[Decimal]) -> Decimal:
    return sum(units, Decimal(0))


def _compare(
    customer: str,
    meter: str,
    placed: list[Placed],
    sums: list[tuple[Period, Decimal, Decimal]],
    dropped: Mapping[tuple[str, int], Decimal],
    shifted: Mapping[tuple[str, int], list[Decimal]],
    missed: Mapping[tuple[str, int], Decimal],
    bound: Decimal,
) -> Iterator[Difference]:
    """Compare each period, then all of them together: what may lie in either lies in one of them once.

    `dropped` are units, below zero, that were carried into a period and that Stripe may drop with it;
    `shifted` those that it may bill at the price that came next.
    `missed` is what the console found to be reported and on no invoice; of a change of price it says so
    elsewhere, too.
    """
    total = all_known = NOTHING
    for period, on_invoice, known in sums:
        must = sum((p.usage.amount for p in placed if p.places == {period.key}), Decimal(0))
        must -= sum((p.usage.amount for p in placed if period.key in p.taken_from), Decimal(0))
        may = sum((p.usage.amount for p in placed if period.key in p.places), Decimal(0))
        for units in (dropped[period.key], *shifted[period.key]):
            must, may = must + min(units, NOTHING), may + max(units, NOTHING)
        if not must - bound <= on_invoice + known <= may + bound:
            known += missed[period.key]
        total, all_known = total + on_invoice, all_known + known
        yield from _verdict(customer, meter, _words(period), must, may, on_invoice, known, bound)
    must = sum((p.usage.amount for p in placed if None not in p.places), Decimal(0))
    must -= sum((p.usage.amount for p in placed if p.taken_from), Decimal(0))
    may = sum((p.usage.amount for p in placed if p.places != {None}), Decimal(0))
    must += _sum(min(units, NOTHING) for units in dropped.values())
    may += _sum(max(units, NOTHING) for units in dropped.values())
    yield from _verdict(customer, meter, "all periods", must, may, total, all_known, bound)


def _verdict(
    customer: str,
    meter: str,
    period: str,
    must: Decimal,
    may: Decimal,
    on_invoice: Decimal,
    known: Decimal,
    bound: Decimal,
) -> Iterator[Difference]:
    explained = on_invoice + known
    if must - bound <= explained <= may + bound:
        return
    used = f"{must}" if must == may else f"{must} to {may}"
    kind = "lost" if explained < must else "doubled"
    yield Difference(customer, meter, period, used, on_invoice, known, kind)


def _words(period: Period) -> str:
    return f"{period.item} [{at(period.start):%Y-%m-%d %H:%M:%S}, {at(period.end):%Y-%m-%d %H:%M:%S})"


def _shown(player: Player, customer: str, meter: str) -> Iterator[_Shown]:
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


def _taken_along(rows: list[UsageReport]) -> Iterator[_Shown]:
    """Yield, below zero, what a slice bills for others: their rows are carried, and show it as not billed."""
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    if standing and standing[-1].carried:
        yield _Shown(int(standing[-1].event_at.timestamp()), -standing[-1].carried, ALONG)


def _unbilled(rows: list[UsageReport]) -> set[int]:
    """Return the rows that say that their slice does not bill units: they wait, or a person decided so."""
    return {
        row.pk
        for row in rows
        if row.status in (*WAITING, "carried") or (row.status == "dismissed" and row.written_off)
    }


def _of_slice(
    rows: list[UsageReport], found_in_stripe: dict[str, Decimal], unbilled: Collection[int]
) -> Iterator[_Shown]:
    """Yield what Stripe lacks of each revision that was not sent: revisions add up."""
    for row in rows:
        arrived = found_in_stripe.get(row.identifier, Decimal(0)) if row.status == "dismissed" else Decimal(0)
        if row.pk in unbilled:
            units = row.value - (arrived or row.beside or Decimal(0))
            yield _Shown(int(row.event_at.timestamp()), units, _why(row))


def _of_hour(
    rows: list[UsageReport], found_in_stripe: dict[str, Decimal], unbilled: Collection[int]
) -> Iterator[_Shown]:
    """Yield what Stripe lacks of an hour of which it keeps one value: the newest decision says so."""
    told = lacks = rest = Decimal(0)
    status = ""
    for row in rows:
        if row.status == "delivered":
            told = row.value + rest
        elif row.status == "dismissed" and row.beside is not None:
            rest = row.beside  # what Stripe holds of other hours of the same slice
        elif row.status == "held" and row.beside is not None:
            lacks, status = row.quantity - told - row.beside, _why(row)
        elif row.status == "dismissed" and row.identifier in found_in_stripe:
            told = found_in_stripe[row.identifier]
            lacks, status = row.quantity - told, row.status
        elif row.pk in unbilled:
            lacks, status = row.quantity - told, row.status
    if lacks:
        yield _Shown(int(rows[-1].event_at.timestamp()), lacks, status)


def _carried_nowhere(customer: str, meter: str, shown: list[_Shown], bound: Decimal) -> Iterator[Difference]:
    """Yield what is not billed by one slice and was not taken along by another, though it is said to be."""
    left = _sum(one.units for one in shown if one.status == "carried")
    taken = -_sum(one.units for one in shown if one.status == ALONG)
    if abs(left - taken) > bound:
        yield Difference(
            customer, meter, "carried", f"{left}", taken, NOTHING, "lost" if left > taken else "doubled"
        )


def _why(row: UsageReport) -> str:
    return "already billed" if row.status == "held" and row.beside is not None else row.status


def _silent(customer: str, meter: str, shown: list[_Shown]) -> Iterator[Difference]:
    """Yield differences that wait for a person and that no open finding names."""
    for status, kind in KINDS.items():
        units = sum((one.units for one in shown if one.status == status), Decimal(0))
        waits = any(one.status == status for one in shown)
        if waits and not Finding.objects.filter(kind=kind, resolved_at=None).exists():
            yield Difference(customer, meter, status, "", Decimal(0), units, "silent")
