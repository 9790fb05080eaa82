"""The main job: mirror, collect, plan, deliver, and one record of it all."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sync.domain.timeline import HOUR, floor_to
from sync.models import Meter, ReportRun, StripeAccount, UsageReport
from sync.operations.deliver_reports import Delivered, DeliveryRules, deliver_reports
from sync.operations.find_obstacles import living_items
from sync.operations.keep_run import Heartbeat, begin_run, end_run, interrupt_lapsed_runs
from sync.operations.mirror_stripe import mirror_stripe
from sync.operations.pin_account import pin_account
from sync.operations.plan_reports import MeterPlan, PlanningRules, plan_meter
from sync.operations.report_request import ReportRequest, ReportRules, check_scope, check_window
from sync.operations.resolve_report import release_report
from sync.operations.store_plan import store_plan
from sync.ports import BillingGateway, InvalidInput, Misconfigured, SyncError, UsageSource
from sync.queries.planning import enrolments_in, enrolments_to_plan
from sync.queries.report_lines import ReportLine, delivered_lines, lines_of
from sync.queries.waiting_reports import count_waiting

logger = logging.getLogger("sync.report")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """What a run came to. `lines` are what Stripe was told (or, on a dry run, would be)."""

    run: ReportRun
    lines: Sequence[ReportLine]
    errors: Sequence[str]
    undecided: Mapping[str, int]
    """Status → how many reports of the scope wait for a person, from this run or an earlier one."""


Progress = Callable[[str, int, int], None]
"""Called with the step's name, how much is done and how much there is (0 if unknown)."""


