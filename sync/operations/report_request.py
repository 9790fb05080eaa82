"""What somebody asks to have reported, and whether it makes sense."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sync.domain.closings import OLDEST_EVENT
from sync.domain.timeline import HOUR, Span, floor_to
from sync.models import Customer, Meter, ReportRun, Subscription
from sync.ports import InvalidInput
from sync.queries.planning import Scope, enrolments_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What somebody asked to have reported."""

    scope: Scope = field(default_factory=Scope)
    window: Span | None = None
    """Only slices inside it are planned; what is due is delivered all the same."""
    dry_run: bool = False
    sync: bool = True
    retry_rejected: bool = False
    as_of: datetime | None = None
    """Only what had closed by then is planned, as the person saw it who confirmed the plan; None means that
    nobody confirmed anything, and by the time it is planned."""
    confirmed: Mapping[str, str] = field(default_factory=dict)
    """What a person confirmed, as `confirm_plan` writes it; nothing is stored if a plan differs."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What the preview showed beside it, as `confirmed_reports` writes it."""
    as_if_over: int = 0
    """A pause (by id) that is not minded, to see what would be sent without it; no run ever does so."""
    trigger: ReportRun.Trigger = ReportRun.Trigger.COMMAND
    requested_by: str = ""

    @property
    def is_confirmed(self) -> bool:
        """Whether a person saw a plan and confirmed it, be it that there is nothing new to plan."""
        return self.as_of is not None

    @property
    def looks_back(self) -> bool:
        """Whether it compares the days of open periods, where that is due: what nobody waits for does."""
        return self.trigger == ReportRun.Trigger.SCHEDULE and self.window is None

    def as_run(self, *, now: datetime) -> ReportRun:
        """Return the record of a run that does this, queued and not yet stored."""
        return ReportRun(
            kind=ReportRun.Kind.REPORT,
            trigger=self.trigger,
            requested_by=self.requested_by,
            scope=asdict(self.scope),
            window_start=self.window.start if self.window else None,
            window_end=self.window.end if self.window else None,
            dry_run=self.dry_run,
            with_sync=self.sync,
            retry_rejected=self.retry_rejected,
            as_of=self.as_of,
            confirmed=dict(self.confirmed),
            shown=dict(self.shown),
            queued_at=now,
        )

    @classmethod
    def of_run(cls, run: ReportRun) -> "ReportRequest":
        """Return what a stored run was asked to do."""
        return cls(
            scope=Scope.stored(run.scope),
            window=Span(run.window_start, run.window_end) if run.window_start and run.window_end else None,
            dry_run=run.dry_run,
            sync=run.with_sync,
            retry_rejected=run.retry_rejected,
            as_of=run.as_of,
            confirmed=run.confirmed,
            shown=run.shown,
            trigger=ReportRun.Trigger(run.trigger),
            requested_by=run.requested_by,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRules:
    """The settings a run goes by."""

    tail: timedelta
    brake_percent: int
    invoice_grace: timedelta
    calls_per_second: int
    carries_late: bool = False
    """Whether late usage goes into an open period by itself where that costs the same (LATE_USAGE)."""
    time_is_up: Callable[[], bool] = lambda: False
    """Whether the run has to leave the rest to the next one: others wait for the worker, or it ends."""


def check_window(window: Span, *, now: datetime) -> None:
    """Raise `InvalidInput` unless the window can be planned."""
    problems = (
        (window.start >= now, "--from lies in the future; usage is reported once its hour is over."),
        (window.start >= window.end, "--from must be before --to."),
        (
            any(floor_to(at, HOUR) != at for at in (window.start, window.end)),
            "--from and --to must be whole UTC hours, like 2026-11-22T14:00:00Z.",
        ),
        (window.end > now, "--to lies in the future; usage is reported once its hour is over."),
        (
            window.start < now - OLDEST_EVENT,
            "--from is more than 34 days ago; Stripe takes no usage older than 35 days.",
        ),
    )
    for applies, sentence in problems:
        if applies:
            raise InvalidInput(sentence)


def check_scope(scope: Scope) -> None:
    """Raise `InvalidInput` if the scope names something that the console does not know."""
    known = set(
        Subscription.objects.filter(stripe_id__in=scope.subscriptions).values_list("stripe_id", flat=True)
    )
    if unknown := [name for name in scope.subscriptions if name not in known]:
        msg = f"There is no subscription {unknown[0]} here: check the id, or sync with Stripe first."
        raise InvalidInput(msg)
    if scope.customer and not Customer.objects.filter(stripe_id=scope.customer).exists():
        msg = f"There is no customer {scope.customer} here: check the id, or sync with Stripe first."
        raise InvalidInput(msg)
    if scope.meter and not enrolments_in(Scope(meter=scope.meter)).exists():
        slugs = ", ".join(sorted(meter.slug for meter in Meter.objects.filter(deleted_at=None)))
        msg = f"There is no meter {scope.meter} with subscribers here; known meters: {slugs or 'none yet'}."
        raise InvalidInput(msg)
