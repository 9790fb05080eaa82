"""A run's page and the list of runs: how far it is, what came of it, who asked, and what to do next."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sync.models import Customer, DeliveryAttempt, ReportRun, Subscription, UsageReport, Worker
from sync.operations.keep_run import Heartbeat, begin_run
from sync.operations.report_request import ReportRequest
from sync.queries.planning import Scope
from tests.functional.test_report_usage import at
from tests.office import text_of

NOW = at("2026-03-10T10:03")
LIST = "/sync/reportrun/"


@pytest.fixture
def ada(world):
    who = world.subscriber(world.meter())
    world.sync()
    world.use("ada", "12.5", at("2026-03-10T09:30"))
    world.at(NOW)
    return who


@pytest.fixture
def browser(office):
    return office.browser()


def page_of(run):
    return reverse("admin:sync_reportrun_change", args=(run.pk,))


def progress_of(run):
    return reverse("admin:sync_reportrun_progress", args=(run.pk,))


def queued(world, **options):
    run = ReportRequest(sync=False, trigger=ReportRun.Trigger.ADMIN, requested_by="ada", **options).as_run(
        now=world.now
    )
    run.save()
    return run


class TestRunPage:
    def test_says_what_reached_stripe_for_whom_and_links_there(self, office, browser, world, ada):
        run = world.report(sync=False).run
        page = text_of(office.get(browser, page_of(run)))
        customer = Customer.objects.get()
        for piece in (
            "succeeded",
            "Reporting to Stripe",
            "12.5",
            "2026-03-10 09:00 UTC",
            "2026-03-10 10:00 UTC",
        ):
            assert piece in page
        assert f'href="/sync/customer/{customer.pk}/change/">ada</a>' in page
        assert f'hx-get="{progress_of(run)}"' not in page

    def test_links_to_its_reports_by_status(self, office, browser, world, ada):
        run = world.report(sync=False).run
        url = f"/sync/usagereport/?run__id__exact={run.pk}&status__exact="
        assert f'{url}delivered"'.replace("&", "&amp;") in text_of(office.get(browser, page_of(run)))
        assert office.get(browser, f"{url}delivered").context["cl"].result_list.count() == 1
        assert office.get(browser, f"{url}held").context["cl"].result_list.count() == 0

    def test_shows_why_calls_failed(self, office, browser, world, ada):
        world.control.fault("POST /v1/billing/meter_events", status=401)
        run = world.report(sync=False).run
        page = text_of(office.get(browser, page_of(run)))
        assert DeliveryAttempt.objects.count() == 1
        assert f"/sync/deliveryattempt/?run__id__exact={run.pk}" in page
        assert "1 call to Stripe did not deliver" in page
        assert run.error in page

    def test_asks_how_far_the_run_is_while_it_goes_on(self, office, browser, world, ada):
        run = queued(world)
        begin_run(run, now=world.now)
        Heartbeat(run, lambda: world.now).progress("Reporting to Stripe", 3, 1200)
        for url in (page_of(run), progress_of(run)):
            page = text_of(office.get(browser, url))
            assert f'hx-get="{progress_of(run)}"' in page
            assert '<progress max="1200" value="3"' in page
            assert "3 of 1,200" in page
        run.status, run.finished_at = "succeeded", world.now
        run.save()
        assert "hx-get" not in text_of(office.get(browser, progress_of(run)))

    def test_says_what_was_asked_for(self, office, browser, world, ada):
        run = queued(world, scope=Scope(subscriptions=(ada.subscription,)), as_of=NOW, confirmed={})
        page = text_of(office.get(browser, page_of(run)))
        assert f'href="/sync/subscription/{Subscription.objects.get().pk}/change/">ada</a>' in page
        assert "nothing new, as of" in page
        assert "ada (asked for here)" in page

    def test_says_how_to_start_a_worker_where_there_is_none(self, office, browser, world, ada):
        run = queued(world)
        assert "manage.py qcluster" not in text_of(office.get(browser, progress_of(run)))
        world.later(seconds=6)
        assert "manage.py qcluster" in text_of(office.get(browser, progress_of(run)))
        Worker.objects.create(name="w1", seen_at=world.now)
        page = text_of(office.get(browser, progress_of(run)))
        assert "manage.py qcluster" not in page
        assert "All workers are busy" in page

    def test_explains_an_interruption_and_a_cancellation(self, office, browser, world, ada):
        killed = queued(world)
        begin_run(killed, now=world.now)
        world.later(minutes=3)
        world.report(sync=False)
        assert "ended without a word; the next run completes" in text_of(office.get(browser, page_of(killed)))
        stopped = queued(world)
        office.post(browser, f"/sync/reportrun/{stopped.pk}/cancel/", why="Wrong day.")
        page = text_of(office.get(browser, page_of(stopped)))
        assert "Cancelled by ada" in page
        assert "Wrong day." in page

    def test_takes_as_many_queries_for_many_lines_as_for_few(self, office, browser, world):
        tokens = world.meter()
        for number in range(6):
            world.subscriber(tokens, f"c{number}")
            world.use(f"c{number}", 1, at("2026-03-10T10:30"))
        world.use("c0", 1, at("2026-03-10T09:30"))
        world.sync()
        world.at(NOW)
        few = world.report(sync=False).run
        world.later(hours=1)
        many = world.report(sync=False).run
        office.get(browser, page_of(few))
        counts = []
        for run in (few, many):
            with CaptureQueriesContext(connection) as queries:
                office.get(browser, progress_of(run))
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_reads_no_more_reports_than_it_shows(self, office, browser, world, monkeypatch):
        monkeypatch.setattr("sync.queries.run_page.READ", 3)
        tokens = world.meter()
        for name in ("ada", "bob"):
            world.subscriber(tokens, name)
            world.use(name, 1, at("2026-03-10T09:30"))
            world.use(name, 2, at("2026-03-10T10:30"))
        world.sync()
        world.at(at("2026-03-10T11:03"))
        page = text_of(office.get(browser, page_of(world.report(sync=False).run)))
        assert (">ada</a>" in page) != (">bob</a>" in page)
        assert "… and more" in page

    def test_is_for_those_who_may_see_runs(self, office, world, ada):
        run = queued(world)
        nobody = office.browser("nina", permission="sync.view_customer")
        assert office.get(nobody, progress_of(run)).status_code == 403
        viewer = office.browser("vera", group="Billing viewer")
        assert office.get(viewer, progress_of(run)).status_code == 200
        assert office.get(viewer, "/sync/reportrun/999/progress/").status_code == 404
        assert "Cancel run" not in text_of(office.get(viewer, page_of(run)))


class TestRunList:
    def test_says_in_words_what_each_came_to(self, office, browser, world, ada):
        world.report(sync=False)
        page = text_of(office.get(browser, LIST))
        assert "Report usage: everything" in page
        assert "1 delivered, 1 newly planned" in page
        assert "tests, by a command" in page

    def test_says_in_short_what_a_sync_found(self, office, browser, world):
        counters = {"customers seen": 9, "customers changed": 2, "items changed": 3, "new findings": 1}
        ReportRun.objects.create(
            kind="sync",
            trigger="command",
            status="succeeded",
            counters=counters,
            queued_at=NOW,
            started_at=NOW,
            finished_at=NOW,
        )
        assert "5 changed, 1 new finding<" in text_of(office.get(browser, LIST))

    def test_folds_runs_with_nothing_to_do(self, office, browser, world):
        ReportRun.objects.create(
            trigger="schedule",
            status="succeeded",
            idle_runs=287,
            queued_at=NOW,
            started_at=NOW,
            finished_at=NOW + timedelta(seconds=2),
        )
        page = text_of(office.get(browser, LIST))
        assert "nothing to do" in page
        assert "and 287 more with nothing to do" in page
        assert "the schedule" in page
        assert "2.0 s" in page

    def test_is_filtered(self, office, browser, world, ada):
        world.report(sync=False)
        queued(world)
        for query, count in (
            ({"status__exact": "succeeded"}, 1),
            ({"trigger__exact": "admin"}, 1),
            ({"kind__exact": "report"}, 2),
            ({"kind__exact": "sync"}, 0),
            ({"requested_by": "ada"}, 1),
            ({"queued_at_from": "2026-03-11"}, 0),
        ):
            assert office.get(browser, LIST, **query).context["cl"].result_list.count() == count, query
        assert UsageReport.objects.count() == 1
