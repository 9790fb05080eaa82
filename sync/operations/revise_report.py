"""A further revision of a slice that has one."""

from datetime import datetime
from typing import Any

from sync.domain.identifiers import report_identifier
from sync.models import UsageReport


def revised(report: UsageReport, revision: int, *, now: datetime, **columns: Any) -> UsageReport:
    """Return a report of the same slice under a name of its own, as the given one but for these columns.

    It waits to be sent unless another status is given, and nothing is saved. The report is loaded with
    enrolment, customer and meter. Only what is measured, carried and billed comes along, and the run.
    """
    kept = ("enrolment", "slice_start", "slice_end", "measured", "carried", "quantity", "value")
    values = {name: getattr(report, name) for name in (*kept, "event_at", "closes_at", "run")}
    return UsageReport(
        **values | columns,
        revision=revision,
        identifier=report_identifier(
            meter_id=report.enrolment.meter.stripe_id,
            customer_id=report.enrolment.customer.stripe_id,
            slice_start=report.slice_start,
            revision=revision,
        ),
        created_at=now,
    )
