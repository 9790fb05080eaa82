"""What was carried into open periods from periods that had closed."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sync.domain.accounts import Counts
from sync.domain.quantities import exact_sum
from sync.models import UsageReport
from sync.queries.held_units import Asked


def units_taken_along(asked: Sequence[Asked]) -> list[Decimal]:
    """Return the units that each stretch bills for others, in the order asked; one query.

    Below zero where more is taken off than added. Few reports take anything along.
    """
    rows = UsageReport.objects.filter(
        enrolment__in={one.enrolment_id for one in asked}, corrects__isnull=False
    ).order_by("revision")
    # A slice's newest revision of these has all that the slice was given.
    newest: dict[tuple[int, datetime], UsageReport] = {
        (row.enrolment_id, row.slice_start): row for row in rows if row.counts is not Counts.NOT
    }
    return [
        exact_sum(
            [
                row.carried
                for row in newest.values()
                if row.enrolment_id == one.enrolment_id and one.span.start <= row.event_at < one.span.end
            ]
        )
        for one in asked
    ]
