"""Sync with Stripe… and Run Stripe setup…: the commands' work, asked for in the console."""

import re
from decimal import Decimal

import pytest
from django.urls import reverse

from sync.conf import Config
from sync.models import Customer, Meter, Price, ReportRun, StripeAccount, Subscription
from tests.functional.test_report_usage_command import shell as shell
from tests.office import dialog_url, log_of, text_of

SET_UP = {
    "openmeter_meter": "tokens",
    "event_name": "ai_tokens",
    "meter_name": "AI Tokens",
    "window": "none",
    "product_name": "AI Tokens",
    "unit_amount": "0.005",
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
    @pytest.fixture(autouse=True)
    def sources(self, world):
        """Let OpenMeter have a meter that can be billed, and one that cannot."""
        for slug, aggregation in (("tokens", "SUM"), ("peak", "MAX")):
            body = {"slug": slug, "aggregation": aggregation, "eventType": "x", "valueProperty": "$.n"}
            assert world.openmeter_http.post("/api/v1/meters", json=body).is_success

    def test_offers_openmeters_meters_and_asks_for_names_and_prices(self, office, browser):
        page = text_of(office.get(browser, dialog_url("meter", "set_up")))
        for piece in ("tokens (SUM)", "peak (MAX: cannot be billed)", 'name="meter_only"', 'value="USD"'):
            assert piece in page
        assert "ai_tokens" not in page
        answer = office.get(browser, dialog_url("meter", "set_up"), openmeter_meter="peak", currency="dollar")
        page = text_of(answer)
        for sentence in ("peak aggregates by MAX", "three letters, like USD", "unless only a meter"):
            assert sentence in page
        assert 'name="why"' not in page

    def test_says_what_it_would_create_before_it_creates_anything(self, office, browser, world):
        page = text_of(office.get(browser, dialog_url("meter", "set_up"), **SET_UP))
        assert "Will be created: meter, product, price, customer, subscription." in page
        assert "tokens (SUM) measures it; Stripe is sent it as events named ai_tokens." in page
        assert "The price is 0.005 USD a unit, monthly." in page
        assert "confirm_live" not in page
        assert world.stripe("GET", "/billing/meters")["data"] == []
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        page = text_of(office.get(browser, dialog_url("meter", "set_up"), **SET_UP))
        assert "All of it exists in Stripe already." in page
        meter = Meter.objects.get()
        assert f'/test/meters/{meter.stripe_id}" target="_blank" rel="noopener noreferrer"' in page

    def test_creates_everything_shows_it_at_once_and_links_to_it(self, office, browser):
        answer = office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        assert answer.status_code == 302
        page = text_of(office.get(browser, answer["Location"]))
        meter = Meter.objects.get()
        assert f"https://dashboard.stripe.com/test/meters/{meter.stripe_id}" in page
        for kind in ("product", "price", "customer", "subscription"):
            assert f">{kind}</a>" in page
        assert (meter.event_name, meter.openmeter_slug) == ("ai_tokens", "tokens")
        assert log_of(meter)[0].startswith(f"Set up: meter {meter.stripe_id} created, product")
        assert log_of(meter)[0].endswith("First product.")
        assert Price.objects.get().unit_amount_decimal == Decimal("0.5")
        assert Subscription.objects.get().customer.name == "Ada"
        page = text_of(office.get(browser, dialog_url("meter", "change", meter.pk)))
        assert Price.objects.get().stripe_id in page
        assert "No price on this meter" not in page

    @pytest.mark.parametrize(
        ("currency", "amount", "minor"), [("USD", "0.01", "1"), ("jpy", "2", "2"), ("KWD", "0.0005", "0.5")]
    )
    def test_takes_the_price_in_whole_units_of_its_currency(self, office, browser, currency, amount, minor):
        asked = SET_UP | {"currency": currency, "unit_amount": amount}
        assert office.post(browser, dialog_url("meter", "set_up"), **asked).status_code == 302
        price = Price.objects.get()
        assert (price.unit_amount_decimal, price.currency) == (Decimal(minor), currency.lower())

    def test_finds_it_all_when_repeated(self, office, browser):
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        assert "created" not in log_of(Meter.objects.get())[1]

    def test_makes_only_the_meter_where_that_is_wanted(self, office, browser, world):
        asked = {"openmeter_meter": "tokens", "window": "none", "meter_only": "on", "interval": "month"}
        page = text_of(office.get(browser, dialog_url("meter", "set_up"), **asked))
        assert "Will be created: meter." in page
        office.post(browser, dialog_url("meter", "set_up"), **asked, why="x")
        assert Meter.objects.get().event_name == "tokens"
        assert not Price.objects.exists()
        page = text_of(office.get(browser, dialog_url("meter", "change", Meter.objects.get().pk)))
        assert "No price on this meter is known here" in page
        assert dialog_url("meter", "sync") in page

    def test_names_the_forms_fields_in_what_is_refused(self, office, browser):
        office.post(browser, dialog_url("meter", "set_up"), **SET_UP)
        answer = office.post(browser, dialog_url("meter", "set_up"), **{**SET_UP, "unit_amount": "2"})
        assert answer.status_code == 200
        assert "unit amount 0.005 USD instead of 2.00 USD" in text_of(answer)
        assert "choose another &quot;Lookup key&quot;" in text_of(answer)

    def test_says_that_openmeter_does_not_answer_and_creates_nothing(self, office, browser, world, settings):
        settings.OPENMETER_URL = "http://127.0.0.1:1"
        for answer in (
            office.get(browser, dialog_url("meter", "set_up")),
            office.post(browser, dialog_url("meter", "set_up"), **SET_UP),
        ):
            assert "OpenMeter cannot be reached" in text_of(answer)
        assert world.stripe("GET", "/billing/meters")["data"] == []

    def test_subscribes_a_customer_who_exists(self, office, browser, world):
        made = world.stripe("POST", "/customers", name="Zoe")
        world.sync()
        customer = Customer.objects.get()
        url = dialog_url("customer", "set_up", customer.pk)
        assert 'name="external_key"' not in text_of(office.get(browser, url))
        assert office.post(browser, url, **SET_UP).status_code == 302
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
        asked = ("set_up_stripe", "--openmeter-meter", "tokens")
        code, out, _ = shell(*asked, "--customer", made["id"])
        assert code == 0
        assert f"Stripe customer found: https://dashboard.stripe.com/test/customers/{made['id']}" in out
        assert shell(*asked, "--customer", "cus_nope")[0] == 2
        assert shell(*asked, "--customer", made["id"], "--meter-only")[0] == 2
        code, _, said = shell("set_up_stripe")
        assert code == 2
        assert "OpenMeter has no meter ai_tokens. It has: tokens (SUM), peak (MAX, cannot be billed)." in said

    def test_wants_the_account_typed_in_live_mode(self, office, browser, monkeypatch):
        monkeypatch.setattr("sync.wiring.guard", lambda _config: None)
        monkeypatch.setattr(Config, "livemode", property(lambda _config: True))
        url, asked = dialog_url("meter", "set_up"), SET_UP | {"typed_word": "LIVE"}
        assert 'name="confirm_live"' in text_of(office.get(browser, url, **SET_UP))
        assert "This field is required" in text_of(office.post(browser, url, **asked))
        answer = office.post(browser, url, **asked, confirm_live="acct_other")
        assert not StripeAccount.objects.exists()
        assert "add &quot;Account&quot; acct_" in text_of(answer)
        named = re.search(r"live account (acct_\w+)", text_of(answer))[1]
        assert office.post(browser, url, **asked, confirm_live=named).status_code == 302

    def test_needs_its_permission(self, office, world):
        operator, url = office.browser("otto", group="Billing operator"), dialog_url("meter", "set_up")
        assert office.get(operator, url).status_code == 403
        assert office.post(operator, url, **SET_UP).status_code == 403
        assert not Meter.objects.exists()
