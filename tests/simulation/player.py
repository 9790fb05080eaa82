"""Lets a life happen, to its last invoice."""

from decimal import Decimal
from typing import Any

from sync.models import UsageReport
from tests.simulation.account import DAY, HOUR
from tests.simulation.crossings import Crossings, expire_leases
from tests.simulation.script import Act, Life
from tests.simulation.staff import Staff
from tests.simulation.tables import Backup, back_up, put_back
from tests.world import World

EVENTS = "POST /v1/billing/meter_events"
QUERY = "GET /api/v1/meters/{meter}/query"
NO_ROWS: dict[str, Any] = {"data": []}
REFUSED = {"error": {"type": "invalid_request_error", "message": "No such customer: 'cus_x'"}}
LATEST_BACKUP = 12 * HOUR
"""How old a backup may be that is put back: Stripe forgets identifiers after a day."""


class Player(Staff):
    """One life, from an empty sandbox and empty tables on."""

    def __init__(self, world: World, crossings: Crossings) -> None:
        """Begin with an empty world."""
        super().__init__(world, crossings)
        self._backup: tuple[int, Backup] | None = None
        self.denies = False
        """Whether OpenMeter answers as if nothing had ever been used."""
        self._notes: tuple[dict[str, Decimal], set[str]] = ({}, set())
        """What staff had found in Stripe when the backup was made."""

    # --- the whole -----------------------------------------------------------------------------------------

    def play(self, life: Life) -> None:
        """Everything happened, then the dust has settled and staff have decided on what waits."""
        self.go_to(life.acts[0].at)
        self.report(sync=True)  # the console is older than all it bills
        for act in life.acts:
            self.go_to(act.at)
            getattr(self, f"do_{act.what}")(act)
            self.counts["events"] += 1
        self._settle(life)

    def _settle(self, life: Life) -> None:
        """Let everything be reported and decided, then every period end and its invoice be final."""
        self.do_back(Act(self.now, "back"))
        self.crossings.disarm()
        self.armed = None
        latest = max((one.at for one in self.account.usage), default=self.now)
        self.go_to(max(self.now, latest + HOUR) + 2 * HOUR)
        self._calm_down()
        self._end_periods()
        self.go_to(self.now + DAY)
        self._calm_down()
        if self._bills_for_others():
            self._end_periods()
        if self.account.may_bill_in_vain(self.now):
            began, self.skew = self.now, 0
            self.go_to(began + 2 * DAY)
            self._calm_down()
            self.reconcile(since=life.acts[0].at)

    def _end_periods(self) -> None:
        """Let every period that goes on end, and its invoice be final."""
        ends = [p.end for one in self.account.contracts for p in one.periods(self.now) if p.end > self.now]
        self.go_to(max(ends, default=self.now) + 10 * 60)
        self._calm_down()
        self.go_to(self.now + 2 * HOUR)
        self._calm_down()

    def _bills_for_others(self) -> bool:
        """Whether late usage was carried into a period whose invoice is not final."""
        waiting = UsageReport.objects.filter(closes_at__gt=self.clock())
        return any(carried for carried in waiting.values_list("carried", flat=True))

    def _calm_down(self) -> None:
        for number in range(6):
            before = self._ledger_state()
            expire_leases()
            is_first = number == 0
            went_well = self.report(sync=is_first, by_schedule=is_first)
            self.decide()
            to_compare = UsageReport.objects.filter(
                status="unknown", next_attempt_at=None, compared_at=None
            ).exists()
            if went_well and self._ledger_state() == before and not to_compare:
                return
            self.go_to(self.now + (11 * 60 if to_compare else 60))

    def _ledger_state(self) -> list[tuple[Any, ...]]:
        return sorted(UsageReport.objects.values_list("identifier", "status", "written_off"))

    # --- what goes wrong -----------------------------------------------------------------------------------

    def do_skew(self, act: Act) -> None:
        """`skew -90`: the console's clock is so many seconds ahead, or behind."""
        self.skew = int(act.args[0])

    def do_fault(self, act: Act) -> None:
        """`fault 429 times=2 after=1`: the next events are answered so; `store=1` after they were taken."""
        times, kind = act.number("times", 1), act.args[0]
        scripts: dict[str, dict[str, Any]] = {
            "429": {"status": 429},
            "409": {"status": 409},
            "500": {"status": 500, "store": act.option("store") == "1"},
            "503": {"status": 503, "store": act.option("store") == "1"},
            "cut-before": {"cut": "before"},
            "cut-after": {"cut": "after"},
            "refused": {"status": 400, "body": REFUSED},
        }
        self.world.control.fault(EVENTS, times=times, **scripts[kind])
        self.counts["faults"] += 1

    def do_refuse(self, act: Act) -> None:
        """`refuse times=2 naming=identifier samples=99`: the next events are taken, and refused later."""
        self.world.control.refuse_later(
            times=act.number("times", 1),
            naming=act.option("naming", "identifier"),
            samples=act.number("samples", 99),
        )
        self.counts["faults"] += 1

    def do_away(self, act: Act) -> None:
        """`away stripe|openmeter`: it answers nobody until `back`."""
        self.world.control.fault(act.args[0], status=503, times=100_000)
        self.counts["faults"] += 1

    def do_empty(self, act: Act) -> None:
        """`empty times=2`: OpenMeter answers the next questions as if nothing had ever been used."""
        self.world.control.fault(QUERY, status=200, body=NO_ROWS, times=act.number("times", 1))
        self.denies = True
        self.counts["faults"] += 1

    def do_back(self, _: Act) -> None:
        """Everything answers as it should."""
        self.world.control.clear_faults()
        self.world.control.refuse_nothing_later()
        if self.denies:
            self.account.denied_until, self.denies = self.now, False

    def do_arm(self, act: Act) -> None:
        """`arm die|twin|sleep stored 2`: what happens when the next run passes that point so often."""
        self.armed = act
        self.counts["faults"] += 1

    def do_backup(self, _: Act) -> None:
        """The console's tables are kept."""
        self._backup = (self.now, back_up())
        self._notes = (dict(self.found_in_stripe), set(self.found_events))

    def do_restore(self, _: Act) -> None:
        """The tables are what they were at the last backup; staff have the console catch up at once."""
        if self._backup is None or self.now - self._backup[0] > LATEST_BACKUP:
            return
        put_back(self._backup[1])
        for looks in (self.account.looks_at_stripe, self.account.looks_back):
            looks[:] = [look for look in looks if look < self._backup[0]]
        self.found_in_stripe, self.found_events = dict(self._notes[0]), set(self._notes[1])
        self.world.control.clear_faults()
        expire_leases()
        self.report(sync=True)
        self.decide()
        self.counts["faults"] += 1

    def do_staff(self, _: Act) -> None:
        """Somebody decides on everything that waits, knowing what was really used and what Stripe has."""
        self.decide()
