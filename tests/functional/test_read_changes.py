"""What changed in Stripe is read again by its events, and nothing else is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import (
    BillingPeriod,
    Customer,
    Enrolment,
    Finding,
    Listing,
    Meter,
    Price,
    ReportRun,
    StripeAccount,
    Subject,
    Subscription,
)
from sync.operations import read_changes as module
from sync.operations.sync_stripe import sync_stripe
from sync.ports import Misconfigured, TemporaryFailure
from sync.queries.unfinished_sync import goes_on_by_itself
from sync.tasks import read_changes_on_schedule
from sync.wiring import connect
from tests.world import HOUR, Metered

LISTS = ("customers", "prices", "subscriptions")


@pytest.fixture
def business(world):
    """Return a mirrored subscriber, some time after the first sync."""
    who = world.subscriber(world.meter())
    world.later(minutes=10)
    world.sync()
    world.later(minutes=15)
    world.control.clear_requests()
    return who


def read(world, **options) -> ReportRun:
    connections = connect(config=world.config)
    run = ReportRun(kind=ReportRun.Kind.CHANGES, trigger="schedule", requested_by="schedule")
    return sync_stripe(
        run=run,
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        invoice_grace=world.config.invoice_grace,
        clock=lambda: world.now,
        **options,
    ).run


def asked(world, side: str = "/v1/") -> list[str]:
    return [call["route"] for call in world.control.requests() if side in call["route"]]


def mark():
    return StripeAccount.objects.get().events_read_through


class TestReadChanges:
    def test_asks_once_where_nothing_changed(self, world, business):
        run = read(world)
        assert asked(world) == ["GET /v1/account", "GET /v1/events"]
        assert asked(world, "/api/") == []
        assert (run.status, run.notes, any(run.counters.values())) == ("succeeded", "", False)
        assert mark() == world.now

    def test_reads_each_changed_object_once(self, world, business):
        for name in ("Ada L.", "Countess"):
            world.stripe("POST", f"/customers/{business.customer}", name=name)
        world.stripe("POST", f"/subscriptions/{business.subscription}", cancel_at_period_end=True)
        run = read(world)
        assert [route for route in asked(world) if "{" in route] == [
            "POST /v1/customers/{customer}",
            "POST /v1/customers/{customer}",
            "POST /v1/subscriptions/{subscription_exposed_id}",
            "GET /v1/customers/{customer}",
            "GET /v1/subscriptions/{subscription_exposed_id}",
        ]
        assert Customer.objects.get().name == "Countess"
        assert Subscription.objects.get().cancel_at
        assert run.counters["customers changed"] == run.counters["subscriptions changed"] == 1
        assert [step["name"] for step in run.steps] == [
            "Reading Stripe: events",
            "Reading Stripe: customers",
            "Reading Stripe: subscriptions",
        ]

    def test_reads_nothing_again_that_was_read_since(self, world, business):
        world.stripe("POST", f"/customers/{business.customer}", name="Countess")
        world.later(minutes=6)
        read(world)
        world.control.clear_requests()
        read(world)
        assert "GET /v1/customers/{customer}" not in asked(world)

    def test_enrols_and_reports_who_subscribed_since(self, world, business):
        bob = world.subscribe(
            world.stripe("POST", "/customers", name="bob", metadata={"external_key": "bob"})["id"],
            type("Metered", (), {"price": Price.objects.get().stripe_id}),
            "bob",
        )
        read(world)
        assert Subject.objects.filter(key="bob").exists()
        assert Enrolment.objects.filter(customer__stripe_id=bob.customer).exists()
        world.use("bob", 4, world.now)
        world.later(hours=1)
        world.report(sync=False)
        assert world.billed(bob) == 4

    def test_learns_of_the_next_period(self, world, business):
        world.later(days=31)
        read(world)
        assert BillingPeriod.objects.count() == 2

    @pytest.mark.parametrize("path", ["/customers/{0.customer}", "/subscriptions/{0.subscription}"])
    def test_marks_what_is_gone(self, world, business, path):
        id_ = path.format(business).rpartition("/")[2]
        world.control.delete_stripe(id_)
        read(world)
        table = Customer if id_ == business.customer else Subscription
        assert table.objects.get(stripe_id=id_).deleted_at == world.now

    def test_shows_a_products_new_name_on_its_prices(self, world, business):
        world.stripe("POST", f"/products/{Price.objects.get().product_id}", name="AI Tokens")
        read(world)
        assert Price.objects.get().product_name == "AI Tokens"

    def test_stops_a_meter_that_was_deactivated_and_says_so(self, world, business):
        meter = Meter.objects.get().stripe_id
        world.stripe("POST", f"/billing/meters/{meter}/deactivate")
        read(world)
        assert not Meter.objects.get().active
        assert Finding.objects.filter(kind="meter_unsupported", resolved_at=None).exists()
        world.stripe("POST", f"/billing/meters/{meter}/reactivate")
        world.later(minutes=15)
        read(world)
        assert not Finding.objects.filter(kind="meter_unsupported", resolved_at=None).exists()

    def test_leaves_findings_that_only_a_full_sync_can_end(self, world, business):
        assert Finding.objects.get(resolved_at=None).kind == "subject_never_seen"
        world.stripe("POST", f"/customers/{business.customer}", name="Countess")
        read(world)
        assert Finding.objects.filter(kind="subject_never_seen", resolved_at=None).exists()

    def test_never_overwrites_what_is_newer(self, world, business):
        world.stripe("POST", f"/customers/{business.customer}", name="Countess")
        Customer.objects.update(name="newer", fetched_at=world.now + timedelta(seconds=1))
        read(world)
        assert Customer.objects.get().name == "newer"


class TestTheMark:
    def test_is_set_to_the_time_before_the_first_full_sync(self, world):
        ticks = iter(range(1000))
        connections = connect(config=world.config)
        world.subscriber(world.meter())
        sync_stripe(
            run=ReportRun(kind="sync", trigger="command"),
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            invoice_grace=world.config.invoice_grace,
            clock=lambda: world.now + timedelta(seconds=next(ticks)),
        )
        assert world.now < mark() < Meter.objects.get().fetched_at

    def test_stays_where_a_read_was_broken_off(self, world, business):
        before = mark()
        world.stripe("POST", f"/customers/{business.customer}", name="Countess")
        world.control.fault("GET /v1/customers/{customer}", times=8, status=500)
        with pytest.raises(TemporaryFailure):
            read(world)
        assert mark() == before
        assert ReportRun.objects.get().status == "failed"
        world.control.clear_faults()
        read(world)
        assert Customer.objects.get().name == "Countess"

    def test_stays_where_time_was_up(self, world, business):
        before = mark()
        world.stripe("POST", f"/customers/{business.customer}", name="Countess")
        run = read(world, time_is_up=lambda: True)
        assert (run.status, mark()) == ("partial", before)
        assert "the next sync completes it" in run.notes

    def test_never_goes_back(self, world, business):
        later = world.now + timedelta(hours=1)
        StripeAccount.objects.update(events_read_through=later)
        read(world)
        assert mark() == later


class TestAFullSyncInstead:
    @pytest.mark.parametrize("age", [None, timedelta(days=29, seconds=1)])
    def test_is_made_where_the_events_cannot_tell_everything(self, world, business, age):
        StripeAccount.objects.update(events_read_through=age and world.now - age)
        run = read(world)
        assert {f"GET /v1/{name}" for name in LISTS} <= set(asked(world))
        assert run.kind == "changes"
        assert "All of Stripe was read" in run.notes
        assert mark() == world.now

    def test_is_made_where_too_much_changed(self, world, business, monkeypatch):
        monkeypatch.setattr(module, "MOST_SINGLE_READS", 1)
        world.stripe("POST", f"/customers/{business.customer}", name="Countess")
        world.stripe("POST", f"/subscriptions/{business.subscription}", cancel_at_period_end=True)
        run = read(world)
        assert "GET /v1/customers" in asked(world)
        assert run.notes == "All of Stripe was read: 2 objects changed."

    def test_is_not_made_for_an_older_mark_that_will_do(self, world, business):
        StripeAccount.objects.update(events_read_through=world.now - timedelta(days=29))
        read(world)
        assert "GET /v1/customers" not in asked(world)


class TestPermission:
    def test_that_is_missing_fails_the_run_with_what_to_grant(self, world, business):
        world.control.fault("GET /v1/events", status=403)
        with pytest.raises(Misconfigured):
            read(world)
        assert ReportRun.objects.get().status == "failed"
        assert timezone.is_aware(ReportRun.objects.get().finished_at)


class TestInterruptedFullSync:
    """A full sync that its time is too short for goes on where it stopped."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch):
        monkeypatch.setattr("sync.clients.stripe_calls.PAGE", 2)
        monkeypatch.setattr("sync.models.listings.WORTH_GOING_ON", 1)

    @pytest.fixture
    def people(self, world):
        """Let seven customers be mirrored; then an hour passes."""
        tokens = world.meter()
        made = [world.subscriber(tokens, f"c{number}") for number in range(7)]
        world.sync()
        world.later(hours=1)
        return made

    def full_sync(self, world, *, until=""):
        """Sync until the progress says so; return the run."""
        said = []
        connections = connect(config=world.config)
        return sync_stripe(
            run=ReportRun(kind="sync", trigger="command", queued_at=world.now),
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            invoice_grace=HOUR,
            clock=lambda: world.now,
            progress=said.append,
            time_is_up=lambda: until in said,
        ).run

    def test_goes_on_there_and_ends_as_if_it_had_not_stopped(self, world, people):
        oldest, read = people[0], people[6]
        world.stripe("DELETE", f"/customers/{oldest.customer}")
        run = self.full_sync(world, until="customers: 4")
        assert (run.status, Customer.objects.filter(deleted_at=None).count()) == ("partial", 7)
        assert "customers: 4 so far" in run.notes
        world.later(hours=5)
        world.stripe("POST", f"/customers/{read.customer}", name="Renamed")
        world.stripe("DELETE", f"/customers/{people[5].customer}")
        tokens = Price.objects.get().stripe_id
        fresh = world.subscribe(
            world.stripe("POST", "/customers", name="new")["id"], Metered("tokens", "", tokens), "new"
        )
        world.control.clear_requests()
        run = self.full_sync(world)
        assert run.status == "succeeded"
        assert "It went on where an earlier sync had stopped: prices after 1, customers after 4." in run.notes
        pages = [call for call in world.control.requests() if call["path"] == "/v1/customers"]
        # One to see that the place is there, one for the two who are left of six: all take four.
        assert len(pages) == 2
        deleted = Customer.objects.exclude(deleted_at=None).values_list("stripe_id", flat=True)
        assert set(deleted) == {oldest.customer, people[5].customer}
        assert Customer.objects.get(stripe_id=read.customer).name == "Renamed"
        assert Subscription.objects.get(stripe_id=fresh.subscription).customer.name == "new"
        assert not Listing.objects.exists()
        assert StripeAccount.objects.get().events_read_through == world.now

    def test_begins_a_list_again_whose_place_is_gone(self, world, people):
        self.full_sync(world, until="customers: 4")
        world.later(minutes=1)
        world.stripe("DELETE", f"/customers/{Listing.objects.get(kind='customers').after}")
        run = self.full_sync(world)
        assert run.status == "succeeded"
        assert Customer.objects.filter(deleted_at=None).count() == 6

    def test_reads_all_where_another_one_ends_as_it_begins(self, world, people, monkeypatch):
        create = Listing.objects.bulk_create

        def create_what_is_gone_at_once(*args, **kwargs):
            create(*args, **kwargs)
            Listing.objects.all().delete()

        monkeypatch.setattr(Listing.objects, "bulk_create", create_what_is_gone_at_once)
        run = self.full_sync(world)
        assert run.status == "succeeded"
        assert Customer.objects.filter(deleted_at=None).count() == 7
        assert not Listing.objects.exists()

    def test_begins_anew_after_too_long(self, world, people):
        self.full_sync(world, until="customers: 4")
        world.later(days=8)
        assert "went on" not in self.full_sync(world).notes

    def test_is_taken_up_by_the_schedule_in_turn_and_shown_before_it(self, world, office, people):
        run = self.full_sync(world, until="customers: 4")
        with office.now():
            assert not goes_on_by_itself(now=world.now)
            read_changes_on_schedule()
            assert ReportRun.objects.latest("pk").kind == "changes"
            page = office.get(office.browser(), "/sync/reportrun/sync/").content.decode()
            assert "customers: 4 so far. This one goes on there." in page
            ReportRun.objects.filter(pk=run.pk).update(status="cancelled")
            assert not goes_on_by_itself(now=world.now)
            ReportRun.objects.filter(pk=run.pk).update(status="interrupted")
            read_changes_on_schedule()
        last = ReportRun.objects.latest("pk")
        assert (last.kind, last.status) == ("sync", "succeeded")
        assert not Listing.objects.exists()
