"""Whether everybody was billed what they used: by the simulator's own book and Stripe's invoices.

The console's tables are asked one thing only: which units it *shows* as not billed (held, late, refused or of
unknown outcome, or dismissed by a person), and whether a finding says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from sync.models import Finding
from tests.simulation.account import Account, Period, Placed
from tests.simulation.invoices import Line, lines_of
from tests.simulation.owner import at
from tests.simulation.player import Player
from tests.simulation.shown import ALONG, KINDS, Shown, on_no_invoice, sent_in_vain, shown_units

ROUNDING = Decimal("0.0000005")
"""A slice is rounded once, to six decimals."""
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


def judge(player: Player) -> list[Difference]:
    """Return every difference that the console neither bills nor shows."""
    found: list[Difference] = []
    for customer, meter in player.account.enrolments():
        found += _judge_enrolment(player, customer, meter)
    return found


def _judge_enrolment(player: Player, customer: str, meter: str) -> Iterator[Difference]:
    case = _case(player, customer, meter)
    yield from case.differences()
    yield from _silent(case)
    if not case.sets_hours:
        yield from _carried_nowhere(case)
    yield from _silently_repriced(case)


def _case(player: Player, customer: str, meter: str) -> "_Case":
    account = player.account
    invoices = player.world.control.invoices(customer=player.customers[customer])
    periods = account.periods(customer, meter, player.now)
    found = (*shown_units(player, customer, meter), *sent_in_vain(customer, meter))
    shown = [one for one in (_in_a_period(one, periods) for one in found) if one]
    placed = account.placed(customer, meter, player.now)
    return _Case(
        account=account,
        customer=customer,
        meter=meter,
        periods=periods,
        placed=placed,
        lines=lines_of(invoices),
        shown=shown,
        in_vain=list(on_no_invoice(customer, meter)),
        bound=ROUNDING * (len(placed) + len(shown) + 1),
    )


def _in_a_period(one: Shown, periods: list[Period]) -> Shown | None:
    """Place what a slice shows that reaches over the end of the last period.

    What was reported after that end is on no invoice, so that nothing of it is to be taken back.
    """
    if one.since is None or any(one.at in period for period in periods):
        return one
    return replace(one, at=one.since) if one.units > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Everything that is known of a customer on a meter."""

    account: Account
    customer: str
    meter: str
    periods: list[Period]
    placed: list[Placed]
    lines: list[Line]
    shown: list[Shown]
    in_vain: list[Shown]
    """What the comparison with final invoices says was reported and is on none."""
    bound: Decimal

    @property
    def sets_hours(self) -> bool:
        return self.account.windows[self.meter] == "hour"

    def differences(self) -> Iterator[Difference]:
        """Compare each period, then all of them together: what may lie in either lies in one of them once."""
        dropped, moved = self._dropped(), self._moved()
        total = all_known = used_up = NOTHING
        for period in self.periods:
            on_invoice, known = self.billed(period), self.known(period)
            must, may = self._bounds(period, [dropped[period.key], *moved[period.key]])
            lacks = must - on_invoice - known
            if lacks > self.bound:
                in_vain = self._in_vain(period)
                # Where nobody saw how periods end, it may be said of another one.
                found = min(in_vain, lacks) if self.account.closed_unseen(period) else in_vain
                known, used_up = known + found, used_up + found
            total, all_known = total + on_invoice, all_known + known
            yield from self._verdict(_words(period), must, may, on_invoice, known)
        must, may = self._bounds_of_all(dropped)
        # Where usage may lie in either of two periods, only all of them together need it.
        rest = max(self._all_in_vain() - used_up, NOTHING)
        all_known += min(rest, max(must - total - all_known, NOTHING))
        yield from self._verdict("all periods", must, may, total, all_known)

    def billed(self, period: Period) -> Decimal:
        """Return the units on the period's invoices."""
        mine = [line for line in self.lines if line.item == period.item]
        return _sum(line.units for line in mine if period.start < line.end <= period.end)

    def known(self, period: Period) -> Decimal:
        """Return the units that are shown as not billed; those of a trial are nobody's loss."""
        return NOTHING if period.free else _sum(one.units for one in self.shown if one.at in period)

    def _bounds(self, period: Period, also: Iterable[Decimal]) -> tuple[Decimal, Decimal]:
        must = _sum(p.usage.amount for p in self.placed if p.places == {period.key})
        must -= _sum(p.usage.amount for p in self.placed if period.key in p.taken_from)
        may = _sum(p.usage.amount for p in self.placed if period.key in p.places)
        return _widened(must, may, also)

    def _bounds_of_all(self, dropped: Mapping[tuple[str, int], Decimal]) -> tuple[Decimal, Decimal]:
        must = _sum(p.usage.amount for p in self.placed if None not in p.places)
        must -= _sum(p.usage.amount for p in self.placed if p.taken_from)
        may = _sum(p.usage.amount for p in self.placed if p.places != {None})
        return _widened(must, may, dropped.values())

    def _dropped(self) -> Mapping[tuple[str, int], Decimal]:
        """Return, below zero, what was carried into each period or taken off it, and is dropped with it."""
        return {
            period.key: _sum(
                one.units
                for one in self.shown
                if one.units < 0
                and one.at in period
                and self.account.may_drop(period, meter=self.meter, at=one.at)
            )
            for period in self.periods
        }

    def _moved(self) -> Mapping[tuple[str, int], list[Decimal]]:
        """Return by how much periods may hold less or more: what was carried into one is billed in another.

        It has the next price, lies in an hour that began in the period before, or in a period that was over
        when nobody could know.
        """
        found: dict[tuple[str, int], list[Decimal]] = defaultdict(list)
        for one in self.shown:
            period = next((period for period in self.periods if one.at in period), None)
            if period is None or one.status != ALONG:
                continue
            following = self.account.repriced_as(period, self.periods)
            earlier = self.account.straddled_from(period, self.periods, meter=self.meter, at=one.at)
            for other in (following, earlier):
                if other:
                    found[period.key].append(one.units)
                    found[other.key].append(-one.units)
            if self.account.closed_unseen(period):
                found[period.key].append(one.units)
        return found

    def _in_vain(self, period: Period) -> Decimal:
        """Return what the comparison with invoices says of a period, as far as it may have to.

        Of all else the console has to take care that nothing is reported in vain. Of a change of price it
        says so elsewhere, too.
        """
        periods = [period]
        if self.account.closed_unseen(period):
            periods = [other for other in self.periods if other.item == period.item]
        elif not self.account.switches:
            return NOTHING
        return _sum(one.units for one in self.in_vain if any(one.at in other for other in periods))

    def _all_in_vain(self) -> Decimal:
        may_be = [p for p in self.periods if self.account.switches or self.account.closed_unseen(p)]
        return _sum(one.units for one in self.in_vain if any(one.at in period for period in may_be))

    def _verdict(
        self, period: str, must: Decimal, may: Decimal, on_invoice: Decimal, known: Decimal
    ) -> Iterator[Difference]:
        explained = on_invoice + known
        if must - self.bound <= explained <= may + self.bound:
            return
        used = f"{must}" if must == may else f"{must} to {may}"
        kind = "lost" if explained < must else "doubled"
        yield Difference(self.customer, self.meter, period, used, on_invoice, known, kind)


