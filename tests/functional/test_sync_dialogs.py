"""Sync with Stripe… and Run Stripe setup…: the commands' work, asked for in the console."""

from decimal import Decimal

import pytest
from django.urls import reverse

from sync.models import Customer, Meter, Price, ReportRun, Subscription
from tests.functional.test_report_usage_command import shell as shell
from tests.office import dialog_url, log_of, text_of

SET_UP = {
    "event_name": "ai_tokens",
    "meter_name": "AI Tokens",
    "window": "none",
    "product_name": "AI Tokens",
    "unit_amount": "0.5",
    "currency": "usd",
    "interval": "month",
    "customer_name": "Ada",
    "external_key": "ada",
    "why": "First product.",
}


@pytest.fixture
def browser(office):
    return office.browser("bert", group="Billing admin")


class TestSyncDialog:
    @pytest.mark.parametrize("page", ["customer", "subscription", "meter", "reportrun"])
    def test_mirrors_stripe(self, office, browser, world, page):
        world.subscriber(world.meter())
        assert office.post(browser, dialog_url(page, "sync"), why=" ").status_code == 200
        answer = office.post(browser, dialog_url(page, "sync"), why="A new price.")
        run = ReportRun.objects.get()
        assert answer["Location"] == reverse("admin:sync_reportrun_change", args=(run.pk,))
        assert (run.kind, run.trigger, run.requested_by) == ("sync", "admin", "bert")
        assert log_of(run) == [f"Sync with Stripe was asked for as run {run.pk}. A new price."]
        assert office.work() == [f"Run {run.pk}: succeeded"]
        assert Subscription.objects.count() == 1

    def test_says_that_it_is_being_done_already(self, office, browser):
        office.post(browser, dialog_url("customer", "sync"), why="A new price.")
        page = text_of(office.get(browser, dialog_url("meter", "sync")))
        assert "is doing this already" in page
        office.post(browser, dialog_url("meter", "sync"), why="A new price.")
        assert ReportRun.objects.count() == 1

    def test_needs_its_permission_and_a_post(self, office, world):
        viewer, url = office.browser("vera", group="Billing viewer"), dialog_url("customer", "sync")
        assert office.get(viewer, url).status_code == 403
        assert office.post(viewer, url).status_code == 403
        office.get(office.browser("otto", group="Billing operator"), url)
        assert not ReportRun.objects.exists()


class TestSetUpDialog:
    def test_offers_the_commands_defaults(self, office, browser):
        page = text_of(office.get(browser, dialog_url("meter", "set_up")))
        for piece in ('value="ai_tokens"', 'value="customer-1"', 'name="meter_only"', 'value="usd"'):
            assert piece in page
        assert "confirm_live" not in page
        assert not Meter.objects.exists()

    def test_creates_everything_links_to_it_and_offers_a_sync(self, office, browser, world):
        answer = office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        assert answer.status_code == 302
        page = text_of(office.get(browser, answer["Location"]))
        meter = Meter.objects.get()
        assert f"https://dashboard.stripe.com/test/meters/{meter.stripe_id}" in page
        for kind in ("product", "price", "customer", "subscription"):
            assert f">{kind}</a>" in page
        assert dialog_url("meter", "sync") in page
        assert "Nothing measures this meter yet." in page
        assert "Name the right one with &quot;OpenMeter meter&quot;" in page
        assert log_of(meter)[0].startswith(f"Set up: meter {meter.stripe_id} created, product")
        assert log_of(meter)[0].endswith("First product.")
        world.sync()
        assert Price.objects.get().unit_amount_decimal == Decimal("0.5")
        assert Subscription.objects.get().customer.name == "Ada"

    def test_finds_it_all_when_repeated(self, office, browser, world):
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        assert "created" not in log_of(Meter.objects.get())[1]

    def test_makes_only_the_meter_where_that_is_wanted(self, office, browser, world):
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP, meter_only="on")
        world.sync()
        assert Meter.objects.count() == 1
        assert not Price.objects.exists()

    def test_names_the_forms_fields_in_what_is_refused(self, office, browser, world):
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        answer = office.post(browser, dialog_url("meter", "set_up"), **{**SET_UP, "unit_amount": "2"})
        assert answer.status_code == 200
        assert "choose another &quot;Lookup key&quot;" in text_of(answer)
        assert "--" not in text_of(answer).split('role="alert"')[1].split("</div>")[0]

    def test_subscribes_a_customer_who_exists(self, office, browser, world):
        made = world.stripe("POST", "/customers", name="Zoe")
        world.sync()
        customer = Customer.objects.get()
        url = dialog_url("customer", "set_up", customer.pk)
        assert 'name="external_key"' not in text_of(office.get(browser, url))
        assert office.post(browser, url, **SET_UP).status_code == 302
        world.sync()
        assert Subscription.objects.get().customer.stripe_id == made["id"]
        assert Customer.objects.count() == 1
        assert "First product." in log_of(customer)[0]

    def test_says_that_stripe_has_no_such_customer_before_it_creates_anything(self, office, browser, world):
        made = world.stripe("POST", "/customers", name="Zoe")
        world.sync()
        world.stripe("DELETE", f"/customers/{made['id']}")
        answer = office.post(browser, dialog_url("customer", "set_up", Customer.objects.get().pk), **SET_UP)
        assert f"Stripe has no customer {made['id']}" in text_of(answer)
        assert not Meter.objects.exists()

    def test_is_a_command_as_well(self, shell, world):
        made = world.stripe("POST", "/customers", name="Zoe")
        code, out, _ = shell("set_up_stripe", "--customer", made["id"])
        assert code == 0
        assert f"Stripe customer found: https://dashboard.stripe.com/test/customers/{made['id']}" in out
        assert shell("set_up_stripe", "--customer", "cus_nope")[0] == 2
        assert shell("set_up_stripe", "--customer", made["id"], "--meter-only")[0] == 2

    def test_asks_for_the_account_in_live_mode(self, office, browser, settings):
        settings.STRIPE_KEY = "sk_live_tests_0001"
        page = text_of(office.get(browser, dialog_url("meter", "set_up")))
        assert 'name="confirm_live"' in page
        answer = office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        assert "This field is required" in text_of(answer)

    def test_needs_its_permission(self, office, world):
        operator, url = office.browser("otto", group="Billing operator"), dialog_url("meter", "set_up")
        assert office.get(operator, url).status_code == 403
        assert office.post(operator, url, **SET_UP).status_code == 403
        assert not Meter.objects.exists()
