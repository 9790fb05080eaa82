"""What the sandbox's Stripe makes of meter events: windows, formulas, summaries."""

import datetime as dt
from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe

from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import TEST_KEY, Subscribed, create_price, send_event, subscribe, unix

pytestmark = pytest.mark.usefixtures("sandbox")


def summaries(client: stripe.StripeClient, of: Subscribed, **params: Any) -> list[Any]:
    base = {
        "customer": of.customer,
        "start_time": unix("2026-01-31T00:00"),
        "end_time": unix("2026-02-01T00:00"),
    }
    return client.v1.billing.meters.event_summaries.list(of.meter, base | params).data


class TestWindows:
    @pytest.mark.parametrize(("window", "later"), [("hour", "10:59:59"), ("day", "00:00:00")])
    def test_count_the_event_received_last(self, client, control, window, later):
        to = subscribe(client, create_price(client, event_time_window=window))
        send_event(client, to, "5", timestamp=unix("2026-01-31T10:20:00"))
        control.set_clock(NOW + dt.timedelta(hours=1))
        send_event(client, to, "3", timestamp=unix(f"2026-01-31T{later}"))
        send_event(client, to, "100", timestamp=unix("2026-01-30T23:59:59"))
        counted = [(row["value"], row["counted"]) for row in control.meter_events(customer=to.customer)]
        assert counted == [("5", False), ("3", True), ("100", True)]
        assert control.totals()[to.customer, "tokens"] == "103"
        assert [row.aggregated_value for row in summaries(client, to)] == [3]

    @pytest.mark.parametrize(("formula", "total"), [("sum", "9"), ("count", "3"), ("last", "2")])
    def test_formulas(self, client, control, formula, total):
        to = subscribe(client, create_price(client, default_aggregation={"formula": formula}))
        send_event(client, to, "3", timestamp=int(NOW.timestamp()) - 100)
        send_event(client, to, "2", timestamp=int(NOW.timestamp()))
        send_event(client, to, "4", timestamp=int(NOW.timestamp()) - 50)
        assert control.totals()[to.customer, "tokens"] == total
        assert summaries(client, to)[0].aggregated_value == int(total)


class TestSummaries:
    def test_give_one_total_without_grouping(self, client):
        to = subscribe(client)
        assert [row.aggregated_value for row in summaries(client, to)] == [0]
        send_event(client, to, "2", timestamp=unix("2026-01-31T00:00:00"))
        send_event(client, to, "3", timestamp=unix("2026-01-30T23:59:59"))
        assert [row.aggregated_value for row in summaries(client, to)] == [2]

    def test_leave_the_end_out(self, client):
        to = subscribe(client)
        send_event(client, to, "2", timestamp=unix("2026-01-31T10:00:00"))
        assert summaries(client, to, end_time=unix("2026-01-31T10:00:00"))[0].aggregated_value == 0

    def test_page_by_ten_newest_first(self, client):
        to = subscribe(client)
        send_event(client, to, "2", timestamp=unix("2026-01-31T09:30:00"))
        rows = summaries(client, to, value_grouping_window="hour")
        assert len(rows) == 10
        assert rows[0].start_time == unix("2026-01-31T23:00:00")
        listed = client.v1.billing.meters.event_summaries.list(
            to.meter,
            {
                "customer": to.customer,
                "start_time": unix("2026-01-31T00:00"),
                "end_time": unix("2026-02-01T00:00"),
                "value_grouping_window": "hour",
                "limit": 7,
            },
        )
        every = list(listed.auto_paging_iter())
        assert len(every) == 24
        assert sum(row.aggregated_value for row in every) == 2
        assert len({row.id for row in every}) == 24

    @pytest.mark.parametrize(
        "params",
        [
            {"start_time": unix("2026-01-31T00:00") + 1},
            {"start_time": unix("2026-01-31T00:01"), "value_grouping_window": "hour"},
            {"start_time": unix("2026-01-31T01:00"), "value_grouping_window": "day"},
            {"end_time": unix("2026-01-31T00:00")},
            {"limit": 101},
            {"limit": 0},
            {"customer": "cus_gone"},
            {"starting_after": "mtrusg_test_gone"},
        ],
    )
    def test_refuse_what_does_not_align_or_exist(self, client, params):
        to = subscribe(client)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            summaries(client, to, **params)
        assert refusal.value.http_status == 400

    def test_lag_behind(self, client, control):
        control.settings(summary_lag_seconds=60)
        to = subscribe(client)
        send_event(client, to, "2")
        assert summaries(client, to)[0].aggregated_value == 0
        control.set_clock(NOW + dt.timedelta(seconds=60))
        assert summaries(client, to)[0].aggregated_value == 2

    def test_write_numbers_digit_by_digit(self, client, sandbox):
        to = subscribe(client)
        send_event(client, to, "123456789012345")
        send_event(client, to, "0.000000123")
        answer = httpx.get(
            f"{sandbox.stripe_url}/v1/billing/meters/{to.meter}/event_summaries",
            params={
                "customer": to.customer,
                "start_time": unix("2026-01-31T00:00"),
                "end_time": unix("2026-02-01T00:00"),
            },
            headers={"Authorization": f"Bearer {TEST_KEY}"},
        )
        exact = answer.json(parse_float=Decimal)["data"][0]["aggregated_value"]
        assert exact == Decimal("123456789012345.000000123")
