"""OpenMeter, the ledger, Stripe's totals and its invoices say the same, or it is said why not."""

import json
import re
from decimal import Decimal
from html import unescape
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command

from sync.admin.links import row_url
from sync.domain.reconciliation import Cause
from sync.models import Difference, Finding, Reconciliation, ReportRun, Subject, UsageReport
from sync.operations.count_as_billed import count_as_billed
from sync.operations.reconcile_usage import ReconcileRequest, reconcile_usage
from sync.queries.reconciled import totals_of
from sync.wiring import connect
from tests.functional.test_go_live import report_by_another_tool
from tests.functional.test_report_usage import at
from tests.office import dialog_url, text_of

EVENTS = "POST /v1/billing/meter_events"


def reconcile(world, **request) -> Reconciliation:
    """Compare everything, or as asked."""
    connections = connect(config=world.config)
    asked = ReconcileRequest(requested_by="tests", **request)
    return reconcile_usage(
        run=asked.as_run(now=world.now),
        request=asked,
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        tail=world.config.tail,
        clock=lambda: world.now,
    )


def differences(kept) -> list[tuple[str, Decimal]]:
    """Return what differs, by cause and units."""
    return sorted(Difference.objects.filter(reconciliation=kept).values_list("cause", "units"))


def kinds() -> set[str]:
    """Return of which kinds findings are open."""
    return set(Finding.objects.filter(resolved_at=None).values_list("kind", flat=True))


def report_two_days(world, window):
    """Report usage of two days, which are over; return who used it, and of what."""
    tokens = world.meter(window=window)
    who = world.subscriber(tokens)
    world.use("ada", 10, at("2026-03-10T09:30"))
    world.use("ada", 7, at("2026-03-11T14:30"))
    world.at(at("2026-03-12T08:03"))
    world.report()
    world.later(minutes=15)
    return who, tokens


@pytest.fixture(params=["", "hour"])
def ada(world, stage, request):
    """Return somebody whose usage of two days was reported."""
    name = f"two days reported, window {request.param!r}"
    who, world.tokens = stage.play(name, lambda: report_two_days(world, request.param))
    return who


