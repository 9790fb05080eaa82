"""The console's own operations, carried out in this process by its clock, with what goes wrong meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal

from sync.clients.stripe_notices import read_snapshot, read_thin
from sync.domain.timeline import Span, floor_to
from sync.models import Meter, ReportRun
from sync.operations.handle_notices import handle_notices
from sync.operations.keep_notice import keep_notice
from sync.operations.keep_run import RunIsTaken
from sync.operations.reconcile_usage import ReconcileRequest, reconcile_usage
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import report_usage
from sync.operations.sync_stripe import sync_stripe
from sync.ports import SyncError
from sync.queries.planning import Scope
from sync.wiring import Connections, connect
from tests.simulation.crossings import IN_A_POOL_THREAD, Crossings, Killed, expire_leases
from tests.simulation.owner import Owner, at
from tests.simulation.script import Act
from tests.world import World

READERS = {"snapshot": (read_snapshot, "whsec_1"), "thin": (read_thin, "whsec_2")}
"""How a webhook's style is read, and what it is signed with."""


class Console(Owner):
    """Reports, reads Stripe, and dies."""

    def __init__(self, world: World, crossings: Crossings) -> None:
        """Begin with empty tables and a right clock."""
        super().__init__(world)
        self.crossings = crossings
        self.world.control.tell(
            **{style: {"url": "http://console", "secret": secret} for style, (_, secret) in READERS.items()}
        )
        self.connections: Connections = connect(config=world.config)
        self.skew = 0
        self.found_in_stripe: dict[str, Decimal] = {}
        """What Stripe's own log has under the identifier of a report that a person dismissed for it."""
        self.found_events: set[str] = set()
        """Identifiers of what was found so."""
        self.armed: Act | None = None

    # --- the console ---------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return at(self.now + self.skew)

    def do_carry(self, _: Act) -> None:
        """From now on the console carries late usage by itself where both amounts are the same."""
        self.world.configure(late_usage="carry_forward")

    def do_work(self, act: Act) -> None:
        """`work sync=1 who=schedule|person only=c0`: the main job, with what is armed happening in it."""
        if self.armed:
            _, point, passes = self.armed.args
            self.crossings.arm(point, int(passes), self._action(self.armed))
            self.armed = None
        scope = Scope(customer=self.customers.get(act.option("only"), ""))
        try:
            self.report(
                sync=act.option("sync") == "1", scope=scope, by_schedule=act.option("who") != "person"
            )
        except Killed:
            self.crossings.rise()
            expire_leases()
            self.counts["deaths"] += 1
        finally:
            self.crossings.disarm()

    def _action(self, act: Act) -> Callable[[], None]:
        kind, point, _ = act.args
        if kind == "die" or point == IN_A_POOL_THREAD:
            return self.crossings.die

        def other_worker() -> None:
            if kind == "sleep":
                self.crossings.fall_asleep()
            self.report(sync=False)

        return other_worker

    def report(
        self,
        *,
        sync: bool,
        scope: Scope | None = None,
        window: Span | None = None,
        by_schedule: bool = False,
    ) -> bool:
        """Carry out a run; return whether it met no trouble."""
        trigger = ReportRun.Trigger.SCHEDULE if by_schedule else ReportRun.Trigger.COMMAND
        request = ReportRequest(
            requested_by="simulator", sync=sync, scope=scope or Scope(), window=window, trigger=trigger
        )
        self.counts["runs"] += 1
        try:
            result = report_usage(
                request=request,
                stripe=self.connections.stripe,
                openmeter=self.connections.openmeter,
                rules=self.world.rules(),
                clock=self.clock,
            )
        except (SyncError, RunIsTaken):
            self.counts["runs that could not begin"] += 1
            return False
        if sync and not any(problem.startswith("Stripe could not be read") for problem in result.errors):
            self.account.looks_at_stripe.append(self.now)
        faults = self.world.control.faults()
        if by_schedule and not faults and not Meter.objects.exclude(days_compared_at=self.clock()).exists():
            self.account.looks_back.append(self.now)
        return not result.errors

    def reconcile(self, *, since: int) -> None:
        """Compare all sides, and every invoice that became final from that day on."""
        latest = self.clock() - self.world.config.tail
        days = Span(floor_to(at(since), timedelta(days=1)), floor_to(latest, timedelta(days=1)))
        request = ReconcileRequest(days=days, requested_by="simulator")
        reconcile_usage(
            run=request.as_run(now=self.clock()),
            request=request,
            stripe=self.connections.stripe,
            openmeter=self.connections.openmeter,
            tail=self.world.config.tail,
            clock=self.clock,
        )

    def do_hear(self, act: Act) -> None:
        """`hear times=3 newest_first=1`: Stripe's webhooks come in, so often each, and are worked on."""
        told = self.world.control.signed(
            times=act.number("times", 1), newest_first=act.option("newest_first") == "1"
        )
        for one in told:
            read, secret = READERS[one["style"]]
            notification = read(one["body"].encode(), signature=one["signature"], secret=secret)
            keep_notice(notification, now=self.clock())
        with suppress(SyncError):
            handle_notices(
                stripe=self.connections.stripe,
                openmeter=self.connections.openmeter,
                invoice_grace=self.world.config.invoice_grace,
                clock=self.clock,
            )

    def do_twice(self, _: Act) -> None:
        """A queued run's task is handed out twice."""
        request = ReportRequest(requested_by="simulator", sync=False, trigger=ReportRun.Trigger.ADMIN)
        run = request.as_run(now=self.clock())
        run.status = ReportRun.Status.QUEUED
        run.save()
        for _attempt in range(2):
            try:
                report_usage(
                    run=ReportRun.objects.get(pk=run.pk),
                    request=request,
                    stripe=self.connections.stripe,
                    openmeter=self.connections.openmeter,
                    rules=self.world.rules(),
                    clock=self.clock,
                )
            except (SyncError, RunIsTaken):
                self.counts["runs that could not begin"] += 1

    def do_sync(self, act: Act) -> None:
        """`sync kind=changes`: Stripe is read, all of it or what changed."""
        kind = ReportRun.Kind.CHANGES if act.option("kind") == "changes" else ReportRun.Kind.SYNC
        run = ReportRun(kind=kind, trigger=ReportRun.Trigger.SCHEDULE, queued_at=self.clock())
        try:
            sync_stripe(
                run=run,
                stripe=self.connections.stripe,
                openmeter=self.connections.openmeter,
                invoice_grace=self.world.config.invoice_grace,
                clock=self.clock,
            )
        except (SyncError, RunIsTaken):
            self.counts["runs that could not begin"] += 1
