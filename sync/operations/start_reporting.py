"""A person's decision from when on a customer's usage is this console's to report."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from sync.domain.closings import OLDEST_EVENT
from sync.domain.timeline import HOUR, floor_to
from sync.models import Enrolment, UsageReport
from sync.operations.record_findings import end_report_findings
from sync.operations.resolve_report import decision
from sync.operations.sum_up_days import mark_days, sum_up_days_after_commit
from sync.ports import InvalidInput

Status = UsageReport.Status


def start_reporting(
    *, enrolment_id: int, start: datetime, why: str, who: str, now: datetime
) -> list[UsageReport]:
    """Usage before `start` (a full UTC hour) is somebody else's to bill; return the reports this dismissed.

    What was never sent of it is dismissed as already billed, nothing more of it is planned, and what was
    sent stays. Raises `InvalidInput` for an instant that cannot be, and where it lies inside of a report.
    """
    problem = why_not_from(start, now=now) or ("" if why.strip() else "Say why.")
    if problem:
        raise InvalidInput(problem)
    with transaction.atomic():
        enrolment = Enrolment.objects.select_for_update(no_key=True).get(pk=enrolment_id)
        rows = unsent_before(enrolment, start)
        locked = list(rows.select_for_update(of=("self",)).select_related("enrolment__meter").order_by("pk"))
        if any(row.slice_end > start for row in locked):
            msg = "A report begins before then and ends after it: choose when it begins, or when it ends."
            raise InvalidInput(msg)
        said = decision("Billed already, by another tool,", why, who, now)
        for row in locked:
            row.status, row.written_off, row.decision = Status.DISMISSED, True, said
            row.next_attempt_at = None
        UsageReport.objects.bulk_update(
            locked, ["status", "written_off", "decision", "next_attempt_at"], batch_size=200
        )
        enrolment.report_from = start
        # A plan that is being made knows nothing of it, and is refused.
        enrolment.set_back(start)
        enrolment.save(update_fields=["report_from", "planned_through", "anew"])
        end_report_findings(locked, now=now, resolution=said)
        mark_days([(row.enrolment.meter_id, row.slice_start) for row in locked], now=now)
        sum_up_days_after_commit(now=now)
    return locked


def why_not_from(start: datetime, *, now: datetime) -> str:
    """Return why reporting cannot start then, as a sentence, or ""."""
    if floor_to(start, HOUR) != start:
        return "Choose a full hour, in UTC."
    if start > now:
        return "Choose an hour that has begun: what will be used is not billed yet."
    if start < now - OLDEST_EVENT:
        return "Stripe takes no usage older than 35 days: choose a later hour."
    return ""


def unsent_before(enrolment: Enrolment, start: datetime) -> QuerySet[UsageReport]:
    """Return the reports of usage before an instant that Stripe surely was never told."""
    waits = Q(status__in=(Status.PENDING, Status.HELD, Status.LATE), maybe_arrived=False)
    return UsageReport.objects.filter(waits, enrolment=enrolment, slice_start__lt=start)
