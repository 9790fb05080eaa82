"""Carry the ledger's due reports to Stripe: claim, send, settle."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from random import random

from sync.domain.retries import retry_delay
from sync.models import ReportRun, UsageReport
from sync.operations.claim_enrolments import (
    LEASE,
    RENEW_BELOW_SECONDS,
    Lease,
    claim_enrolments,
    count_held_elsewhere,
    release_enrolments,
    renew_lease,
)
from sync.operations.delivery_terms import Delivered, DeliveryRules
from sync.operations.identify_worker import free_dead_workers_enrolments, worker_name
from sync.operations.load_lanes import Lane, load_lanes, soonest_closing_first
from sync.operations.mark_sending import mark_sending
from sync.operations.send_report import send_report
from sync.operations.settle_reports import Answer, Settled, settle_reports
from sync.ports import MeterEventSender, MeterRefused, Misconfigured
from sync.queries.planning import Scope

IN_FLIGHT = 64
"""Calls under way at once, each for another enrolment; threads mostly wait for Stripe."""
LANES = 256
"""Enrolments held at once: enough to keep all threads busy, few enough to be given up soon."""
TRIES_PER_RUN = 6
"""A report that failed this often in a row is left to the next run (about 15 s after its first try)."""
LANES_GIVEN_UP = 5
"""After this many lanes used up their tries with no success between, the other side is down: stop."""
POLL_SECONDS = 0.2
PATIENCE_SECONDS = LEASE.total_seconds() + 5
"""How long to wait for another worker before leaving its reports to it."""
CLAIM_SECONDS = 0.5
"""How often to look for more work while some is left and the last look found nothing."""


def deliver_reports(
    *,
    sender: MeterEventSender,
    run: ReportRun,
    scope: Scope,
    rules: DeliveryRules,
    clock: Callable[[], datetime],
    leave_out: Collection[int] = (),
    on_progress: Callable[[int], None] = lambda _count: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Delivered:
    """Every due report of the scope was sent, or is in the ledger with what stands in its way.

    Where the rules name `only` some, others stay as they are. Enrolments in `leave_out` are not tried.

    Within an enrolment one call at a time, in order; nothing is sent inside a transaction. Safe to
    repeat and to run twice at once: what is delivered is never due again, an enrolment has one owner.
    """
    delivery = _Delivery(sender, run, scope, rules, clock, on_progress)
    delivery.result.given_up |= set(leave_out)
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="deliver") as pool:
        try:
            delivery.work(pool, should_stop)
        finally:
            delivery.finish()
    return delivery.result


class _Delivery:
    """The loop: all database work in this thread, calls to Stripe in the pool's."""

    def __init__(
        self,
        sender: MeterEventSender,
        run: ReportRun,
        scope: Scope,
        rules: DeliveryRules,
        clock: Callable[[], datetime],
        on_progress: Callable[[int], None],
    ) -> None:
        self.sender, self.run, self.scope, self.rules = sender, run, scope, rules
        self.clock, self.on_progress = clock, on_progress
        self.lease = Lease(owner=worker_name())
        self.lanes: dict[int, Lane] = {}
        self.calls: dict[Future[Answer], UsageReport] = {}
        self.idle: set[int] = set()
        """Enrolments with nothing to send at their head: not worth claiming again."""
        self.given_up_in_a_row = 0
        self.next_call = self.next_claim = 0.0
        self.ended: set[int] = set()
        """Enrolments that nothing more is sent for; given back together, at the next claim."""
        self.result = Delivered()

    # --- the loop ------------------------------------------------------------------------------------------

    def work(self, pool: ThreadPoolExecutor, should_stop: Callable[[], bool]) -> None:
        """Go on until nothing is due, or something stops everything."""
        waiting_since: float | None = None
        free_dead_workers_enrolments()
        while not self.result.error:
            if should_stop():
                self.result.stopped = True
                return
            self._claim_more()
            self._start_calls(pool)
            if self.calls or self.lanes:
                waiting_since = None
                self._await_answers()
                self._keep_leases()
                continue
            self.result.elsewhere = self._held_elsewhere()
            waiting_since = waiting_since or time.monotonic()
            if not (self.rules.wait_for_others and self.result.elsewhere):
                return
            if time.monotonic() - waiting_since > PATIENCE_SECONDS:
                return
            # A killed worker's lease runs out soon; a living one's reports vanish from the due ones.
            time.sleep(POLL_SECONDS)

    def finish(self) -> None:
        """Calls under way are settled and every lease is given back, whatever ended the loop."""
        while self.calls:
            self._await_answers()
        release_enrolments(self.lease, set(self.lease.enrolments))

    def _due_by(self) -> datetime:
        now = self.clock()
        return now + timedelta(hours=1) if self.rules.ignore_back_off else now

    def _held_elsewhere(self) -> int:
        return count_held_elsewhere(
            scope=self.scope, due_by=self._due_by(), owner=self.lease.owner, only=self.rules.only
        )

    def _claim_more(self) -> None:
        busy = bool(self.lanes or self.calls)
        if len(self.lanes) > IN_FLIGHT or (busy and time.monotonic() < self.next_claim):
            return
        release_enrolments(self.lease, self.ended)
        self.ended.clear()
        claimed = claim_enrolments(
            self.lease,
            scope=self.scope,
            due_by=self._due_by(),
            limit=LANES - len(self.lanes),
            leave_out=self.result.given_up | self.idle,
            only=self.rules.only,
        )
        lanes = load_lanes(claimed, now=self.clock(), due_by=self._due_by(), only=self.rules.only)
        self.lanes = soonest_closing_first(self.lanes | lanes)
        idle = set(claimed) - set(lanes)
        self.idle |= idle
        self.ended |= idle
        self.next_claim = 0.0 if lanes else time.monotonic() + CLAIM_SECONDS

    # --- sending -------------------------------------------------------------------------------------------

    def _start_calls(self, pool: ThreadPoolExecutor) -> None:
        """Commit `sending` for as many reports as may start now, then hand them to the pool."""
        now = time.monotonic()
        free = IN_FLIGHT - len(self.calls)
        ready = [lane for lane in self.lanes.values() if not lane.busy and lane.ready_at <= now][:free]
        if not ready or now < self.next_call:
            return
        marked = mark_sending(
            [lane.head for lane in ready],
            owner=self.lease.owner,
            run=self.run,
            now=self.clock(),
            calls_per_second=self.rules.calls_per_second,
        )
        for outcome, reports in marked.set_aside.items():
            self.result.outcomes[outcome] += len(reports)
            for report in reports:
                self._drop_head(report)
        for report in marked.lost:
            self._end_lane(report.enrolment_id)  # if it is free and not paused, it is claimed and read again
        self.next_call = now if marked.sending else now + 1 / self.rules.calls_per_second
        for number, report in enumerate(marked.sending):
            self.lanes[report.enrolment_id].busy = True
            start_at = now + marked.lead_seconds + number / self.rules.calls_per_second
            self.calls[pool.submit(send_report, self.sender, self.lease, report, start_at)] = report

    # --- settling ------------------------------------------------------------------------------------------

    def _await_answers(self) -> None:
        if not self.calls:
            time.sleep(min(POLL_SECONDS, self._seconds_to_next_try()))
            return
        done, _ = wait(self.calls, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        if not done:
            return
        answers = [(self.calls.pop(call), call.result()) for call in done]
        settled = settle_reports(answers, owner=self.lease.owner, run=self.run, now=self.clock())
        for one in settled:
            self._advance(one)
        self.on_progress(sum(one.settlement.status == UsageReport.Status.DELIVERED for one in settled))

    def _seconds_to_next_try(self) -> float:
        soonest = min((lane.ready_at for lane in self.lanes.values()), default=0.0)
        return max(0.001, max(soonest, self.next_call) - time.monotonic())

    def _advance(self, one: Settled) -> None:
        """Move the lane on: to its next report, to a retry, or out."""
        enrolment_id = one.report.enrolment_id
        lane = self.lanes.get(enrolment_id)
        if not one.mine or lane is None:
            self._end_lane(enrolment_id)
            return
        lane.busy = False
        if one.settlement.outcome == "delivered":
            self.result.reports.append(one.report)
            self.given_up_in_a_row = 0
        if one.settlement.retry_in is not None:
            self._try_again(lane, one)
            return
        self.result.outcomes[one.settlement.outcome] += 1
        if isinstance(one.answer, Misconfigured):
            self.result.error = str(one.answer)
        if isinstance(one.answer, MeterRefused):
            self._give_up_meter(one.report.enrolment.meter_id)
        if one.settlement.outcome == "waiting":
            self._give_up(enrolment_id)
        else:
            self._drop_head(one.report)

    def _try_again(self, lane: Lane, one: Settled) -> None:
        """Let the lane wait for its back-off, or leave it to the next run once its tries are used up."""
        assert one.settlement.retry_in is not None  # noqa: S101 - narrows the type for mypy
        lane.tries += 1
        if lane.tries < TRIES_PER_RUN:
            # The row's own back-off counts earlier runs, too, and would hold this one up for minutes.
            wait_for = min(one.settlement.retry_in, retry_delay(attempts=lane.tries, jitter=random()))  # noqa: S311
            lane.ready_at = time.monotonic() + wait_for.total_seconds()
            return
        self.result.outcomes[one.settlement.outcome] += 1
        self.result.trouble = one.report.error
        self._give_up(one.report.enrolment_id)
        self.given_up_in_a_row += 1
        if self.given_up_in_a_row >= LANES_GIVEN_UP:
            self.result.error = (
                f"Stripe does not take reports at the moment ({one.report.error}) "
                "Nothing is lost: report usage again later."
            )

    def _drop_head(self, report: UsageReport) -> None:
        """The lane goes on behind this report, or ends."""
        lane = self.lanes.get(report.enrolment_id)
        if lane and not lane.drop(report):
            self._end_lane(report.enrolment_id)

    def _end_lane(self, enrolment_id: int) -> None:
        self.lanes.pop(enrolment_id, None)
        self.ended.add(enrolment_id)

    def _give_up(self, enrolment_id: int) -> None:
        """Leave the lane to a later run."""
        self.result.given_up.add(enrolment_id)
        self._end_lane(enrolment_id)

    def _give_up_meter(self, meter_id: int) -> None:
        for enrolment_id, lane in list(self.lanes.items()):
            if lane.head.enrolment.meter_id == meter_id and not lane.busy:
                self._give_up(enrolment_id)

    def _keep_leases(self) -> None:
        """Renew early; lanes whose lease somebody else took are theirs now."""
        if self.lease.enrolments and self.lease.seconds_left() < RENEW_BELOW_SECONDS:
            for enrolment_id in renew_lease(self.lease):
                self._give_up(enrolment_id)
