"""In which order enrolments are sent for."""

from datetime import UTC, datetime, timedelta

from sync.models import UsageReport
from sync.operations.load_lanes import Lane, soonest_closing_first

NOON = datetime(2026, 4, 10, 12, tzinfo=UTC)


def lane(*closing_in_hours: int) -> Lane:
    return Lane([UsageReport(closes_at=NOON + timedelta(hours=hours)) for hours in closing_in_hours])


def test_what_closes_soonest_is_first_even_behind_a_slice_that_closes_later():
    lanes = {1: lane(3), 2: lane(72, 1), 3: lane(2, 4), 4: lane(3)}
    assert list(soonest_closing_first(lanes)) == [2, 3, 1, 4]