class TestReconcile:
    def test_finds_nothing_where_all_sides_agree(self, world, ada):
        kept = reconcile(world)
        assert differences(kept) == []
        assert kept.run.status == ReportRun.Status.SUCCEEDED
        assert kept.is_whole
        (total,) = totals_of(kept)
        assert (total.used, total.measured, total.told, total.held) == (17, 17, 17, 17)

    def test_says_what_openmeter_has_come_to_tell(self, world, ada):
        world.use("ada", 5, at("2026-03-11T15:30"))
        assert differences(reconcile(world)) == [(Cause.CHANGED, 5)]
        finding = Finding.objects.get(kind=Finding.Kind.MEASURED_OTHERWISE)
        assert finding.message == (
            "OpenMeter says otherwise than was measured: 5 units of tokens, on 1 day from 2026-03-11 on, of "
            f"{ada.customer} (5). See Reconciliations."
        )
        world.report(trigger=ReportRun.Trigger.SCHEDULE)
        assert differences(reconcile(world)) == []
        finding.refresh_from_db()
        assert finding.resolved_at

    def test_says_what_stripe_lacks_and_has_too_much(self, world, ada):
        first = UsageReport.objects.order_by("slice_start")[0]
        UsageReport.objects.filter(pk=first.pk).update(value=first.value + 4, quantity=first.quantity + 4)
        event = {"stripe_customer_id": ada.customer, "value": "3"}
        world.stripe(
            "POST",
            "/billing/meter_events",
            event_name="tokens",
            payload=event,
            timestamp=int(at("2026-03-11T16:30").timestamp()),
        )
        found = differences(reconcile(world))
        assert (Cause.MISSING, 4) in found
        assert (Cause.SURPLUS, -3) in found
        assert {"missing_at_stripe", "surplus_at_stripe"} <= kinds()

    def test_says_what_waits_for_a_person(self, world, ada):
        UsageReport.objects.filter(slice_start__lt=at("2026-03-11T00:00")).update(
            status="rejected", delivered_at=None
        )
        found = differences(reconcile(world))
        assert (Cause.REFUSED, 10) in found

    def test_explains_usage_that_is_billed_to_nobody(self, world):
        tokens = world.meter()
        world.subscriber(tokens, "bob", trial_end=int(at("2026-03-11T09:00").timestamp()))
        eve = world.stripe("POST", "/customers", name="eve", metadata={"external_key": "eve"})
        world.sync()
        world.use("bob", 3, at("2026-03-10T12:30"))
        world.use("eve", 4, at("2026-03-10T12:30"))
        world.use("nobody", 5, at("2026-03-10T12:30"))
        world.at(at("2026-03-12T08:03"))
        world.report()
        assert Subject.objects.filter(key="eve").exists(), eve
        assert differences(reconcile(world)) == [
            (Cause.NO_CUSTOMER, 5),
            (Cause.NO_SUBSCRIPTION, 4),
            (Cause.TRIAL, 3),
        ]
        assert {"without_customer", "without_subscription", "not_billable"} <= kinds()

    def test_leaves_out_hours_that_runs_still_measure(self, world, ada):
        world.use("ada", 5, at("2026-03-12T07:30"))
        assert differences(reconcile(world)) == []

    def test_holds_final_invoices_against_what_was_reported(self, world, ada):
        world.at(at("2026-04-10T12:03"))
        world.report()
        assert differences(reconcile(world)) == []
        first = UsageReport.objects.order_by("slice_start")[0]
        UsageReport.objects.filter(pk=first.pk).update(value=first.value + 4)
        kept = reconcile(world)
        difference = Difference.objects.get(reconciliation=kept, cause=Cause.INVOICE)
        assert difference.units == 4
        assert "bills 17 units of tokens" in difference.detail
        assert difference.period.invoice_id in difference.detail
        UsageReport.objects.filter(pk=first.pk).update(value=first.value)
        reconcile(world)
        assert "invoice_differs" not in kinds()

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_knows_what_another_tool_reported_and_was_counted_as_billed(self, world, window):
        tokens = world.meter(window=window)
        who = world.subscriber(tokens)
        world.sync()
        world.at(at("2026-03-12T00:01"))
        for hour, units in (("09", 10), ("14", 7)):
            world.use("ada", units, at(f"2026-03-11T{hour}:30"))
            report_by_another_tool(world, who, units, at(f"2026-03-11T{hour}:59:59"))
        world.at(at("2026-03-15T08:03"))
        for _ in range(2):
            world.report()
            held = UsageReport.objects.filter(status="held").values_list("pk", flat=True)
            stripe = connect(config=world.config).stripe
            count_as_billed(list(held), why="the old tool", who="eve", source=stripe, clock=lambda: world.now)
            world.later(minutes=15)
        assert world.billed(who) == 17
        assert differences(reconcile(world)) == []
        world.at(at("2026-04-10T12:03"))
        world.report()
        assert differences(reconcile(world)) == []
        assert not kinds() & {"invoice_differs", "surplus_at_stripe", "missing_at_stripe"}

    def test_resolves_nothing_that_it_could_not_see(self, world, ada):
        first = UsageReport.objects.order_by("slice_start")[0]
        UsageReport.objects.filter(pk=first.pk).update(value=first.value + 4)
        reconcile(world)
        assert "missing_at_stripe" in kinds()
        world.control.fault("GET /v1/billing/meters/{id}/event_summaries", status=503, times=100)
        kept = reconcile(world)
        assert not kept.is_whole
        assert kept.run.status == ReportRun.Status.PARTIAL
        assert "missing_at_stripe" in kinds()

    def test_asks_stripe_once_for_each_customer_with_usage(self, world, ada):
        world.subscriber(world.tokens, "idle")
        world.sync()
        world.control.clear_requests()
        reconcile(world)
        route = "GET /v1/billing/meters/{id}/event_summaries"
        assert len(world.control.requests(route)) == 1
        reconcile(world, every_customer=True)
        assert len(world.control.requests(route)) == 3


