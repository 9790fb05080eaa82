"""The steps of one run of the main job, and what they add up to."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from sync.models import ReportRun, UsageReport
from sync.operations.carry_late_reports import carry_late_reports
from sync.operations.check_first_deliveries import check_first_deliveries
from sync.operations.confirm_plan import difference
from sync.operations.confirmed_reports import confirmed_reports, count_due
from sync.operations.deliver_reports import deliver_reports
from sync.operations.delivery_terms import Delivered, DeliveryRules
from sync.operations.find_untaken import look_for_untaken
from sync.operations.keep_run import Heartbeat, end_run
from sync.operations.look_back import Watched, is_due, look_back
from sync.operations.mirror_for_run import mirror_for_run
from sync.operations.plan_meters import Remarks, plan_meters, unplannable
from sync.operations.plan_reports import MeterPlan
from sync.operations.release_rejected import release_rejected
from sync.operations.report_request import ReportRequest, ReportRules, check_scope
from sync.operations.settle_unknown import settle_unknown
from sync.operations.store_plan import store_plan
from sync.operations.sum_up_days import try_to_sum_up_days
from sync.ports import BillingGateway, UsageSource
from sync.queries.pauses import pauses_of
from sync.queries.planning import enrolments_in
from sync.queries.report_lines import ReportLine, delivered_lines, lines_of
from sync.queries.waiting_reports import has_open_calls, pending_sentence

logger = logging.getLogger("sync.report")

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how much is done and how much there is (0 if unknown)."""


