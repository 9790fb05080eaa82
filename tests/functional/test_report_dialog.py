"""Report usage…: what a person confirms is what is sent, or nothing is."""

import re
from decimal import Decimal

import pytest
from django.urls import reverse

from sync.models import Customer, Meter, ReportRun, Subject, Subscription, UsageReport
from sync.operations.pause_reporting import pause_reporting
from sync.operations.resolve_report import release_report
from tests.functional.test_report_usage import at
from tests.office import dialog_url, log_of, text_of
from tests.world import START

NOW = at("2026-03-10T10:03")
EVERYTHING = "/sync/reportrun/report/"


@pytest.fixture
def tokens(world):
    """Return a meter whose unit costs 10 dollars."""
    return world.meter(unit_amount=1000)


@pytest.fixture
def ada(world, tokens):
    """Return a customer who used 12.5 tokens in the hour before ten."""
    who = world.subscriber(tokens)
    world.sync()
    world.use("ada", "12.5", at("2026-03-10T09:30"))
    world.at(NOW)
    return who


@pytest.fixture
def browser(office):
    return office.browser()


def sealed(answer) -> str:
    return re.search(r'name="preview" value="([^"]+)"', text_of(answer)).group(1)


def confirm(office, browser, url, shown=None, **data):
    """Submit the dialog with what it showed."""
    shown = shown or office.get(browser, url)
    return office.post(browser, url, preview=sealed(shown), why="Month end.", **data)


class TestPreview:
    def test_shows_customer_meter_stretch_units_and_money(self, office, browser, ada):
        page = text_of(office.get(browser, EVERYTHING))
        for piece in ("ada", "tokens", "2026-03-10 09:00 UTC", "2026-03-10 10:00 UTC", "12.5", "125.00 USD"):
            assert piece in page
        assert "In total 12.5 tokens of 1 customer; amounts are estimates" in page

    def test_leaves_nothing_behind(self, office, browser, ada):
        office.get(browser, EVERYTHING)
        assert not UsageReport.objects.exists()
        assert not ReportRun.objects.exists()

    def test_is_of_the_chosen_subscriptions_only(self, office, browser, world, tokens, ada):
        bob = world.subscriber(tokens, "bob")
        world.sync()
        world.use("bob", 3, at("2026-03-10T10:30"))
        world.later(hours=1)
        subscription = Subscription.objects.get(stripe_id=bob.subscription)
        url = dialog_url("subscription", "report")
        page = text_of(office.get(browser, url, ids=str(subscription.pk)))
        assert "bob" in page
        assert "In total 3 tokens of 1 customer" in page
        assert "30.00 USD" in page

    def test_counts_what_was_planned_before_and_not_sent(self, office, browser, world, ada):
        world.control.fault("POST /v1/billing/meter_events", status=401)
        world.report(sync=False)
        world.control.clear_faults()
        assert world.statuses() == ["pending"]
        page = text_of(office.get(browser, EVERYTHING))
        assert "1 report was planned by earlier runs and not sent yet" in page
        assert "125.00 USD" in page

    def test_leaves_to_people_what_comes_too_late_by_now(self, office, browser, world, ada):
        world.control.fault("POST /v1/billing/meter_events", status=401)
        world.report(sync=False)
        UsageReport.objects.update(closes_at=NOW)
        page = text_of(office.get(browser, EVERYTHING))
        assert "Nothing would be sent to Stripe at once." in page
        assert "1 would be kept as late" in page

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_prices_a_correction_of_what_waits_once(self, office, browser, world, window):
        world.at(START)
        world.subscriber(world.meter(unit_amount=1000, window=window))
        world.sync()
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(NOW)
        world.control.fault("POST /v1/billing/meter_events", status=401)
        world.report(sync=False)
        world.use("ada", 2, at("2026-03-10T09:31"))
        page = text_of(office.get(browser, EVERYTHING))
        assert "In total 12 tokens of 1 customer" in page
        assert "120.00 USD" in page

    def test_says_what_will_be_held(self, office, browser, ada):
        Meter.objects.update(max_units_per_slice=Decimal(10))
        page = text_of(office.get(browser, EVERYTHING))
        assert "Nothing would be sent to Stripe at once." in page
        assert "1 would be kept as held for a person to decide" in page

    def test_says_that_there_is_nothing_to_report(self, office, browser, world, ada):
        world.report(sync=False)
        page = text_of(office.get(browser, EVERYTHING))
        assert "There is nothing to report: all that had closed by 10:03 UTC was sent before" in page
        assert 'name="preview"' not in page

    def test_says_that_nobody_is_billed_yet(self, office, browser, world):
        assert "Nobody here is on a meter" in text_of(office.get(browser, EVERYTHING))

    def test_says_that_everything_chosen_is_paused(self, office, browser, ada):
        customer = Customer.objects.get()
        pause_reporting(customer=customer, why="Disputed.", who="bob", now=NOW)
        page = text_of(office.get(browser, dialog_url("customer", "report", customer.pk)))
        assert "Everything that you chose is paused" in page
        assert "by bob: Disputed." in page

    def test_says_that_openmeter_does_not_answer(self, office, browser, settings, ada):
        settings.OPENMETER_URL = "http://127.0.0.1:9"
        page = text_of(office.get(browser, EVERYTHING))
        assert "Nothing can be reported as it is" in page
        assert "OpenMeter" in page

    def test_says_what_is_wrong_with_the_settings(self, office, browser, settings, ada):
        settings.STRIPE_KEY = ""
        assert "STRIPE_KEY is not set" in text_of(office.get(browser, EVERYTHING))

    def test_shows_the_dearest_and_the_total_of_many(self, office, browser, world, tokens, monkeypatch):
        monkeypatch.setattr("sync.operations.preview_report.SHOWN", 2)
        for number in range(3):
            world.subscriber(tokens, f"c{number}")
            world.use(f"c{number}", number + 1, at("2026-03-10T09:30"))
        world.sync()
        world.at(NOW)
        page = text_of(office.get(browser, EVERYTHING))
        assert "In total 6 tokens of 3 customers" in page
        assert "60.00 USD" in page
        assert "… and 1 more." in page
        assert page.index("30.00 USD") < page.index("20.00 USD")
        assert ">10.00 USD<" not in page