class TestCommand:
    @pytest.fixture
    def shell(self, world, settings):
        settings.STRIPE_KEY = world.config.stripe_key
        settings.STRIPE_API_BASE = world.config.stripe_api_base
        settings.OPENMETER_URL = world.config.openmeter_url

        def run(*args):
            out = StringIO()
            with time_machine.travel(world.now, tick=False):
                try:
                    call_command("reconcile_usage", *args, stdout=out)
                except CommandError as error:
                    return error.returncode, out.getvalue(), str(error)
            return 0, out.getvalue(), ""

        return run

    def test_ends_well_where_nothing_differs(self, world, ada, shell):
        code, out, _ = shell()
        assert code == 0
        assert "tokens: OpenMeter 17, ledger 17, reported 17, Stripe 17" in out
        assert "Nothing differs." in out

    def test_fails_where_something_differs(self, world, ada, shell):
        world.use("ada", 5, at("2026-03-11T15:30"))
        code, out, err = shell("--from", "2026-03-11", "--to", "2026-03-12", "--format", "json")
        assert (code, err) == (1, "1 difference.")
        (one,) = json.loads(out)["differences"]
        assert (one["customer"], one["day"], one["units"]) == (ada.customer, "2026-03-11", "5")
        assert not Finding.objects.filter(kind="measured_otherwise").exists(), "it was not asked for all"

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (("--from", "2026-03-11"), "Give both --from and --to"),
            (("--from", "yesterday", "--to", "2026-03-12"), "yesterday is no day like 2026-11-01."),
            (("--from", "2026-03-12", "--to", "2026-03-14"), "Days are compared up to 2026-03-12"),
            (("--customer", "cus_x"), "There is no customer cus_x here"),
        ],
    )
    def test_says_what_makes_no_sense(self, world, ada, shell, args, sentence):
        code, _, err = shell(*args)
        assert code == 2
        assert sentence in err


class TestPages:
    def test_a_person_has_all_sides_compared_and_drills_down(self, world, ada, office):
        world.use("ada", 5, at("2026-03-11T15:30"))
        otto = office.browser("otto", group="Billing operator")
        answer = office.confirm(otto, dialog_url("reconciliation", "compare"), why="Before the invoice.")
        run = ReportRun.objects.get(kind=ReportRun.Kind.RECONCILE)
        assert answer["Location"] == f"/sync/reportrun/{run.pk}/change/"
        office.work()
        assert "1 differences" in text_of(office.get(otto, "/sync/reportrun/"))
        kept = Reconciliation.objects.get()
        assert row_url(kept) in text_of(office.get(otto, f"/sync/reportrun/{run.pk}/change/"))
        page = text_of(office.get(otto, row_url(kept)))
        assert "OpenMeter says otherwise than was measured" in page
        listed = office.get(otto, "/sync/difference/", run=kept.pk, cause__exact="changed")
        row = Difference.objects.get()
        assert row_url(row) in text_of(listed)
        reports = re.search(r'href="([^"]+)">Reports of the day', text_of(listed))
        of_the_day = UsageReport.objects.get(slice_start__gte=at("2026-03-11T00:00"))
        others = UsageReport.objects.exclude(pk=of_the_day.pk)
        shown = text_of(office.get(otto, unescape(reports.group(1))))
        assert row_url(of_the_day) in shown
        assert not [one for one in others if row_url(one) in shown]

    def test_says_what_to_do_while_nothing_was_compared(self, world, office):
        shown = text_of(office.get(office.browser(), "/sync/reconciliation/"))
        assert "Compare all sides… makes the first one" in shown
