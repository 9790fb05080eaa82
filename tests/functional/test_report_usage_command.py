"""manage.py report_usage and held_reports, as people and cron jobs use them."""

import io
import json

import pytest
import time_machine
from django.core.management import CommandError, call_command

from sync.models import Enrolment, ReportRun, UsageReport
from tests.functional.test_report_usage import at

NOW = at("2026-03-10T10:03")
QUERY = "GET /api/v1/meters/{meterIdOrSlug}/query"


@pytest.fixture
def shell(world, config, settings):
    """Return a function that runs a command at the world's time: exit code, stdout, stderr."""
    settings.STRIPE_KEY = config.stripe_key
    settings.STRIPE_API_BASE = config.stripe_api_base
    settings.STRIPE_RATE_LIMIT = config.stripe_rate_limit
    settings.OPENMETER_URL = config.openmeter_url

    def run(*args):
        out, err, code = io.StringIO(), io.StringIO(), 0
        with time_machine.travel(world.now, tick=False):
            try:
                call_command(*args, stdout=out, stderr=err)
            except CommandError as error:
                code = error.returncode
                err.write(str(error))
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def ada(world):
    """Return a customer who used 10 tokens in the hour before ten."""
    who = world.subscriber(world.meter())
    world.use("ada", 10, at("2026-03-10T09:30"))
    world.at(NOW)
    return who


class TestReportUsage:
    def test_prints_the_examples_line_and_a_table(self, shell, ada):
        code, out, err = shell("report_usage")
        assert (code, err) == (0, "")
        first = out.splitlines()[0]
        assert first.startswith(f"stripe_customer: {ada.customer}, stripe_price: price_")
        assert first.endswith(
            "meter: tokens, total_usage: 10.000000, from: 2026-03-10T09:00:00Z, to: 2026-03-10T10:00:00Z"
        )
        assert "delivered: 1" in out

    def test_prints_one_json_object_and_nothing_else(self, shell, ada):
        code, out, err = shell("report_usage", "--format", "json")
        assert (code, err) == (0, "")
        result = json.loads(out)
        assert result["run"] == ReportRun.objects.get().pk
        assert result["status"] == "succeeded"
        assert result["counters"]["delivered"] == 1
        assert result["lines"][0]["total_usage"] == "10.000000"

    def test_prints_an_object_also_where_nothing_could_be_begun(self, shell, ada, settings):
        settings.STRIPE_KEY = "sk_live_abcd1234"
        code, out, err = shell("report_usage", "--format", "json")
        assert code == 2
        assert json.loads(out) == {
            "run": None,
            "status": "failed",
            "dry_run": False,
            "counters": {},
            "errors": [err],
            "notes": [],
            "undecided": {},
            "lines": [],
        }

    def test_counts_a_customer_once_where_two_prices_share_the_meter(self, shell, world, ada):
        tokens = world.stripe("GET", "/prices")["data"][0]["recurring"]["meter"]
        other = world.stripe(
            "POST",
            "/prices",
            currency="usd",
            unit_amount=2,
            product_data={"name": "surcharge"},
            recurring={"interval": "month", "usage_type": "metered", "meter": tokens},
        )
        world.at(at("2026-03-10T09:00"))
        world.stripe("POST", "/subscriptions", customer=ada.customer, items=[{"price": other["id"]}])
        world.at(NOW)
        _, out, _ = shell("report_usage")
        assert out.count("total_usage: 10.000000") == 2
        assert world.billed(ada) == 10
        assert [line.split("│")[2:4] for line in out.splitlines() if line.startswith("│")] == [
            [" " * 9 + "1 ", " " * 13 + "10 "]
        ]

    def test_ends_with_1_where_something_failed_and_with_0_once_it_is_mended(self, shell, world, ada):
        refusal = {"error": {"type": "invalid_request_error", "message": "No such customer: 'cus_x'"}}
        world.control.fault("POST /v1/billing/meter_events", status=400, body=refusal)
        code, out, _ = shell("report_usage")
        assert code == 1
        assert "1 refused. See manage.py held_reports --list" in out
        assert shell("report_usage", "--retry-rejected")[0] == 0
        assert world.billed(ada) == 10

    def test_records_who_asked_and_for_what(self, shell, ada):
        shell("report_usage", "--customer", ada.customer, "--dry-run")
        run = ReportRun.objects.get()
        assert run.trigger == "command"
        assert run.requested_by
        assert run.scope["customer"] == ada.customer
        assert run.dry_run

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (["--from", "yesterday"], "--from yesterday is no ISO 8601 time"),
            (["--from", "2026-03-10T09:00Z", "--to", "2026-03-10T08:00Z"], "--from must be before --to"),
            (["--from", "2026-03-10T09:00Z", "--to", "2026-03-10T09:00Z"], "--from must be before --to"),
            (["--from", "2026-03-10T08:30Z"], "whole UTC hours"),
            (["--to", "2026-03-10T11:00Z"], "lies in the future"),
            (["--from", "2026-03-11T11:00Z"], "lies in the future"),
            (["--from", ""], "is no ISO 8601 time"),
            (["--from", "0001-01-01T00:00+14:00"], "is no ISO 8601 time"),
            (["--to", "9999-12-31T23:00-14:00"], "is no ISO 8601 time"),
            (["--from", "2026-02-04T09:00Z"], "more than 34 days ago"),
            (["--subscription", "sub_nobody"], "There is no subscription sub_nobody"),
            (["--customer", "cus_nobody"], "There is no customer cus_nobody"),
            (["--meter", "minutes"], "There is no meter minutes"),
        ],
    )
    def test_answers_bad_input_with_a_sentence_and_exit_code_2(self, shell, ada, args, sentence):
        code, out, err = shell("report_usage", *args)
        assert code == 2
        assert sentence in err
        assert out == ""
        assert not UsageReport.objects.exists()

    def test_a_window_with_an_offset_is_understood(self, shell, world, ada):
        code, _, err = shell(
            "report_usage", "--from", "2026-03-10T10:00+01:00", "--to", "2026-03-10T11:00+01:00"
        )
        assert (code, err) == (0, "")
        assert world.billed(ada) == 10