class TestConfirmation:
    def test_of_chosen_subscriptions_reports_those_only(self, office, browser, world, tokens, ada):
        world.at(START)
        bob = world.subscriber(tokens, "bob")
        world.sync()
        world.use("bob", 3, at("2026-03-10T09:30"))
        world.at(NOW)
        chosen = str(Subscription.objects.get(stripe_id=bob.subscription).pk)
        url = dialog_url("subscription", "report")
        shown = office.get(browser, url, ids=chosen)
        assert f'name="ids" value="{chosen}"' in text_of(shown)
        confirm(office, browser, url, shown, ids=chosen)
        office.work()
        assert ReportRun.objects.get().scope["subscriptions"] == [bob.subscription]
        assert (world.billed(ada), world.billed(bob)) == (0, 3)

    def test_is_queued_carried_out_and_written_down(self, office, browser, world, ada):
        answer = confirm(office, browser, EVERYTHING)
        run = ReportRun.objects.get()
        assert answer["Location"] == reverse("admin:sync_reportrun_change", args=(run.pk,))
        assert (run.status, run.trigger, run.requested_by) == ("queued", "admin", "ada")
        assert run.as_of == NOW
        assert run.confirmed[Meter.objects.get().stripe_id] == "12.5"
        assert log_of(run) == [f"Run {run.pk} was asked for. Month end."]
        assert office.work() == [f"Run {run.pk}: succeeded"]
        assert world.billed(ada) == Decimal("12.5")

    def test_sends_what_had_closed_at_the_preview_and_no_more(self, office, browser, world, ada):
        world.use("ada", 5, at("2026-03-10T10:30"))
        shown = office.get(browser, EVERYTHING)
        world.later(minutes=58)
        confirm(office, browser, EVERYTHING, shown)
        world.later(minutes=10)
        office.work()
        assert world.billed(ada) == Decimal("12.5")

    def test_stops_with_a_sentence_where_the_usage_is_another_by_then(self, office, browser, world, ada):
        confirm(office, browser, EVERYTHING)
        world.use("ada", 1, at("2026-03-10T09:31"))
        office.work()
        run = ReportRun.objects.get()
        assert run.status == "failed"
        assert "not what was confirmed any more (tokens 13.5 instead of 12.5 units)" in run.error
        assert not UsageReport.objects.exists()
        assert world.billed(ada) == 0

    def test_sends_nothing_either_that_an_earlier_run_left_in_doubt(
        self, office, browser, world, ada, monkeypatch
    ):
        monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)
        world.control.fault("POST /v1/billing/meter_events", cut="before")
        world.report(sync=False)
        assert world.statuses() == ["unknown"]
        world.use("ada", 5, at("2026-03-10T10:30"))
        world.at(at("2026-03-10T11:03"))
        confirm(office, browser, EVERYTHING)
        world.use("ada", 1, at("2026-03-10T10:31"))
        office.work()
        assert ReportRun.objects.first().status == "failed"
        assert world.statuses() == ["unknown"]
        assert world.billed(ada) == 0

    def test_that_there_is_nothing_new_to_plan_counts_as_well(self, office, browser, world, ada):
        world.control.fault("POST /v1/billing/meter_events", status=401)
        world.report(sync=False)
        world.control.clear_faults()
        confirm(office, browser, EVERYTHING)
        world.use("ada", 1, at("2026-03-10T09:31"))
        office.work()
        assert ReportRun.objects.latest("pk").status == "failed"
        assert world.billed(ada) == 0

    def test_sends_what_was_shown_and_leaves_what_others_planned_or_released_since(
        self, office, browser, world, tokens, ada
    ):
        """One was due, one is held and released after the look, and another run plans the next hour."""
        world.at(START)
        bob = world.subscriber(tokens, "bob")
        world.sync()
        world.use_many([("bob", 50, at("2026-03-10T09:30")), ("ada", 4, at("2026-03-10T10:30"))])
        Meter.objects.update(max_units_per_slice=Decimal(20))
        world.at(NOW)
        world.control.fault("POST /v1/billing/meter_events", status=401, times=2)
        world.report(sync=False)
        confirm(office, browser, EVERYTHING)
        held, run = UsageReport.objects.get(status="held"), ReportRun.objects.get(trigger="admin")
        release_report(report_id=held.pk, why="Right.", who="bob", run=None, now=world.now)
        world.at(at("2026-03-10T11:03"))
        world.control.fault("POST /v1/billing/meter_events", status=401, times=2)
        world.report(sync=False)
        world.control.clear_faults()
        assert sorted(world.statuses()) == ["pending"] * 3
        assert office.work() == [f"Run {run.pk}: succeeded"]
        assert (world.billed(ada), world.billed(bob)) == (Decimal("12.5"), 0)
        world.report(sync=False)
        assert (world.billed(ada), world.billed(bob)) == (Decimal("16.5"), 50)

    def test_of_what_was_due_is_shown_by_the_pages_of_both_runs_and_of_the_report(
        self, office, browser, world, ada
    ):
        world.control.fault("POST /v1/billing/meter_events", status=401)
        planned = world.report(sync=False).run
        confirm(office, browser, EVERYTHING)
        office.work()
        run = ReportRun.objects.get(trigger="admin")
        sent = UsageReport.objects.get(status="delivered")
        assert (sent.run, sent.sender) == (planned, run)
        page = text_of(office.get(browser, dialog_url("reportrun", "change", run.pk)))
        assert "12.5 tokens (all planned by earlier runs), estimated at 125.00 USD, as of" in page
        listed = f"/sync/usagereport/?sent_by__id__exact={run.pk}&status__exact=delivered"
        assert listed.replace("&", "&amp;") in page
        assert list(office.get(browser, listed).context["cl"].result_list) == [sent]
        assert page.count('class="number">12.5<') == 1
        assert '<td class="number">12.5' not in text_of(
            office.get(browser, dialog_url("reportrun", "change", planned.pk))
        )
        page = text_of(office.get(browser, dialog_url("usagereport", "change", sent.pk)))
        assert f">{planned}</a>" in page
        assert f">{run}</a>" in page

    def test_sends_once_more_what_was_in_doubt_and_says_so(self, office, browser, world, ada, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)
            world.control.fault("POST /v1/billing/meter_events", cut="after")
            world.report(sync=False)
        world.use("ada", 5, at("2026-03-10T10:30"))
        world.at(at("2026-03-10T11:03"))
        shown = office.get(browser, EVERYTHING)
        assert "1 report may have reached Stripe already" in text_of(shown)
        assert "In total 5 tokens" in text_of(shown)
        confirm(office, browser, EVERYTHING, shown)
        office.work()
        assert world.statuses() == ["delivered", "delivered"]
        assert world.billed(ada) == Decimal("17.5")

    def test_says_what_another_run_did_meanwhile(self, office, browser, world, ada):
        confirm(office, browser, EVERYTHING)
        world.report(sync=False)
        office.work()
        run = ReportRun.objects.get(trigger="admin")
        assert run.status == "failed"
        assert "0 instead of 12.5" in run.error
        assert f"Meanwhile run {run.pk + 1} planned some of it." in run.error
        assert world.billed(ada) == Decimal("12.5")

    def test_is_of_these_customers_and_no_others(self, office, browser, world, tokens, ada):
        world.at(START)
        bob = world.subscriber(tokens, "bob")
        world.sync()
        world.at(NOW)
        confirm(office, browser, EVERYTHING)
        Subject.objects.filter(key="ada").update(customer=Customer.objects.get(stripe_id=bob.customer))
        office.work()
        assert "the same units are of other customers" in ReportRun.objects.get().error
        assert not UsageReport.objects.exists()

    def test_twice_is_carried_out_once(self, office, browser, world, ada):
        shown = office.get(browser, EVERYTHING)
        confirm(office, browser, EVERYTHING, shown)
        again = confirm(office, browser, EVERYTHING, shown)
        assert "You confirmed this already" in text_of(again)
        assert ReportRun.objects.count() == 1

    def test_is_of_no_use_after_an_hour(self, office, browser, world, ada):
        shown = office.get(browser, EVERYTHING)
        world.later(minutes=61)
        answer = confirm(office, browser, EVERYTHING, shown)
        assert "What you confirmed is out of date" in text_of(answer)
        assert not ReportRun.objects.exists()
        confirm(office, browser, EVERYTHING, answer)
        assert ReportRun.objects.get().confirmed

    def test_is_of_no_use_to_anybody_else_or_for_anything_else(self, office, browser, ada):
        shown = office.get(browser, EVERYTHING)
        bob = office.browser("bob")
        assert "What you confirmed is out of date" in text_of(confirm(office, bob, EVERYTHING, shown))
        url = dialog_url("customer", "report", Customer.objects.get().pk)
        assert "What you confirmed is out of date" in text_of(confirm(office, browser, url, shown))
        assert not ReportRun.objects.exists()

    def test_needs_a_reason(self, office, browser, ada):
        shown = office.get(browser, EVERYTHING)
        answer = office.post(browser, EVERYTHING, preview=sealed(shown), why=" ")
        assert answer.status_code == 200
        assert not ReportRun.objects.exists()

    def test_of_much_money_is_typed_as_it_was_shown(self, office, browser, world, settings, ada):
        settings.CONFIRM_AMOUNT = 100
        shown = office.get(browser, EVERYTHING)
        assert "type 125.00 to confirm" in text_of(shown)
        world.use("ada", 1, at("2026-03-10T09:31"))
        wrong = confirm(office, browser, EVERYTHING, shown, typed_usd="135.00")
        assert "type 125.00 to confirm" in text_of(wrong)
        assert sealed(wrong) == sealed(shown)
        assert confirm(office, browser, EVERYTHING, wrong, typed_usd="125").status_code == 200
        assert confirm(office, browser, EVERYTHING, wrong, typed_usd="125.00").status_code == 302

    def test_needs_the_permission_and_a_post(self, office, ada):
        viewer = office.browser("vera", group="Billing viewer")
        assert office.get(viewer, EVERYTHING).status_code == 403
        assert office.post(viewer, EVERYTHING, why="x").status_code == 403
        operator = office.browser("otto", group="Billing operator")
        assert confirm(office, operator, EVERYTHING).status_code == 302
