"""Who used what, and on which billing period it belongs, by rules of our own from what Stripe documents.

Nothing here is imported from the console. All instants are Unix seconds.
"""

import calendar
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

MINUTE, HOUR, DAY = 60, 3600, 86_400
GRACE = HOUR
"""How long Stripe leaves a draft open.

https://docs.stripe.com/billing/subscriptions/usage-based/configure-grace-period
"""
EVENTS_KEPT = 30 * DAY
"""How long Stripe tells when something changed."""
STRIPE_TAKES = 34 * DAY
"""Older usage has no way through meter events (35 days); the console keeps a day for retries."""


def cycle(anchor: int, interval: str, number: int) -> int:
    """Return the start of the `number`-th period after the anchor; the 31st clamps to a month's last day."""
    if interval != "month":
        return anchor + number * {"day": DAY, "week": 7 * DAY}[interval]
    start = datetime.fromtimestamp(anchor, UTC)
    months = start.year * 12 + start.month - 1 + number
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch that one invoice of an item covers, and whether anything of it is billed."""

    item: str
    start: int
    end: int
    free: bool = False
    surprise: bool = False
    """Nobody could know its end before it was there: slices that were cut earlier reach over it."""
    left: str = ""
    """How the item left its price at the end of it: "swap", "move" or "replace"."""

    def __contains__(self, at: int) -> bool:
        """Whether the instant lies in it."""
        return self.start <= at < self.end

    @property
    def key(self) -> tuple[str, int]:
        """Return what it is known by."""
        return self.item, self.start


@dataclass(slots=True)
class Contract:
    """One subscription with one metered item, as the simulator made it."""

    customer: str
    meter: str
    subscription: str
    item: str
    interval: str
    created_at: int
    starts_at: int
    trial_ends_at: int | None = None
    anchors: list[tuple[int, int]] = field(default_factory=list)
    """(from, anchor): since when periods are counted from which instant."""
    ends_at: int | None = None
    end_was_known: bool = True
    discarded: bool = False
    """It was cancelled at once without an invoice: Stripe drops what its last period holds."""
    pauses: list[tuple[int, int | None]] = field(default_factory=list)
    surprises: set[int] = field(default_factory=set)
    end_set_at: int | None = None
    """When it was said that it ends in the middle of a period."""
    price: str = ""
    mode: str = "flexible"
    left: str = ""
    """How it ended, if its price changed: another of the same meter ("swap"), of another meter ("move"), or a
    new item of the same meter ("replace"). What follows is a contract of its own."""

    @property
    def key(self) -> str:
        """Return what lines of invoices name: item and price."""
        return f"{self.item} {self.price}"

    def lives_at(self, at: int) -> bool:
        """Whether it goes on at this instant."""
        return self.created_at <= at and (self.ends_at is None or at < self.ends_at)

    def periods(self, until: int) -> list[Period]:
        """Return every period that has begun by `until`, in order; the last may end later."""
        return [self._period(start, end) for start, end in self._spans(until)]

    def _spans(self, until: int) -> Iterator[tuple[int, int]]:
        start = self.starts_at
        while start <= until and (self.ends_at is None or start < self.ends_at):
            end = self._end_after(start)
            yield start, end if self.ends_at is None else min(end, self.ends_at)
            start = end

    def _end_after(self, start: int) -> int:
        if self.trial_ends_at is not None and start < self.trial_ends_at:
            return self.trial_ends_at
        since, anchor = [pair for pair in self.anchors if pair[0] <= max(start, self.anchors[0][0])][-1]
        changes = [other for other, _ in self.anchors if other > max(start, since)]
        number = 0
        while cycle(anchor, self.interval, number) <= start:
            number += 1
        while cycle(anchor, self.interval, number - 1) > start:
            number -= 1
        return min([cycle(anchor, self.interval, number), *changes])

    def _period(self, start: int, end: int) -> Period:
        return Period(
            item=self.key,
            start=start,
            end=end,
            free=self.trial_ends_at is not None and start < self.trial_ends_at,
            surprise=end in self.surprises or bool(self.left and end == self.ends_at),
            left=self.left if end == self.ends_at else "",
        )


@dataclass(slots=True)
class Usage:
    """A fact of OpenMeter: so many units at an instant, known since `known_at`."""

    customer: str
    meter: str
    at: int
    amount: Decimal
    known_at: int
    gone_at: int | None = None
    """When OpenMeter deleted it again."""

    @property
    def changed_at(self) -> int:
        """Return when OpenMeter's answer about its instant last changed for it."""
        return self.known_at if self.gone_at is None else self.gone_at


