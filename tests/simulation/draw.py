"""Invents lives: random ones that keep to the instants at which something goes wrong.

A `Random` decides, so that a seed, or hypothesis, can: `st.randoms(use_true_random=False)`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import TypeVar

from tests.simulation.account import DAY, HOUR, MINUTE, Contract
from tests.simulation.script import Act, Life

T = TypeVar("T")

STARTS = (
    "2026-01-31T10:30:17",
    "2026-01-15T00:00:00",
    "2026-02-28T23:59:30",
    "2026-03-10T09:00:00",
    "2026-05-31T23:00:01",
    "2026-10-24T12:34:56",
)
SWITCHES = {
    "event_at_period_end": "this",
    "straddling_hour_window": "start",
    "first_period_invoice_finalizes": "at_once",
    "change_invoice_finalizes": "at_once",
    "cancel_at_mid_period": "discarded",
    "usage_before_pause": "dropped",
    "window_revised_after_price_change": "whole",
    "graduated_lines": "each_tier",
}
"""What Stripe may do as well where it is not established what it does."""
SWAPS = ("swap", "replace", "move")
CUSTOMERS = (*(1,) * 14, *(2,) * 8, 3, 3, 3, 4, 5, 6, 8, 20)
"""How many a life has: most of what goes wrong needs one."""
MOST_WORK, MOST_WORK_WHEN_BUSY = 10, 40
POINTS = (
    "mirrored",
    "measuring",
    "measured",
    "planned",
    "stored",
    "claimed",
    "marked",
    "sent",
    "answered",
    "settled",
    "released",
)
FAULTS = ("429", "409", "500", "500 store=1", "503", "503 store=1", "cut-before", "cut-after", "refused")


def draw_life(random: Random) -> Life:
    """Return a life of 1 to 20 customers over one to three months."""
    return _Drawing(random).life()


class _Drawing:
    """One life as it is being invented."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.acts: list[Act] = []
        start = datetime.fromisoformat(f"{self.pick(STARTS)}+00:00")
        self.start = int(start.timestamp())
        self.end = self.start + random.randint(25, 75) * DAY
        self.busy = self.chance(2)
        """Whether far more happens than in most lives: some hundred reports."""
        self.contracts: list[Contract] = []
        self.meters: list[str] = []
        self.swaps: list[int] = []

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.random.randrange(len(choices))]

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def add(self, at: int, what: str, *args: object) -> None:
        self.acts.append(Act(max(at, self.start), what, tuple(str(arg) for arg in args if arg != "")))

    def life(self) -> Life:
        """Return it, acts in order; what happens at one instant stays in the order in which it was added."""
        for name, value in SWITCHES.items():
            if self.chance(20):
                self.add(self.start, "switch", name, value)
        for number in range(self.pick((1, 1, 1, 2))):
            self.meters.append(f"m{number}")
            self.add(self.start, "meter", f"m{number}", "window=hour" if self.chance(35) else "")
        self.add(self.start, "sync")
        for number in range(self.pick(CUSTOMERS)):
            self._customer(f"c{number}")
        instants = self._interesting()
        self._use(instants)
        self._work(instants)
        if self.chance(25):
            self.add(self.start, "carry")
        return Life(tuple(sorted(self.acts, key=lambda act: act.at)))

    # --- customers -----------------------------------------------------------------------------------------

    def _customer(self, name: str) -> None:
        meter = self.pick([one for one in self.meters if not one.endswith("b")])
        begins = self.start + (0 if self.chance(50) else self.random.randrange(20 * DAY))
        ends = self._contract(name, meter, begins)
        if ends is not None and self.chance(40):
            self._contract(name, meter, ends + self.pick((1, 90, HOUR, 5 * DAY)))

    def _contract(self, name: str, meter: str, begins: int) -> int | None:
        """Add a subscription and what becomes of it; return when it ends, as far as that is known."""
        every = self.pick(("month", "month", "month", "week", "day"))
        trial = self.pick((0, 0, 0, 0, 3, 14))
        back = self.random.randrange(10 * DAY) if not trial and self.chance(8) else 0
        length = {"month": 28 * DAY, "week": 7 * DAY, "day": DAY}[every]
        anchor = self.random.randrange(1, length) if not trial and not back and self.chance(20) else 0
        change = self.pick(("", "", "", "cancel", "cancel", "anchor", "pause", *SWAPS))
        mode = "classic" if change in SWAPS and not back and self.chance(30) else ""
        options = {"every": every, "trial": trial, "back": back, "anchor": anchor, "mode": mode}
        self.add(begins, "subscribe", name, meter, *(f"{k}={v}" for k, v in options.items() if v))
        trial_end = begins + trial * DAY if trial else None
        first = begins + anchor if anchor else trial_end or begins
        contract = Contract(
            name,
            meter,
            "",
            f"{name}{meter}{begins}",
            every,
            begins,
            begins - back,
            trial_end,
            [(begins, first)],
        )
        self.contracts.append(contract)
        later = begins + self.random.randrange(3 * HOUR, 40 * DAY)
        if change == "cancel":
            return self._cancel(contract, later)
        if change == "pause":
            self.add(later, "pause", name, meter)
            if self.chance(80):
                self.add(later + self.random.randrange(HOUR, 15 * DAY), "resume", name, meter)
        elif change == "anchor":
            self.add(later, "anchor", name, meter)
            contract.anchors.append((later, later))
        elif change:
            self._swap(contract, change, later)
        return None

    def _swap(self, contract: Contract, change: str, later: int) -> None:
        """Add another price, a new item, or a price of another meter, which the customer uses, too."""
        self.swaps.append(later)
        if change != "move":
            self.add(later, change, contract.customer, contract.meter)
            return
        to = f"{contract.meter}b"
        if to not in self.meters:
            self.meters.append(to)
            self.add(self.start, "meter", to, "window=hour" if self.chance(35) else "")
        self.add(later, "swap", contract.customer, contract.meter, f"to={to}")
        self.contracts.append(replace(contract, meter=to))

    def _cancel(self, contract: Contract, later: int) -> int | None:
        how = self.pick(("end", "end", "in", "now", "now-invoiced"))
        name, meter = contract.customer, contract.meter
        if how == "end":
            contract.ends_at = next(p.end for p in contract.periods(later + 70 * DAY) if p.end > later)
            self.add(later, "cancel", name, meter, "when=end")
            if self.chance(15):
                self.add(self.random.randrange(later, contract.ends_at), "keep", name, meter)
        elif how == "in":
            seconds = self.random.randrange(1, 10 * DAY)
            contract.ends_at = later + seconds
            self.add(later, "cancel", name, meter, f"when={seconds}")
        else:
            contract.ends_at = later
            self.add(later, "cancel", name, meter, "when=now", "invoice=1" if how == "now-invoiced" else "")
        return contract.ends_at

    # --- instants ------------------------------------------------------------------------------------------

    def _interesting(self) -> list[int]:
        """Return instants at which something begins or ends, not too many."""
        found = {self.start, *self.swaps}
        for one in self.contracts:
            found |= {one.created_at, *(p.end for p in one.periods(self.end) if p.end < self.end)}
        instants = sorted(found)
        while len(instants) > 6:
            del instants[self.random.randrange(len(instants))]
        return instants

    def _near(self, instants: Sequence[int]) -> int:
        if self.chance(25):
            return self.random.randrange(self.start, self.end)
        around = (-DAY, -3601, -HOUR, -1801, -61, -60, -59, -1, 0, 1, 59, 61, 1801, HOUR, DAY)
        return self.pick(instants) + self.pick(around)

    # --- usage ---------------------------------------------------------------------------------------------

    def _use(self, instants: Sequence[int]) -> None:
        """Add what is used: mostly at once, some of it late, and some that is deleted again."""
        for _ in range(self.random.randint(60, 200) if self.busy else self.random.randint(4, 30)):
            one = self.pick(self.contracts)
            at = max(self._near(instants), self.start)
            ago = self.pick((0, 0, 0, 0, 30, 900, 2 * HOUR, 5 * HOUR, 3 * DAY))
            amount = self.pick((1, 2, 3, 5, 7, 10, 100, 1000, "0.5", "0.333333"))
            self.add(at + ago, "use", one.customer, one.meter, amount, f"ago={ago}" if ago else "")
            if self.chance(8):
                gone = at + ago + self.pick((600, 3 * HOUR, 2 * DAY))
                self.add(gone, "lose", one.customer, one.meter, self.random.randint(1, 3))

    # --- the console's work, and what goes wrong with it ---------------------------------------------------

    def _work(self, instants: Sequence[int]) -> None:
        """Add runs: after boundaries, around the hour in which invoices are open, and in between."""
        soon = (125, 10 * MINUTE, 30 * MINUTE, 57 * MINUTE, 3481, 59 * MINUTE, 61 * MINUTE, 3 * HOUR, DAY)
        times = {instant + self.pick(soon) for instant in instants if self.chance(85)}
        times |= {
            self.random.randrange(self.start, self.end)
            for _ in range(self.random.randint(1, 40 if self.busy else 5))
        }
        chosen = sorted(times)
        while len(chosen) > (MOST_WORK_WHEN_BUSY if self.busy else MOST_WORK):
            del chosen[self.random.randrange(len(chosen))]
        for at in chosen:
            self._one_run(at)
            if self.chance(30):
                self._one_run(at + self.pick((30, 300, 20 * MINUTE, 2 * HOUR, 6 * HOUR)))

    def _one_run(self, at: int) -> None:
        if self.chance(7):
            self._refusal(at)
        self._trouble(at)
        if self.chance(8):
            self.add(at, "sync", "kind=changes")
        if self.chance(6):
            self.add(at, "twice")
        else:
            sync = "sync=1" if self.chance(65) else ""
            self.add(at, "work", sync, "who=person" if self.chance(30) else "")
        if self.chance(25):
            self.add(at + self.pick((60, 600, 5 * HOUR)), "staff")

    def _refusal(self, at: int) -> None:
        """Add events that Stripe takes and refuses later, and perhaps a webhook that tells of it."""
        times = self.pick((1, 1, 2, 5))
        naming = self.pick(("identifier", "idempotency_key", "request"))
        some = self.chance(30)
        self.add(at, "refuse", f"times={times}", f"naming={naming}", "samples=1" if some else "")
        if self.chance(60):
            order = "newest_first=1" if self.chance(50) else ""
            self.add(at + self.pick((1, 30, HOUR, 5 * HOUR)), "hear", f"times={self.pick((1, 3))}", order)

    def _trouble(self, at: int) -> None:
        """Add what goes wrong in the run that comes next, often nothing."""
        kinds = ("fault", "fault", "die", "die", "twin", "sleep", "away", "empty", "skew", "backup")
        kind = self.pick(("",) * 6 + kinds)
        if kind == "fault":
            name, *rest = self.pick(FAULTS).split()
            self.add(at, "fault", name, f"times={self.pick((1, 1, 2, 6, 50))}", *rest)
        elif kind == "away":
            self.add(at, "away", self.pick(("stripe", "openmeter")))
        elif kind == "empty":
            self.add(at, "empty", f"times={self.pick((1, 2, 8))}")
        elif kind == "skew":
            self.add(at, "skew", self.pick((-120, -60, 60, 120, 0)))
        elif kind == "backup":
            self.add(at, "backup")
            self.add(at + self.pick((60, HOUR, 5 * HOUR, 11 * HOUR)), "restore")
        elif kind:
            self.add(at, "arm", kind, self.pick(POINTS), self.pick((1, 1, 2, 3)))
        if kind in ("fault", "away", "empty"):
            self.add(at + self.pick((60, HOUR, 4 * HOUR, 30 * HOUR, 3 * DAY)), "back")
