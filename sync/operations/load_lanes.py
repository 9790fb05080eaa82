"""What is to be sent for an enrolment, in the order in which it must be sent."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.models import Meter, UsageReport
from sync.models.ledger import is_unsettled
from sync.operations.confirmed_reports import ConfirmedReports
from sync.queries.uncompared import is_uncompared

Status = UsageReport.Status

REPORTS_PER_LANE = 50
"""Reports of one enrolment taken into memory at once; the rest is loaded when it is claimed again."""

SETTLED_BY_PEOPLE = (Status.REJECTED, Status.HELD)


@dataclass(slots=True)
class Lane:
    """One enrolment's due reports; one call at a time."""

    reports: list[UsageReport]
    busy: bool = False
    tries: int = 0
    ready_at: float = 0.0

    @property
    def head(self) -> UsageReport:
        """The report that is to be sent next."""
        return self.reports[0]

    def drop(self, report: UsageReport) -> bool:
        """Take a report off; with it, unless it was delivered, later revisions of its slice.

        Return whether anything is left to send.
        """
        settled = report.status == Status.DELIVERED
        self.reports = [
            other
            for other in self.reports
            if other.pk != report.pk and (settled or other.slice_start != report.slice_start)
        ]
        self.tries, self.ready_at = 0, 0.0
        return bool(self.reports)


def load_lanes(
    enrolments: Sequence[int], *, now: datetime, due_by: datetime, only: ConfirmedReports | None = None
) -> dict[int, Lane]:
    """Return a lane for each enrolment that has something to send now.

    Slices in order, revisions strictly in order: a revision waits while an earlier one of its slice may yet
    be sent once a person decides so, and everything waits behind one that is only waiting for its next
    attempt. What is not among `only` waits as if for a person: what a confirmed run must not send. So does
    what has to be compared with Stripe before it is sent for the first time.
    """
    rows = (
        UsageReport.objects.filter(is_unsettled(), enrolment__in=enrolments)
        .select_related("enrolment__customer")
        .order_by("enrolment", "slice_start", "revision")
    )
    by_enrolment: dict[int, list[UsageReport]] = {}
    unsettled = UsageReport.objects.filter(is_unsettled(), enrolment__in=enrolments)
    uncompared = set(unsettled.filter(is_uncompared(now)).values_list("pk", flat=True))
    meters = Meter.objects.in_bulk()  # few, and each serves many reports
    for row in rows.iterator(chunk_size=2000):
        row.enrolment.meter = meters[row.enrolment.meter_id]
        by_enrolment.setdefault(row.enrolment_id, []).append(row)
    lanes = {pk: Lane(_sendable(reports, due_by, only, uncompared)) for pk, reports in by_enrolment.items()}
    return {pk: lane for pk, lane in lanes.items() if lane.reports}


def soonest_closing_first(lanes: Mapping[int, Lane]) -> dict[int, Lane]:
    """Return the lanes in the order in which the first of the periods of what they have to send closes.

    Of several subscriptions, what closes soonest may wait behind an earlier slice.
    """
    return dict(
        sorted(lanes.items(), key=lambda lane: (min(one.closes_at for one in lane[1].reports), lane[0]))
    )


def _sendable(
    reports: Iterable[UsageReport],
    due_by: datetime,
    only: ConfirmedReports | None,
    uncompared: Collection[int],
) -> list[UsageReport]:
    sendable: list[UsageReport] = []
    blocked: set[datetime] = set()
    for report in reports:
        for_people = report.status in SETTLED_BY_PEOPLE or (
            report.status == Status.UNKNOWN and report.next_attempt_at is None
        )
        # What waits behind a late one is late as well, and has to be seen to be.
        if report.status == Status.LATE or report.slice_start in blocked:
            continue
        if for_people or report.pk in uncompared or (only and not only.includes(report)):
            blocked.add(report.slice_start)
        elif report.next_attempt_at and report.next_attempt_at > due_by:
            break
        else:
            sendable.append(report)
        if len(sendable) == REPORTS_PER_LANE:
            break
    return sendable
