"""What billing staff do in a day, in a real browser; Stripe's side says what came of it."""

from playwright.sync_api import expect

from tests.business import USED

EVENTS = "POST /v1/billing/meter_events"
MANY = 200
"""More than three times as many as are sent at once."""
WHY = "as agreed with Northwind"


def fill_in(someone, button):
    """Say why, and confirm."""
    someone.page.fill("#id_why", WHY)
    someone.button(button)


def open_row(someone, path, text):
    """Open the row of a list that contains this text."""
    someone.go(path)
    someone.sees(text)
    someone.page.locator("#result_list tr", has_text=text).locator("th a, td a").first.click()


class TestReportUsage:
    def test_bills_one_subscription_while_its_run_is_watched(self, visit, start_business):
        business = start_business(customers=2)
        chosen, other = business.people
        otto = visit("otto")
        open_row(otto, "/sync/subscription/", chosen.subscription)
        otto.button("Report usage…")
        expect(otto.page.locator(".console-table")).to_contain_text(chosen.subject)
        expect(otto.page.locator(".console-table")).not_to_contain_text(other.subject)
        expect(otto.page.locator(".console-table")).to_contain_text("0.07 USD")
        fill_in(otto, "Report")
        otto.page.wait_for_url("**/sync/reportrun/*/change/")
        otto.page.evaluate("window.neverLoadedAgain = true")
        otto.sees("succeeded")
        assert otto.page.evaluate("window.neverLoadedAgain")
        assert business.world.billed(chosen) == USED
        assert business.world.billed(other) == 0

    def test_bills_everybody_and_has_nothing_to_do_the_second_time(self, visit, start_business):
        business = start_business(customers=2)
        otto = visit("otto")
        otto.go("/sync/reportrun/")
        otto.button("Report usage…")
        fill_in(otto, "Report")
        otto.sees("succeeded")
        otto.go("/sync/reportrun/report/")
        otto.sees("There is nothing to report")
        assert otto.page.get_by_role("button", name="Report", exact=True).count() == 0
        assert business.billed() == {USED}


class TestHeldReport:
    def test_is_understood_and_released_and_billed_by_the_next_run(self, visit, start_business, console):
        business = start_business(customers=1)
        console.query("UPDATE sync_meter SET max_units_per_slice = 5")
        console.manage("report_usage", "--no-sync")
        assert business.billed() == {0}
        otto = visit("otto")
        open_row(otto, "/sync/usagereport/?status__exact=held", "held")
        otto.sees("more than")
        otto.button("Release…")
        expect(otto.page.locator(".console-table")).to_contain_text("0.07 USD")
        fill_in(otto, "Release")
        otto.sees("Released 1 report.")
        otto.go("/sync/reportrun/report/")
        fill_in(otto, "Report")
        otto.sees("succeeded")
        assert business.billed() == {USED}
        log = console.query("SELECT change_message FROM django_admin_log ORDER BY id")
        assert log[0] == (f"Released 1 report. {WHY}",)
        assert log[1][0].endswith(f"was asked for. {WHY}")


class TestRefusedReport:
    def test_is_dismissed_and_never_sent(self, visit, start_business, console):
        business = start_business(customers=1)
        business.world.control.fault(EVENTS, status=400)
        console.manage("report_usage", "--no-sync")
        assert console.statuses() == ["rejected"]
        otto = visit("otto")
        open_row(otto, "/sync/usagereport/", "refused")
        otto.button("Dismiss…")
        otto.button("Dismiss")
        otto.sees("This field is required.")
        assert console.statuses() == ["rejected"]
        fill_in(otto, "Dismiss")
        otto.sees("Dismissed 1 report.")
        console.manage("report_usage", "--no-sync")
        assert console.statuses() == ["dismissed"]
        assert business.billed() == {0}


class TestLongRun:
    def test_is_cancelled_soundly_and_completed_by_the_next(self, visit, start_business, console):
        business = start_business(customers=MANY)
        business.world.control.settings(meter_event_latency_ms=2000)
        otto = visit("otto")
        otto.go("/sync/reportrun/report/")
        fill_in(otto, "Report")
        console.wait_for("SELECT 1 FROM sync_usagereport WHERE status = 'delivered'")
        otto.button("Cancel run…")
        fill_in(otto, "Cancel the run")
        otto.sees("cancelled")
        sent = console.statuses().count("delivered")
        assert 0 < sent < MANY
        assert set(console.statuses()) == {"delivered", "pending"}
        business.world.control.settings(meter_event_latency_ms=0)
        console.manage("report_usage", "--no-sync")
        assert business.billed() == {USED}


class TestPause:
    def test_stops_everything_until_it_is_resumed(self, visit, start_business, console):
        business = start_business(customers=1)
        otto = visit("otto")
        otto.go("/sync/pause/")
        otto.button("Pause everything…")
        fill_in(otto, "Pause")
        otto.go("/sync/reportrun/report/")
        otto.sees("is paused")
        assert otto.page.get_by_role("button", name="Report", exact=True).count() == 0
        console.manage("report_usage", "--no-sync")
        assert business.billed() == {0}
        open_row(otto, "/sync/pause/", WHY)
        otto.button("Resume reporting…")
        fill_in(otto, "Resume")
        console.manage("report_usage", "--no-sync")
        assert business.billed() == {USED}


class TestViewer:
    def test_sees_and_may_not_act(self, visit, start_business, console):
        business = start_business(customers=1)
        vera = visit("vera")
        open_row(vera, "/sync/subscription/", business.people[0].subscription)
        assert "…" not in " ".join(vera.page.get_by_role("link").all_inner_texts())
        vera.may_answer.add(403)
        address = f"{vera.page.url.removeprefix(vera.address).removesuffix('change/')}report/"
        for path in (address, "/sync/reportrun/report/", "/sync/pause/pause/", "/sync/meter/set_up/"):
            assert vera.go(path).status == 403, path
        vera.sees("You may not do this")
        assert vera.barriers() == []
        assert business.billed() == {0}