@dataclass(frozen=True, slots=True)
class Placed:
    """Usage with the periods that it may be billed in. None among them: it may also be on no invoice."""

    usage: Usage
    places: frozenset[tuple[str, int] | None]
    rule: str
    """Why it is not simply on the period that holds its instant, or ""."""
    taken_from: frozenset[tuple[str, int] | None] = frozenset()
    """Periods that it may be shown as taken back from, though Stripe never billed it there."""


@dataclass(slots=True)
class Account:
    """The simulator's own book."""

    windows: dict[str, str] = field(default_factory=dict)
    """Meter → "" where Stripe adds values up, "hour" where it keeps one an hour."""
    contracts: list[Contract] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    looks_back: list[int] = field(default_factory=list)
    """When the console compared the days of everything with OpenMeter, or a person had it measured again."""

    denied_until: int = 0
    """Until when OpenMeter answered as if nothing had ever been used."""
    looks_at_stripe: list[int] = field(default_factory=list)
    """When the console read all of Stripe."""
    switches: dict[str, str] = field(default_factory=dict)
    """What Stripe does where it is not established, if it is not what the sandbox does by itself."""

    def contracts_of(self, customer: str, meter: str) -> list[Contract]:
        """Return what bills a customer on a meter, oldest first."""
        return [one for one in self.contracts if (one.customer, one.meter) == (customer, meter)]

    def enrolments(self) -> list[tuple[str, str]]:
        """Return everybody who is, or was, billed on something."""
        return sorted({(one.customer, one.meter) for one in self.contracts})

    def periods(self, customer: str, meter: str, until: int) -> list[Period]:
        """Return all periods of a customer on a meter, in order."""
        found = [period for one in self.contracts_of(customer, meter) for period in one.periods(until)]
        return sorted(found, key=lambda period: period.start)

    def placed(self, customer: str, meter: str, until: int) -> list[Placed]:
        """Return where each of a customer's usage belongs."""
        periods = self.periods(customer, meter, until)
        mine = [one for one in self.usage if (one.customer, one.meter) == (customer, meter)]
        placed = [self._place(one, periods) for one in mine]
        placed = [
            self._out_of_reach(one) if one.usage.gone_at or one.usage.changed_at > one.usage.at else one
            for one in placed
        ]
        if self._denied(meter):
            rule = "OpenMeter knew of no usage of its meter, until Stripe did not take it any more"
            placed = [replace(one, places=one.places | {None}, rule=rule) for one in placed]
        return placed

    def _denied(self, meter: str) -> bool:
        """Whether nothing of a meter was ever measured before an answer that there was nothing."""
        mine = [one.at for one in self.usage if one.meter == meter and one.at < self.denied_until]
        looks = [look for look in self.looks_back if look >= self.denied_until]
        return bool(mine) and not any(max(mine) > look - STRIPE_TAKES for look in looks)

    def _out_of_reach(self, one: Placed) -> Placed:
        """Place what OpenMeter learned of, or deleted, when its hour may have been measured already."""
        at, changed_at = one.usage.at, one.usage.changed_at
        may_lack = None in one.places and one.usage.gone_at is not None
        never_billed = one.places - {None} if may_lack else frozenset()
        if any(changed_at <= look and at > look - STRIPE_TAKES + 3 * HOUR for look in self.looks_back):
            if one.usage.gone_at is None:
                return one
            return Placed(one.usage, frozenset([None]), "deleted", never_billed)
        rule = "changed when nobody could look so far back"
        return Placed(one.usage, one.places | {None}, rule, never_billed)

    def _place(self, one: Usage, periods: list[Period]) -> Placed:
        step = HOUR if self.windows[one.meter] == "hour" else MINUTE
        index = next((n for n, p in enumerate(periods) if p.start <= one.at < p.end), None)
        if index is None:
            return self._outside(one)
        period = periods[index]
        if period.free:
            return Placed(one, frozenset([None]), "used in a trial")
        placed = self._repriced(self._slip(one, periods, index, step), periods, index)
        placed = self._straddled(placed, periods)
        placed = self._anywhere_unseen(placed, periods)
        rules = [rule for rule in self._rules(one, periods, placed.places, step) if rule]
        return Placed(one, placed.places | {None}, rules[0]) if rules else placed

    def _repriced(self, placed: Placed, periods: list[Period], index: int) -> Placed:
        """Let usage from before a change to a price of the same meter have the new one, if reported after it.

        In flexible billing mode; so is what a new item bills that takes an old one's place.
        https://docs.stripe.com/billing/subscriptions/usage-based/manage-billing
        """
        following = self.repriced_as(periods[index], periods)
        if following is None:
            return placed
        return Placed(placed.usage, placed.places | {following.key}, "reported after its price had changed")

    def repriced_as(self, period: Period, periods: list[Period]) -> Period | None:
        """Return the period whose price Stripe gives what is reported of this one once that is over."""
        following = next((p for p in periods if p.start == period.end), None)
        contract = next(contract for contract in self.contracts if contract.key == period.item)
        changed = period.left in ("swap", "replace") and contract.mode == "flexible"
        return following if changed else None

    def _straddled(self, placed: Placed, periods: list[Period]) -> Placed:
        """Let an hour of one value that a boundary cuts lie on either side of it, where Stripe may do so."""
        first = placed.usage.at - placed.usage.at % HOUR
        sides = {
            key
            for period in periods
            if first <= period.start < first + HOUR
            for earlier in [self.straddled_from(period, periods, meter=placed.usage.meter, at=period.start)]
            if earlier
            for key in (earlier.key, period.key)
        }
        if not placed.places & sides:
            return placed
        return Placed(placed.usage, placed.places | sides, "its hour lies in two periods")

    def straddled_from(self, period: Period, periods: list[Period], *, meter: str, at: int) -> Period | None:
        """Return the period that an hour begins in and that Stripe may bill it in, if it ends in this one."""
        starts_it = self.switches.get("straddling_hour_window") == "start"
        if not starts_it or self.windows[meter] != "hour" or at - at % HOUR >= period.start:
            return None
        return next((one for one in periods if one.end == period.start), None)

    def _anywhere_unseen(self, placed: Placed, periods: list[Period]) -> Placed:
        """Let usage of an unseen period lie in any other: where an anchor moved, their ends are guessed."""
        moved = {one.key for one in self.contracts if one.surprises}
        unseen = {period.key for period in periods if period.item in moved and self._is_unseen(period)}
        if not placed.places & unseen:
            return placed
        return Placed(placed.usage, placed.places | unseen, "a period that nobody saw")

    def _rules(
        self, one: Usage, periods: list[Period], places: Collection[tuple[str, int] | None], step: int
    ) -> Iterator[str]:
        """Yield why Stripe may bill nothing of one of these periods."""
        for period in periods:
            if period.key in places:
                contract = next(contract for contract in self.contracts if contract.key == period.item)
                yield _paused(contract, one.at, period, step)
                yield _dropped(contract, period)
                yield self._discarded(contract, period)
                yield self._change_undated(contract, one.at, period)

    def _discarded(self, contract: Contract, period: Period) -> str:
        """Say whether Stripe drops what a period holds that a set end cuts short: it is not established."""
        drops = self.switches.get("cancel_at_mid_period") == "discarded"
        if drops and contract.end_set_at is not None and period.end == contract.ends_at:
            return "cancelled in mid-period, and dropped"
        return ""

    def may_drop(self, period: Period, *, meter: str, at: int) -> bool:
        """Whether Stripe may bill nothing of what lies at an instant of this period."""
        there = Usage("", meter, at, Decimal(0), at)
        step = HOUR if self.windows[meter] == "hour" else MINUTE
        return any(self._rules(there, [period], {period.key}, step))

    def closed_unseen(self, period: Period) -> bool:
        """Whether nobody read Stripe in time to know how a period ends.

        What is sent then may be on no invoice. Only the comparison with final invoices can say so.
        """
        contract = next(contract for contract in self.contracts if contract.key == period.item)
        return (
            self._ended_unseen(period)
            or self._end_unheard(contract, period)
            or any(self._is_unseen(other) for other in contract.periods(period.start) if contract.surprises)
        )

    def may_bill_in_vain(self, until: int) -> bool:
        """Whether something may have reached Stripe that is on no invoice, by nobody's fault."""
        periods = (period for contract in self.contracts for period in contract.periods(until))
        return bool(self.switches) or any(map(self.closed_unseen, periods))

    def _ended_unseen(self, period: Period) -> bool:
        """Whether nobody read Stripe between an end that came as a surprise and its final invoice."""
        in_time = any(period.end <= look < period.end + GRACE for look in self.looks_at_stripe)
        return period.surprise and not period.left and not in_time

    def _end_unheard(self, contract: Contract, period: Period) -> bool:
        """Whether nobody read, before its final invoice, that a period ends early."""
        said_at = contract.end_set_at
        if said_at is None or period.end != contract.ends_at:
            return False
        return not any(said_at <= look < period.end + GRACE for look in self.looks_at_stripe)

    def _is_unseen(self, period: Period) -> bool:
        return not any(look in period for look in self.looks_at_stripe)

    def _change_undated(self, contract: Contract, at: int, period: Period) -> str:
        """Say whether a price changed so long before the next read that Stripe's events of it were gone."""
        for other in self.contracts:
            changed_at = other.ends_at
            if not other.left or changed_at is None or other.subscription != contract.subscription:
                continue
            seen_at = min((look for look in self.looks_at_stripe if look >= changed_at), default=None)
            if seen_at is not None and seen_at < changed_at + EVENTS_KEPT:
                continue
            is_before = other is contract and period.end == changed_at
            is_after = contract.starts_at == changed_at and (seen_at is None or at < seen_at)
            if is_before or is_after:
                return "its price changed when nobody read Stripe for a month: a finding says so"
        return ""

    def _outside(self, one: Usage) -> Placed:
        """Place what nobody is billed for."""
        return Placed(one, frozenset([None]), "used without a subscription")

    def _slip(self, one: Usage, periods: list[Period], index: int, step: int) -> Placed:
        """Place what lies just before a boundary: between two billed periods it slips into the next.

        OpenMeter is asked by minutes there (by hours where Stripe keeps one value an hour).
        """
        period = periods[index]
        following = periods[index + 1] if index + 1 < len(periods) else None
        goes_on = following is not None and following.start == period.end and not following.free
        if goes_on and following and one.at >= period.end - period.end % step:
            return Placed(one, frozenset([following.key]), "slipped over the boundary")
        if goes_on and following and period.surprise and one.at >= period.end - period.end % DAY:
            return Placed(one, frozenset([period.key, following.key]), "a boundary that nobody knew")
        before = periods[index - 1] if index else None
        if before and before.surprise and before.end == period.start and one.at < _next(period.start, DAY):
            places = [period.key] if before.free else [before.key, period.key]
            return Placed(one, frozenset(places), "a boundary that nobody knew")
        return Placed(one, frozenset([period.key]), "")


def _next(at: int, step: int) -> int:
    return at - at % step + step


def _paused(contract: Contract, at: int, period: Period, step: int) -> str:
    """Say whether usage lies in or near a pause, whose instants Stripe tells nobody."""
    for begun, end in contract.pauses:
        if begun - begun % max(step, DAY) <= at and (end is None or at < _next(end, DAY)):
            return "used in or near a pause"
        if begun <= period.end and (end is None or period.end <= end):
            return "the subscription was paused when its period ended"
    return ""


def _dropped(contract: Contract, period: Period) -> str:
    """Say whether Stripe bills nothing of a period because of how its subscription ended.

    https://docs.stripe.com/billing/subscriptions/cancel
    """
    if contract.ends_at is None or contract.left:
        return ""
    if contract.discarded and contract.ends_at == period.end:
        return "cancelled at once, without an invoice"
    if period.end < contract.ends_at <= period.end + GRACE:
        return "its invoice was a draft when the subscription ended, and stays one"
    return ""
