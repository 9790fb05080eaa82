"""What the gateway reads of a meter's event summaries: from the sandbox, and from peers that misbehave."""

from datetime import timedelta
from decimal import Decimal

import pytest

from sync.clients.stripe import StripeGateway
from sync.domain.timeline import Span
from sync.ports import SyncError
from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.integration.stub_server import Answer, running_stub
from tests.sandbox_client import TEST_KEY, send_event, subscribe

HOUR = timedelta(hours=1)
MIDNIGHT = NOW.replace(hour=0, minute=0)
MONTH = Span(MIDNIGHT - timedelta(days=30), MIDNIGHT + timedelta(days=1))


def gateway(url):
    return StripeGateway(key=TEST_KEY, base=url, livemode=False, retry_pause_seconds=0.001)


@pytest.fixture
def summaries(sandbox, client, control):
    """Read the summaries of a customer who used 1.5 an hour ago, and something a day and a month before."""
    to = subscribe(client)
    for ago, value in ((HOUR, "1.5"), (25 * HOUR, "0.000001"), (timedelta(days=30), "123456789012345")):
        send_event(client, to, value, timestamp=int((NOW - ago).timestamp()))
    stripe = gateway(sandbox.stripe_url)

    def read(span=MONTH, grouping=None):
        return stripe.event_summaries(
            meter_id=to.meter, customer_id=to.customer, span=span, grouping=grouping
        )

    return read


class TestEventSummaries:
    def test_are_one_sum_unless_grouped(self, summaries):
        (one,) = summaries(Span(NOW - 2 * HOUR, NOW))
        assert (one.span, one.units) == (Span(NOW - 2 * HOUR, NOW), Decimal("1.5"))

    def test_go_through_all_pages_oldest_first(self, summaries):
        hours = summaries(grouping="hour")
        assert len(hours) == 31 * 24
        used = [(one.span.start, one.units) for one in hours if one.units]
        assert used == [
            (NOW.replace(minute=0) - timedelta(days=30), Decimal(123456789012345)),
            (NOW.replace(minute=0) - 25 * HOUR, Decimal("0.000001")),
            (NOW.replace(minute=0) - HOUR, Decimal("1.5")),
        ]

    def test_are_sums_of_days(self, summaries):
        days = summaries(grouping="day")
        assert [one.span for one in days] == [
            Span(MONTH.start + n * timedelta(days=1), MONTH.start + (n + 1) * timedelta(days=1))
            for n in range(31)
        ]
        assert [one.units for one in days if one.units][1:] == [Decimal("0.000001"), Decimal("1.5")]

    def test_leave_the_last_minutes_out(self, summaries, control):
        control.settings(summary_lag_seconds=120)
        assert sum(one.units for one in summaries(grouping="hour")) == 0

    def test_are_refused_by_stripe_where_ends_do_not_align(self, summaries):
        with pytest.raises(SyncError, match="align"):
            summaries(Span(NOW - HOUR, NOW), grouping="hour")

    @pytest.mark.parametrize("value", ["many", None, {}, True])
    def test_without_a_number_are_no_answer_of_stripes(self, value):
        row = {"id": "mtrusg_1", "aggregated_value": value, "start_time": 0, "end_time": 60}
        with running_stub() as peer:
            peer.will(Answer({"object": "list", "data": [row], "has_more": False, "url": "/v1/x"}))
            stripe = gateway(peer.url)
            with pytest.raises(SyncError, match="STRIPE_API_BASE"):
                stripe.event_summaries(meter_id="mtr_1", customer_id="cus_1", span=MONTH)
