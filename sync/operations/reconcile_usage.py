"""Compare all sides as a run of its own: OpenMeter, the ledger, Stripe's totals and its invoices."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from sync.domain.closings import OLDEST_EVENT
from sync.domain.reconciliation import SETTLED
from sync.domain.timeline import DAY, Span, floor_to
from sync.models import Meter, Reconciliation, ReportRun
from sync.operations.begin_run import begin_checked_run
from sync.operations.keep_differences import (
    forget_old,
    issues_of,
    keep_meter,
    record_differences,
    record_invoices,
)
from sync.operations.keep_run import Heartbeat, end_run, interrupt_lapsed_runs
from sync.operations.reconcile_invoices import reconcile_invoices
from sync.operations.reconcile_meter import reconcile_meter
from sync.operations.record_findings import FoundIssue
from sync.operations.report_request import check_scope
from sync.ports import BillingGateway, InvalidInput, SyncError, UsageSource
from sync.queries.planning import Scope, enrolments_in

Status = ReportRun.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRequest:
    """What somebody asks to have compared; `days` None means the last 35."""

    scope: Scope = field(default_factory=Scope)
    days: Span | None = None
    every_customer: bool = False
    """Whether Stripe is asked about customers, too, who used nothing and have no reports."""
    trigger: ReportRun.Trigger = ReportRun.Trigger.COMMAND
    requested_by: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it is about everything."""
        return self.scope == Scope() and self.days is None

    def as_run(self, *, now: datetime) -> ReportRun:
        """Return the record of a run that does this, queued and not yet stored."""
        return ReportRun(
            kind=ReportRun.Kind.RECONCILE,
            trigger=self.trigger,
            requested_by=self.requested_by,
            scope=asdict(self.scope),
            every_customer=self.every_customer,
            window_start=self.days.start if self.days else None,
            window_end=self.days.end if self.days else None,
            queued_at=now,
        )

    @classmethod
    def of_run(cls, run: ReportRun) -> "ReconcileRequest":
        """Return what a stored run was asked to compare."""
        return cls(
            scope=Scope.stored(run.scope),
            every_customer=run.every_customer,
            days=Span(run.window_start, run.window_end) if run.window_start and run.window_end else None,
            trigger=ReportRun.Trigger(run.trigger),
            requested_by=run.requested_by,
        )


class _Stopped(Exception):
    """Somebody asked the run to stop, or its time is up."""


def reconcile_usage(
    *,
    run: ReportRun,
    request: ReconcileRequest,
    stripe: BillingGateway,
    openmeter: UsageSource,
    tail: timedelta,
    clock: Callable[[], datetime],
    progress: Callable[[str, int, int], None] = lambda _step, _done, _total: None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> Reconciliation:
    """Whole UTC days that ended at least `tail` ago were compared on all sides; return what is kept of it.

    Nothing is planned or sent. A run over everything puts differences before people, and resolves what is
    none any more. The run is partial where a side did not answer or it was stopped; then nothing is resolved
    of what it did not see. Raises `SyncError` where nothing could be begun, `InvalidInput` for days or names
    that make no sense, and `RunIsTaken` as `begin_run` does.
    """
    interrupt_lapsed_runs(now=clock())
    span = _days(request, tail, clock())
    check_scope(request.scope)
    begin_checked_run(run, stripe, now=clock())
    kept = Reconciliation.objects.create(run=run, start=span.start, end=span.end)
    job = _Job(run, request, span, stripe, openmeter, clock, progress, time_is_up, kept)
    try:
        job.work()
    except BaseException as error:
        sentence = f"The comparison stopped unexpectedly ({type(error).__name__}); compare again."
        end_run(run, status=Status.FAILED, error=sentence, now=clock())
        raise
    return kept


def _days(request: ReconcileRequest, tail: timedelta, now: datetime) -> Span:
    latest = floor_to(now - tail, DAY)
    oldest = floor_to(now - OLDEST_EVENT - DAY, DAY)
    if request.days is None:
        return Span(oldest, latest)
    if request.days.end > latest:
        msg = f"Days are compared up to {latest:%Y-%m-%d}: they have to be over, and reported."
        raise InvalidInput(msg)
    if request.days.start >= request.days.end:
        msg = "--from must be before --to."
        raise InvalidInput(msg)
    return request.days


@dataclass
class _Job:
    run: ReportRun
    request: ReconcileRequest
    span: Span
    stripe: BillingGateway
    openmeter: UsageSource
    clock: Callable[[], datetime]
    watch: Callable[[str, int, int], None]
    time_is_up: Callable[[], bool]
    kept: Reconciliation
    errors: list[str] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    issues: list[FoundIssue] = field(default_factory=list)
    done: list[Meter] = field(default_factory=list)

    def work(self) -> None:
        self.heart = Heartbeat(self.run, self.clock)
        in_scope = enrolments_in(self.request.scope).values("meter")
        meters = [meter for meter in Meter.objects.filter(pk__in=in_scope) if not meter.obstacle]
        stopped = False
        for meter in meters:
            try:
                self._reconcile(meter)
            except _Stopped:
                stopped = True
                break
            except SyncError as error:
                self.errors.append(f"{meter.slug} could not be compared: {error}")
        is_whole = not (stopped or self.errors) and self.request.is_whole
        if self.request.is_whole:
            self.counters["new findings"] += record_differences(
                self.issues, meters=self.done, with_stripe=not self.errors, now=self.clock()
            )
        self.kept.is_whole = is_whole
        self.kept.save(update_fields=["is_whole"])
        forget_old(now=self.clock())
        self._end(stopped)

    def _reconcile(self, meter: Meter) -> None:
        def go_on(done: int, total: int) -> None:
            step = f"Comparing {meter.slug}"
            self.heart.progress(step, done, total)
            self.watch(step, done, total)
            if self.heart.cancelled() or self.time_is_up():
                raise _Stopped

        result = reconcile_meter(
            meter=meter,
            scope=self.request.scope,
            span=self.span,
            openmeter=self.openmeter,
            stripe=self.stripe,
            clock=self.clock,
            every_customer=self.request.every_customer,
            progress=go_on,
        )
        checked = list(reconcile_invoices(meter, scope=self.request.scope, span=self._invoice_span()))
        invoices = [found for _period, found in checked if found]
        keep_meter(self.kept, result, invoices)
        if result.stripe_problem:
            self.errors.append(f"Stripe's totals of {meter.slug} could not be read: {result.stripe_problem}")
        self.counters["customers compared"] += result.compared
        self.counters["invoiced periods"] += len(checked)
        found = [*result.found, *invoices]
        self.counters["differences"] += sum(one.cause not in SETTLED for one in found)
        self.counters["new findings"] += record_invoices(meter, checked, now=self.clock())
        self.issues += issues_of(meter, result.found)
        self.done.append(meter)

    def _invoice_span(self) -> Span:
        """Invoices may have become final today; their lines do not change any more."""
        return self.span if self.request.days else Span(self.span.start, self.clock())

    def _end(self, stopped: bool) -> None:  # noqa: FBT001 - private
        note = "It was stopped; what it compared until then is kept."
        status = Status.SUCCEEDED
        if stopped:
            status = Status.PARTIAL if self.time_is_up() else Status.CANCELLED
        elif self.errors:
            status = Status.PARTIAL if self.done else Status.FAILED
        end_run(
            self.run,
            status=status,
            counters=self.counters,
            error="\n".join(self.errors),
            notes=[note] if stopped else [],
            now=self.clock(),
        )