def report_usage(
    *,
    request: ReportRequest,
    stripe: BillingGateway,
    openmeter: UsageSource,
    rules: ReportRules,
    clock: Callable[[], datetime],
    progress: Progress = lambda _step, _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ReportResult:
    """All that has closed in scope was measured and reported, or the ledger says what stands in the way.

    The result's run is stored whatever happened. A dry run stores no report and sends nothing. Safe to
    repeat: a second run finds nothing left to do. Raises `SyncError` where nothing could be begun, and
    `InvalidInput` for a scope or window that makes no sense.
    """
    now = clock()
    if request.window:
        check_window(request.window, now=now)
    run = ReportRun(
        trigger=request.trigger,
        requested_by=request.requested_by,
        scope=asdict(request.scope),
        window_start=request.window.start if request.window else None,
        window_end=request.window.end if request.window else None,
        dry_run=request.dry_run,
        queued_at=now,
    )
    _check_account(run, stripe, now=now)
    interrupt_lapsed_runs(now=now)
    begin_run(run, now=now)
    job = _Job(run, request, stripe, openmeter, rules, clock, progress, should_stop)
    try:
        job.work()
    except SyncError as error:
        job.errors.append(str(error))
        end_run(run, status=ReportRun.Status.FAILED, counters=job.counters, error=str(error), now=clock())
        raise
    except BaseException as error:
        sentence = f"The run stopped unexpectedly ({type(error).__name__}); the next run completes it."
        end_run(run, status=ReportRun.Status.FAILED, counters=job.counters, error=sentence, now=clock())
        raise
    end_run(run, status=job.status(), counters=job.counters, error="\n".join(job.errors), now=clock())
    return ReportResult(run=run, lines=job.lines, errors=job.errors, undecided=count_waiting(request.scope))


def _check_account(run: ReportRun, stripe: BillingGateway, *, now: datetime) -> None:
    """The key belongs to this database's account; raise `SyncError` otherwise.

    A wrong key is refused before anything is written; where Stripe cannot be asked, the run has failed.
    """
    try:
        pin_account(stripe.account(), now=now)
    except Misconfigured:
        raise
    except SyncError as error:
        if StripeAccount.objects.exists():
            begin_run(run, now=now)
            end_run(run, status=ReportRun.Status.FAILED, counters={}, error=str(error), now=now)
        raise


class _Job:
    """One run's steps and what they added up to."""

    def __init__(
        self,
        run: ReportRun,
        request: ReportRequest,
        stripe: BillingGateway,
        openmeter: UsageSource,
        rules: ReportRules,
        clock: Callable[[], datetime],
        progress: Progress,
        should_stop: Callable[[], bool],
    ) -> None:
        self.run, self.request, self.rules = run, request, rules
        self.stripe, self.openmeter = stripe, openmeter
        self.clock, self.progress, self.should_stop = clock, progress, should_stop
        self.heart = Heartbeat(run, clock)
        self.errors: list[str] = []
        self.counters: Counter[str] = Counter()
        self.lines: list[ReportLine] = []
        self.stopped = False
        self.given_up: set[int] = set()
        """Enrolments that this run tried and leaves to the next one."""
        self.stripe_is_down = False

    def work(self) -> None:
        """Do every step; what fails for one meter or customer does not stop the others."""
        if self.request.sync:
            self._mirror()
        if self.stopped:
            return
        check_scope(self.request.scope)
        if self.request.retry_rejected and not self.request.dry_run:
            self._release_rejected()
        if not self.request.dry_run and self._earlier_run_left_calls_open():
            # A slice whose newest call has no known end gets no further revision: settle it first.
            self._deliver(wait_for_others=False)
        self._plan()
        if not (self.request.dry_run or self.stopped or self.stripe_is_down):
            self._deliver(wait_for_others=True)

    def status(self) -> ReportRun.Status:
        """Return how the run ends, by what it met."""
        if self.stopped:
            return ReportRun.Status.CANCELLED
        failed = sum(self.counters[name] for name in ("waiting", "unknown", "rejected"))
        if not self.errors and not failed:
            return ReportRun.Status.SUCCEEDED
        did_something = self.counters["delivered"] or not self.errors
        return ReportRun.Status.PARTIAL if did_something else ReportRun.Status.FAILED

    # --- the steps -----------------------------------------------------------------------------------------

    def _mirror(self) -> None:
        self.progress("Reading Stripe", 0, 0)
        try:
            summary = mirror_stripe(
                stripe=self.stripe,
                openmeter=self.openmeter,
                clock=self.clock,
                invoice_grace=self.rules.invoice_grace,
                progress=self._beat_or_stop,
            )
        except _StopAsked:
            self.stopped = True
            return
        except SyncError as error:
            # What is known already can still be reported; nothing beyond known periods is planned.
            self.errors.append(f"Stripe could not be read: {error}")
            return
        if summary.openmeter_problem:
            self.errors.append(summary.openmeter_problem)

    def _beat_or_stop(self, _what: str) -> None:
        self.heart.beat()
        if self.should_stop():
            raise _StopAsked

    def _release_rejected(self) -> None:
        rejected = UsageReport.objects.filter(
            status=UsageReport.Status.REJECTED, enrolment__in=enrolments_in(self.request.scope)
        )
        for report_id in list(rejected.values_list("pk", flat=True)):
            try:
                release_report(
                    report_id=report_id,
                    why="--retry-rejected",
                    who=self.request.requested_by,
                    run=self.run,
                    now=self.clock(),
                )
            except InvalidInput as error:
                self.errors.append(str(error))

    def _plan(self) -> None:
        in_scope = enrolments_in(self.request.scope).values("meter")
        meters = list(Meter.objects.filter(pk__in=in_scope))
        billed = set(living_items().values_list("meter", flat=True).distinct())
        for number, meter in enumerate(meters):
            self.progress("Asking OpenMeter", number, len(meters))
            self.heart.beat()
            self.stopped = self.stopped or self.should_stop()
            if self.stopped:
                break
            if meter.standstill:
                # If nobody is billed on it any more, it is history, not trouble.
                self.errors += [meter.standstill] if meter.pk in billed else []
                continue
            self._plan_meter(meter)
        self.progress("Asking OpenMeter", len(meters), len(meters))

    def _plan_meter(self, meter: Meter) -> None:
        now = self.clock()
        since = self.request.window.start if self.request.window else now - self.rules.tail
        rules = PlanningRules(
            tail=self.rules.tail, brake_percent=self.rules.brake_percent, limit=self.request.window
        )
        enrolments = enrolments_to_plan(meter, scope=self.request.scope, since=floor_to(since, HOUR), now=now)
        try:
            plan = plan_meter(meter=meter, enrolments=enrolments, source=self.openmeter, rules=rules, now=now)
            self._keep_plan(plan, now)
        except SyncError as error:
            self.errors.append(str(error))
        except Exception as error:
            # A fault of ours with one meter must not stop the others, nor what is due already.
            logger.exception("meter.not_planned", extra={"meter": meter.stripe_id})
            self.errors.append(
                f"Meter {meter.slug} could not be planned ({type(error).__name__}); run report_usage again, "
                "and tell those who look after the console if it stays so."
            )

    def _keep_plan(self, plan: MeterPlan, now: datetime) -> None:
        if self.request.dry_run:
            self.lines += lines_of(plan.meter, plan.moved_units())
        else:
            self.counters["planned_elsewhere"] += store_plan(plan, run=self.run, now=now).refused
        self.errors += plan.problems
        for report in plan.reports:
            self.counters["planned"] += 1
            if report.status != UsageReport.Status.PENDING:
                self.counters[report.status.value] += 1

    def _earlier_run_left_calls_open(self) -> bool:
        open_calls = (UsageReport.Status.SENDING, UsageReport.Status.UNKNOWN)
        return UsageReport.objects.filter(
            status__in=open_calls, enrolment__in=enrolments_in(self.request.scope)
        ).exists()

    def _deliver(self, *, wait_for_others: bool) -> None:
        due = UsageReport.objects.filter(
            enrolment__in=enrolments_in(self.request.scope), status=UsageReport.Status.PENDING
        ).count()
        done = 0

        def on_progress(count: int) -> None:
            nonlocal done
            done += count
            self.heart.beat()
            self.progress("Reporting to Stripe", done, max(due, done))

        on_progress(0)
        delivered = deliver_reports(
            sender=self.stripe,
            run=self.run,
            scope=self.request.scope,
            rules=DeliveryRules(
                calls_per_second=self.rules.calls_per_second,
                ignore_back_off=self.request.trigger != ReportRun.Trigger.SCHEDULE,
                wait_for_others=wait_for_others,
            ),
            clock=self.clock,
            leave_out=self.given_up,
            on_progress=on_progress,
            should_stop=self.should_stop,
        )
        self._count(delivered)

    def _count(self, delivered: Delivered) -> None:
        self.counters += delivered.outcomes
        self.counters["elsewhere"] = delivered.elsewhere
        self.stopped = self.stopped or delivered.stopped
        self.given_up |= delivered.given_up
        self.stripe_is_down = bool(delivered.error)
        if delivered.error:
            self.errors.append(delivered.error)
        elif delivered.trouble:
            left = delivered.outcomes["waiting"] + delivered.outcomes["unknown"]
            self.errors.append(f"{left} reports are not sent yet: {delivered.trouble}")
        self.lines += delivered_lines(delivered.reports)


class _StopAsked(Exception):
    """Somebody asked the run to stop while it read Stripe."""