class TestOpenMeterTrouble:
    @pytest.mark.parametrize(
        ("fault", "sentence"),
        [
            ({"status": 401}, "OPENMETER_TOKEN"),
            ({"status": 404}, "tokens"),
            ({"status": 200, "body": "<html>Sign in</html>"}, "JSON"),
            ({"status": 500}, "OpenMeter"),
            ({"cut": "before"}, "OpenMeter"),
            (
                {
                    "status": 200,
                    "body": {
                        "data": [
                            {
                                "value": "many",
                                "subject": "ada",
                                "windowStart": "2026-03-10T09:00:00Z",
                                "windowEnd": "2026-03-10T10:00:00Z",
                                "groupBy": {},
                            }
                        ]
                    },
                },
                "number",
            ),
        ],
        ids=["401", "404", "html", "500", "cut", "no number"],
    )
    def test_is_a_sentence_and_leaves_the_ledger_unharmed(self, shell, world, ada, fault, sentence):
        world.sync()
        world.control.fault(QUERY, times=9, **fault)
        code, out, err = shell("report_usage", "--no-sync")
        assert code == 1
        assert sentence in err
        assert "Traceback" not in out + err
        assert not UsageReport.objects.exists()
        assert Enrolment.objects.get().planned_through is None
        world.control.clear_faults()
        assert shell("report_usage", "--no-sync")[0] == 0
        assert world.billed(ada) == 10

    def test_with_one_meter_does_not_stop_another(self, shell, world, ada):
        calls = world.meter("calls")
        world.at(at("2026-03-10T09:00"))
        bob = world.subscriber(calls, "bob")
        world.use("bob", 4, at("2026-03-10T09:30"), "calls")
        world.at(NOW)
        world.sync()
        world.openmeter_http.delete("/api/v1/meters/tokens")
        _, shown, _ = shell("report_usage", "--no-sync", "--dry-run", "--format", "json")
        assert json.loads(shown)["status"] == "partial"
        code, _, err = shell("report_usage", "--no-sync")
        assert code == 1
        assert "tokens" in err
        assert world.billed(bob, "calls") == 4


