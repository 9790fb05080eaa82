"""Which slices are measured and wait for nothing: these can take late usage along."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sync.domain.closings import OLDEST_EVENT
from sync.domain.periods import billable_stretches
from sync.domain.slices import Slice, cut_slices
from sync.domain.timeline import HOUR, floor_to
from sync.models import Enrolment, Meter, UsageReport
from sync.queries.planning import EnrolmentToPlan, LedgerRow, Scope, enrolments_to_plan, rows_by_slice


def measured_slices(
    enrolments: Iterable[Enrolment], *, now: datetime, unmeasured_too: bool = False
) -> Iterator[tuple[EnrolmentToPlan, list[Slice]]]:
    """Yield each enrolment (loaded with its meter) with its slices of the last five weeks, in order.

    With `unmeasured_too` also those that are yet to be measured, perhaps again: Stripe may hold something of
    them. A few queries per meter.
    """
    by_meter: dict[Meter, set[int]] = defaultdict(set)
    for one in enrolments:
        by_meter[one.meter].add(one.pk)
    since = floor_to(now - OLDEST_EVENT, HOUR)
    for meter, mine in by_meter.items():
        scope = Scope(meter=meter.stripe_id)
        for planned in enrolments_to_plan(meter, scope=scope, since=since, now=now, only=mine):
            until = now if unmeasured_too else planned.planned_through
            yield planned, _measured(planned, meter, since, until, now=now)


def _measured(
    one: EnrolmentToPlan, meter: Meter, since: datetime, until: datetime | None, *, now: datetime
) -> list[Slice]:
    stretches = billable_stretches(one.items, report_from=one.report_from, sets_hours=meter.sets_hours)
    slices = cut_slices(
        stretches,
        stored=one.stored_slices(),
        fresh_from=one.planned_through,
        reread_from=since,
        horizon=now - timedelta(seconds=meter.settle_seconds),
        limit=None,
        sets_hours=meter.sets_hours,
    )
    rows = rows_by_slice(one.rows)
    return [piece for piece in slices if _is_measured(piece, rows.get(piece.span.start, ()), until)]


def _is_measured(piece: Slice, rows: Sequence[LedgerRow], until: datetime | None) -> bool:
    """Whether it was measured, if only as zero, and nothing blocks it. The mark may have been set back."""
    if rows:
        return not any(row.status in UsageReport.BLOCKING for row in rows)
    return until is not None and piece.span.end <= until
