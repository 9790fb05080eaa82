"""Everything that the first page says: is reporting current, what needs a person, what was used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sync.models import Pause, ReportRun
from sync.queries.attention import Waiting, count_open_findings, waiting_for_a_person
from sync.queries.closing_periods import ClosingPeriod, closing_periods, periods_closing, shown
from sync.queries.first_steps import FirstSteps, first_steps
from sync.queries.last_runs import last_runs
from sync.queries.meter_days import MeterDays, meter_days
from sync.queries.pauses import open_pauses
from sync.queries.reporting_health import SLICE_SHOULD_BE_IN, ReportingHealth, reporting_health
from sync.queries.silent_customers import silent_customers

GRID_DAYS = 30
CLOSING = timedelta(hours=24)
MOST_CLOSING = 8
MOST_RUNS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The periods that close within a day: how many, how many are over and miss usage, and the first ones."""

    count: int
    missing: int
    periods: Sequence[ClosingPeriod]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page. What the person may not see is None."""

    steps: FirstSteps
    health: ReportingHealth | None
    waiting: Sequence[Waiting] | None
    silent_customers: int | None
    open_findings: int | None
    pauses: Sequence[Pause] | None
    days: Sequence[MeterDays] | None
    closing: Closing | None
    runs: Sequence[ReportRun] | None


def overview(*, now: datetime, may_see: Callable[[str], bool]) -> Overview:
    """Return what somebody sees who may see rows of these models, by their names.

    A constant number of queries, however much there is.
    """
    reports, runs = may_see("usagereport"), may_see("reportrun")
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=GRID_DAYS - 1)
    return Overview(
        steps=first_steps(),
        health=reporting_health(now=now) if reports and runs else None,
        waiting=waiting_for_a_person() if reports else None,
        silent_customers=silent_customers().count() if may_see("finding") and may_see("customer") else None,
        open_findings=count_open_findings() if may_see("finding") else None,
        pauses=list(open_pauses()) if may_see("pause") else None,
        days=meter_days(first=first, last=today) if reports and may_see("meter") else None,
        closing=_closing(now) if reports and may_see("subscription") else None,
        runs=last_runs(MOST_RUNS) if runs else None,
    )


def _closing(now: datetime) -> Closing:
    until = now + CLOSING
    closing = periods_closing(now=now, until=until)
    # What could still be in is not asked of a period that goes on.
    missing = closing.filter(end__lte=now - SLICE_SHOULD_BE_IN).filter(is_in=False)
    first = shown(missing.order_by("closes_at", "pk")[:MOST_CLOSING])
    known = {(one.subscription_id, one.meter) for one in first}
    others = closing_periods(now=now, until=until, limit=MOST_CLOSING)
    return Closing(
        count=closing.count(),
        missing=missing.count(),
        periods=[*first, *(one for one in others if (one.subscription_id, one.meter) not in known)][
            :MOST_CLOSING
        ],
    )