class TestUnsupportedMeters:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"status": "inactive"}, "deactivated"),
            ({"default_aggregation": {"formula": "count"}}, "formula count"),
            ({"default_aggregation": {"formula": "last"}}, "formula last"),
            ({"event_time_window": "day"}, "one value per day"),
        ],
        ids=["inactive", "count", "last", "day"],
    )
    def test_are_refused_with_a_sentence(self, shell, world, ada, change, sentence):
        meter = world.stripe("GET", "/billing/meters")["data"][0]["id"]
        world.control.patch_stripe(meter, **change)
        code, _, err = shell("report_usage")
        assert code == 1
        assert sentence in err
        assert not UsageReport.objects.exists()

    def test_that_disappeared_are_refused_with_a_sentence(self, shell, world, ada):
        world.sync()
        world.control.delete_stripe(world.stripe("GET", "/billing/meters")["data"][0]["id"])
        world.later(minutes=1)
        code, _, err = shell("report_usage")
        assert code == 1
        assert "tokens" in err
        assert not UsageReport.objects.exists()

    def test_whose_aggregation_does_not_add_up_are_refused_with_a_sentence(self, shell, world):
        world.subscriber(world.meter("peak", aggregation="MAX"))
        world.use("ada", 10, at("2026-03-10T09:30"), "peak")
        world.at(NOW)
        code, _, err = shell("report_usage")
        assert code == 1
        assert "does not add up" in err
        assert not UsageReport.objects.exists()


class TestHeldReports:
    @pytest.fixture
    def held(self, shell, world, ada):
        """Return a report that the brake holds."""
        shell("report_usage")
        world.forget()
        shell("report_usage")
        return UsageReport.objects.get(status="held")

    def test_lists_what_waits_and_why(self, shell, held, ada):
        code, out, _ = shell("held_reports", "--list")
        assert code == 0
        assert str(held.pk) in out
        assert ada.customer in out
        assert "no usage at all" in out
        _, out, _ = shell("held_reports", "--list", "--format", "json")
        assert json.loads(out)[0]["value"] == "-10"

    def test_releases_by_number(self, shell, world, held, ada):
        code, out, _ = shell("held_reports", "--release", str(held.pk), "--why", "test data")
        assert code == 0
        assert "report_usage" in out
        shell("report_usage")
        assert world.billed(ada) == 0

    def test_dismisses_all_with_a_reason(self, shell, world, held, ada):
        assert shell("held_reports", "--dismiss", "all")[0] == 2
        assert shell("held_reports", "--dismiss", "all", "--why", "OpenMeter was empty")[0] == 0
        assert shell("held_reports", "--list")[1] == "Nothing waits for a decision.\n"
        shell("report_usage")
        assert world.billed(ada) == 10

    @pytest.mark.parametrize("number", ["four", "99999"])
    def test_answers_a_wrong_number_with_a_sentence(self, shell, held, number):
        code, _, err = shell("held_reports", "--release", number)
        assert code == 2
        assert number in err

    def test_decides_what_can_be_decided_and_names_the_rest(self, shell, world, held):
        late = UsageReport.objects.get(status="delivered")
        UsageReport.objects.filter(pk=late.pk).update(
            status="late", delivered_at=None, closes_at=at("2026-03-10T10:00")
        )
        code, out, err = shell("held_reports", "--release", "all")
        assert code == 2
        assert f"Report {late.pk} belongs to a billing period that closed" in err
        assert "released" in out
        assert UsageReport.objects.get(pk=held.pk).status == "pending"

    def test_never_sends_again_by_the_way_what_may_have_arrived(self, shell, world, held):
        delivered = UsageReport.objects.get(status="delivered")
        UsageReport.objects.filter(pk=delivered.pk).update(status="unknown", delivered_at=None)
        assert shell("held_reports", "--release", "all")[0] == 0
        assert UsageReport.objects.get(pk=delivered.pk).status == "unknown"
        code, _, err = shell("held_reports", "--release", str(delivered.pk))
        assert code == 2
        assert "Look in Stripe first" in err
        assert shell("held_reports", "--release", str(delivered.pk), "--why", "it is not in Stripe")[0] == 0
        assert UsageReport.objects.get(pk=delivered.pk).status == "replaced"