def _widened(must: Decimal, may: Decimal, by: Iterable[Decimal]) -> tuple[Decimal, Decimal]:
    units = list(by)
    return must + _sum(min(one, NOTHING) for one in units), may + _sum(max(one, NOTHING) for one in units)


def _silently_repriced(case: _Case) -> Iterator[Difference]:
    """Yield what has a later price than when it was used, and no finding says so."""
    for contract in case.account.contracts_of(case.customer, case.meter):
        if contract.left != "swap" or contract.mode != "flexible":
            continue
        for period in case.periods:
            # What slips over a boundary within a minute is told to nobody.
            own = _sum(p.usage.amount for p in case.placed if period.start - 60 <= p.usage.at < period.end)
            told = Finding.objects.filter(kind=Finding.Kind.SWAP_REPRICED, item__stripe_id=contract.item)
            on_invoice, known = case.billed(period), case.known(period)
            explained = on_invoice + known
            if period.start == contract.ends_at and explained > own + case.bound and not told.exists():
                yield Difference(
                    case.customer, case.meter, _words(period), f"{own}", on_invoice, known, "silent"
                )


def _sum(units: Iterable[Decimal]) -> Decimal:
    return sum(units, Decimal(0))


def _words(period: Period) -> str:
    return f"{period.item} [{at(period.start):%Y-%m-%d %H:%M:%S}, {at(period.end):%Y-%m-%d %H:%M:%S})"


def _carried_nowhere(case: _Case) -> Iterator[Difference]:
    """Yield what is not billed by one slice and was not taken along by another, though it is said to be."""
    left = _sum(one.units for one in case.shown if one.status == "carried")
    taken = -_sum(one.units for one in case.shown if one.status == ALONG)
    if abs(left - taken) > case.bound:
        kind = "lost" if left > taken else "doubled"
        yield Difference(case.customer, case.meter, "carried", f"{left}", taken, NOTHING, kind)


def _silent(case: _Case) -> Iterator[Difference]:
    """Yield differences that wait for a person and that no open finding names."""
    for status, kind in KINDS.items():
        mine = [one.units for one in case.shown if one.status == status]
        if mine and not Finding.objects.filter(kind=kind, resolved_at=None).exists():
            yield Difference(case.customer, case.meter, status, "", NOTHING, _sum(mine), "silent")