class ReportJob:
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
        self.clock, self._watch, self._asked_to_stop = clock, progress, should_stop
        self.heart = Heartbeat(run, clock)
        self.remarks = Remarks()
        self.counters: Counter[str] = Counter()
        self.lines: list[ReportLine] = []
        self.stopped = self.time_was_up = False
        self.given_up: set[int] = set()  # enrolments that this run leaves to the next one
        self.stripe_is_down = self.planned_some = False
        self.only = confirmed_reports(request.shown, run_id=run.pk) if request.is_confirmed else None

    def work(self) -> None:
        """Do every step; what fails for one meter or customer does not stop the others."""
        if self.request.sync and not mirror_for_run(
            stripe=self.stripe,
            openmeter=self.openmeter,
            rules=self.rules,
            clock=self.clock,
            remarks=self.remarks,
            progress=self.progress,
            should_stop=self.should_stop,
        ):
            self.stopped = True
            return
        check_scope(self.request.scope)
        if self.request.retry_rejected and not self.request.dry_run:
            self.remarks.errors += release_rejected(self.request, run=self.run, now=self.clock())
        if not (self.request.dry_run or self.request.is_confirmed):
            # A confirmed run sends nothing before its plan was held against what a person saw.
            self._settle_earlier()
        if self.stopped or self._plan_as_confirmed():
            return
        if not (self.request.dry_run or self.stopped or self.stripe_is_down):
            self._deliver_all()

    def _deliver_all(self) -> None:
        if is_due(self.request, now=self.clock()):
            self._deliver(wait_for_others=True)  # what has just closed need not wait for a look at all days
            self._look_back()
        if self.rules.carries_late and not self.request.is_confirmed and self._has_checked_first_deliveries():
            scope, run = self.request.scope, self.run
            self.counters["carried"] += carry_late_reports(scope, run, source=self.stripe, clock=self.clock)
        self._deliver(wait_for_others=True)
        if not self.stopped:
            look_for_untaken(self.request, source=self.openmeter, now=self.clock(), remarks=self.remarks)

    def end(self, status: ReportRun.Status, error: str, *, is_full: bool = False) -> None:
        """The run is stored as it ended, with what it leaves for later."""
        if self.time_was_up:
            self.remarks.notes.append("It stopped in time for others to have their turn.")
        if self.stopped:
            self.remarks.notes.append(pending_sentence(self.request.scope))
        end_run(
            self.run,
            status=status,
            counters=self.counters,
            error=error,
            notes=self.remarks.notes,
            is_full=is_full,
            now=self.clock(),
        )
        try_to_sum_up_days(now=self.clock())

    def progress(self, step: str, done: int, total: int) -> None:
        """Whoever watches, here or on the run's page, sees how far it is."""
        self.heart.progress(step, done, total)
        self._watch(step, done, total)

    def should_stop(self) -> bool:
        """Whether somebody asked for the end, here or on the run's page, or its time is up."""
        if self._asked_to_stop() or self.heart.cancelled():
            return True
        self.time_was_up = self.time_was_up or self.rules.time_is_up()
        return self.time_was_up

    def status(self) -> ReportRun.Status:
        """Return how the run ends, by what it met."""
        if self.stopped:
            return ReportRun.Status.PARTIAL if self.time_was_up else ReportRun.Status.CANCELLED
        failed = sum(self.counters[name] for name in ("waiting", "unknown", "rejected"))
        if not self.remarks.errors and not failed:
            return ReportRun.Status.SUCCEEDED
        did_something = self.lines or not self.remarks.errors
        return ReportRun.Status.PARTIAL if did_something else ReportRun.Status.FAILED

    def is_full(self) -> bool:
        """Whether all was measured and sent but what Stripe refuses or what stands still for a known reason.

        Each of those is told of by itself. Where no meter at all could be planned, reporting does not work.
        """
        failed = self.remarks.failures or self.counters["waiting"] or self.stopped or self.request.dry_run
        return not failed and (self.planned_some or not self.remarks.errors)

    def _settle_earlier(self) -> None:
        """A slice whose newest call has no known end gets no further revision: find out what came of it."""
        if not has_open_calls(self.request.scope):
            return
        self._deliver(wait_for_others=False)
        if self.stopped:
            return
        scope, stops = self.request.scope, self.should_stop
        settled = settle_unknown(
            source=self.stripe, clock=self.clock, scope=scope, run=self.run, should_stop=stops
        )
        self.remarks.notes += settled.sentences

    def _plan_as_confirmed(self) -> bool:
        """Plan and keep it; return whether nothing was kept: it is not what was confirmed, or was stopped."""
        plans = plan_meters(
            request=self.request,
            source=self.openmeter,
            rules=self.rules,
            clock=self.clock,
            remarks=self.remarks,
            progress=lambda done, total: self.progress("Asking OpenMeter", done, total),
        )
        if self.request.is_confirmed:
            whole = self._whole_plan(plans)
            if whole is None:
                return True
            plans = iter(whole)
        for plan in plans:
            self.planned_some = True
            self._try_to_keep(plan)
            if self._stops():
                break
        return False

    def _whole_plan(self, plans: Iterator[MeterPlan]) -> list[MeterPlan] | None:
        """Return the plans once all of them were held against what a person saw, or None."""
        whole: list[MeterPlan] = []
        for plan in plans:
            whole.append(plan)
            if self._stops():
                self.remarks.notes.append("It was stopped while it planned, so nothing of its plan was kept.")
                return None
        asked = self.request
        problem = difference(asked.confirmed, whole, scope=asked.scope, as_of=asked.as_of)
        if problem:
            self.remarks.fail(problem)
        return None if problem else whole

    def _look_back(self) -> None:
        look_back(
            request=self.request,
            source=self.openmeter,
            rules=self.rules,
            clock=self.clock,
            remarks=self.remarks,
            watched=Watched(
                keep=self._try_to_keep,
                progress=lambda done, total: self.progress("Comparing days with OpenMeter", done, total),
                should_stop=self.should_stop,
                alive=self.heart.beat,
            ),
        )

    def _stops(self) -> bool:
        self.stopped = self.stopped or self.should_stop()
        return self.stopped

    def _try_to_keep(self, plan: MeterPlan) -> bool:
        """Keep a plan; return whether all of it was kept."""
        try:
            return self._keep_plan(plan)
        except Exception as error:
            # A fault of ours with one meter must not stop the others, nor what is due already.
            logger.exception("plan.not_stored", extra={"meter": plan.meter.stripe_id})
            self.remarks.fail(unplannable(plan.meter, error))
            return False

    def _keep_plan(self, plan: MeterPlan) -> bool:
        refused = 0
        if self.request.dry_run:
            self.lines += lines_of(plan.meter, plan.moved_units())
        else:
            refused = store_plan(plan, run=self.run, now=self.clock()).refused
            self.counters["planned_elsewhere"] += refused
        for problem in plan.problems:
            self.remarks.fail(problem)
        for report in plan.reports:
            self.counters["planned"] += 1
            if report.status != UsageReport.Status.PENDING:
                self.counters[report.status.value] += 1
        return not (refused or plan.problems)

    def _has_checked_first_deliveries(self) -> bool:
        """Hold what Stripe has already; return whether nobody asked for the end meanwhile."""
        checked = check_first_deliveries(
            source=self.stripe,
            scope=self.request.scope,
            clock=self.clock,
            progress=lambda done, total: self.progress("Comparing with Stripe", done, total),
            should_stop=self._stops,
        )
        self.counters["held"] += checked.held
        for sentence in set(checked.sentences).difference(self.remarks.errors):
            self.remarks.fail(sentence)
        return not self.stopped

    def _deliver(self, *, wait_for_others: bool) -> None:
        # A second try at what an earlier run left open is no first delivery.
        if wait_for_others and not self._has_checked_first_deliveries():
            return
        due = count_due(self.request.scope, self.only)
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
                only=self.only,
            ),
            clock=self.clock,
            leave_out=self.given_up,
            on_progress=on_progress,
            should_stop=self.should_stop,
        )
        self._count(delivered)
        self._say_what_was_paused_meanwhile()

    def _say_what_was_paused_meanwhile(self) -> None:
        pauses = pauses_of(enrolments_in(self.request.scope)).filter(by_stripe=False)
        self.remarks.notes += [one.sentence for one in pauses if one.sentence not in self.remarks.notes]

    def _count(self, delivered: Delivered) -> None:
        self.counters += delivered.outcomes
        self.counters["elsewhere"] = delivered.elsewhere
        self.stopped = self.stopped or delivered.stopped
        self.given_up |= delivered.given_up
        self.stripe_is_down = bool(delivered.error)
        if delivered.error:
            self.remarks.fail(delivered.error)
        elif delivered.trouble:
            left = delivered.outcomes["waiting"] + delivered.outcomes["unknown"]
            self.remarks.fail(f"{left} reports are not sent yet: {delivered.trouble}")
        self.lines += delivered_lines(delivered.reports)
