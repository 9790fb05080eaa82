"""Somebody is told: once when it begins, once when it is over, and by whoever is alive."""

import json
from smtplib import SMTPException

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone

from sync.models import Customer, Incident, ReportRun, StripeAccount, UsageReport, Worker
from sync.operations import tell_incidents as module
from sync.operations.show_worker import show_worker
from sync.operations.tell_incidents import CLAIM
from sync.operations.watch_reporting import watch_reporting
from tests.factories import EnrolmentFactory, UsageReportFactory
from tests.functional.test_report_usage import at
from tests.world import HOUR


@pytest.fixture(autouse=True)
def _admins(settings):
    settings.ADMINS = [("Ops", "ops@example.com")]


def report_first_hour(world):
    who = world.subscriber(world.meter())
    world.use("ada", 5, world.now + HOUR / 2)
    world.later(hours=1, minutes=5)
    world.report()
    show_worker("w", now=world.now)
    return who


@pytest.fixture
def business(world, stage):
    """Return a subscriber whose usage has been reported by a living worker."""
    return stage.play("first hour reported by a worker", lambda: report_first_hour(world))


def hold(world) -> None:
    UsageReport.objects.update(status="held", delivered_at=None)


def release(world) -> None:
    UsageReport.objects.update(status="delivered", delivered_at=world.now)


class TestIncident:
    def test_is_told_once_when_it_begins_and_once_when_it_is_over(self, world, business):
        watch_reporting(now=world.now)
        assert mail.outbox == []
        hold(world)
        for _ in range(3):
            watch_reporting(now=world.now)
        release(world)
        for _ in range(3):
            watch_reporting(now=world.now)
        assert [(one.subject, one.to) for one in mail.outbox] == [
            ("[Billing console] Reports are held", ["ops@example.com"]),
            ("[Billing console] Over: Reports are held", ["ops@example.com"]),
        ]
        incident = Incident.objects.get()
        assert (incident.began_at, incident.told_at, incident.ended_at, incident.end_told_at) == (
            (world.now,) * 4
        )

    def test_names_no_customer(self, world, business):
        hold(world)
        watch_reporting(now=world.now)
        body = mail.outbox[0].body
        assert "Reports wait for a person (1 held)" in body
        assert business.customer not in body
        assert Customer.objects.get().name not in body.split()

    def test_shows_the_newest_sentence_while_it_lasts(self, world, business):
        hold(world)
        watch_reporting(now=world.now)
        another = UsageReport.objects.get()
        another.pk, another.identifier, another.revision = None, "another", 2
        another.save()
        watch_reporting(now=world.now)
        assert "(2 held)" in Incident.objects.get().message
        assert len(mail.outbox) == 1

    def test_of_what_is_refused_is_told_while_something_else_is_held(self, world, business):
        hold(world)
        watch_reporting(now=world.now)
        another = UsageReport.objects.get()
        another.pk, another.identifier, another.revision, another.status = None, "another", 2, "rejected"
        another.save()
        watch_reporting(now=world.now)
        assert [one.subject for one in mail.outbox] == [
            "[Billing console] Reports are held",
            "[Billing console] Stripe refused reports",
        ]

    def test_of_another_meter_or_day_is_told_though_the_first_is_open_and_all_together(self, world, business):
        hold(world)
        watch_reporting(now=world.now)
        world.later(minutes=4)
        held = UsageReport.objects.get()
        others = EnrolmentFactory.create_batch(2)
        for number, enrolment in enumerate([*others, others[0]]):
            UsageReportFactory(
                enrolment=enrolment, status="held", slice_start=held.slice_start + number * HOUR
            )
        UsageReportFactory(enrolment=held.enrolment, status="held", slice_start=held.slice_start + 24 * HOUR)
        for _ in range(3):  # so soon after the first e-mail the news are gathered
            watch_reporting(now=world.now)
        assert len(mail.outbox) == 1
        world.later(minutes=1)
        show_worker("w", now=world.now)
        for _ in range(3):
            watch_reporting(now=world.now)
        assert [one.subject for one in mail.outbox[1:]] == ["[Billing console] More: Reports are held"]
        lines = mail.outbox[1].body.split("\n\n")[0].splitlines()
        assert {line.split(":")[0] for line in lines} == {
            f"Reports wait for a person (2 held) on {others[0].meter.event_name}, planned on 2026-03-10",
            f"Reports wait for a person (1 held) on {others[1].meter.event_name}, planned on 2026-03-10",
            "Reports wait for a person (1 held) on tokens, planned on 2026-03-11",
        }
        assert len(lines) == 3
        UsageReport.objects.filter(enrolment__in=others).update(status="dismissed", decision="Wrong.")
        watch_reporting(now=world.now)
        assert Incident.objects.filter(ended_at=None).count() == 2
        assert len(mail.outbox) == 2
        UsageReport.objects.update(status="dismissed", decision="Wrong.")
        watch_reporting(now=world.now)
        assert [one.subject for one in mail.outbox[2:]] == ["[Billing console] Over: Reports are held"]
        assert mail.outbox[2].body.count("Reports wait for a person") == 4

    def test_is_one_for_each_billing_period_that_is_about_to_close(self, world):
        tokens = world.meter()
        world.subscriber(tokens)
        world.later(minutes=6)
        bob = world.subscriber(tokens, "bob")
        world.sync()
        for minute in (41, 44, 47, 48):
            world.at(at(f"2026-04-10T09:{minute}"))
            show_worker("w", now=world.now)
            watch_reporting(now=world.now)
        subject = "Usage is not in and its period closes soon"
        told = [one for one in mail.outbox if subject in one.subject]
        assert [one.subject.removeprefix("[Billing console] ") for one in told] == [
            subject,
            f"More: {subject}",
        ]
        for one, closes in zip(told, ("10:00", "10:06"), strict=True):
            assert (
                f"Usage of a billing period on tokens is not in, and it closes at 2026-04-10 {closes}"
                in one.body
            )
            assert bob.customer not in one.body
        world.at(at("2026-04-10T10:06"))
        watch_reporting(now=world.now)
        assert f"Over: {subject}" in mail.outbox[-1].subject
        assert "What had not come in before it closed is late" in mail.outbox[-1].body

    def test_of_the_same_kind_later_is_another_one(self, world, business):
        for _ in range(2):
            hold(world)
            watch_reporting(now=world.now)
            release(world)
            watch_reporting(now=world.now)
        assert Incident.objects.count() == 2
        assert len(mail.outbox) == 4

    def test_is_told_again_until_the_mail_server_takes_it(self, world, business, monkeypatch):
        def broken(*_):
            raise SMTPException

        hold(world)
        monkeypatch.setattr(module, "mail_admins", broken)
        watch_reporting(now=world.now)
        assert Incident.objects.get().told_at is None
        monkeypatch.undo()
        world.later(minutes=1)
        watch_reporting(now=world.now)
        assert len(mail.outbox) == 1
        assert Incident.objects.get().told_at == world.now

    def test_that_nobody_could_be_told_of_is_no_news_once_it_is_over(self, world, business, settings):
        admins, settings.ADMINS = settings.ADMINS, []
        hold(world)
        watch_reporting(now=world.now)
        release(world)
        settings.ADMINS = admins
        watch_reporting(now=world.now)
        assert mail.outbox == []
        assert Incident.objects.get().ended_at == world.now

    def test_is_told_once_by_two_workers(self, world, business, monkeypatch):
        sent = []

        def meanwhile_another_looks(subject, text):
            sent.append(subject)
            watch_reporting(now=world.now)

        hold(world)
        monkeypatch.setattr(module, "mail_admins", meanwhile_another_looks)
        watch_reporting(now=world.now)
        release(world)
        watch_reporting(now=world.now)
        assert sent == ["Reports are held", "Over: Reports are held"]

    def test_is_told_by_another_where_the_first_was_killed_before_it_could(self, world, business):
        hold(world)
        watch_reporting(now=world.now)
        mail.outbox.clear()
        Incident.objects.update(told_at=None, claimed_at=world.now)
        world.at(world.now + CLAIM)
        watch_reporting(now=world.now)
        assert mail.outbox == []
        world.later(seconds=1)
        watch_reporting(now=world.now)
        assert len(mail.outbox) == 1


class TestRunOfAKilledWorker:
    def test_is_marked_interrupted_by_whoever_looks(self, world, business):
        ReportRun.objects.filter(kind="report").update(
            status="running", finished_at=None, heartbeat_at=world.now
        )
        world.later(minutes=2, seconds=1)
        watch_reporting(now=world.now)
        assert ReportRun.objects.get().status == "interrupted"


class TestWorker:
    def test_is_forgotten_after_a_day(self, world):
        show_worker("old", now=world.now)
        world.later(days=1, seconds=1)
        show_worker("new", now=world.now)
        assert [worker.name for worker in Worker.objects.all()] == ["new"]


@pytest.fixture
def in_trouble(db):
    """The console has been in use for an hour, without a worker."""
    StripeAccount.objects.create(stripe_id="acct_1", livemode=False, pinned_at=timezone.now() - HOUR)


class TestProbes:
    def test_are_well_before_anything_is_set_up(self, client, db):
        for address in ("/healthz", "/readyz"):
            answer = client.get(address)
            assert (answer.status_code, answer.json()["status"]) == (200, "ok")

    def test_say_the_same_and_only_the_console_itself_is_well(self, client, in_trouble):
        answers = [client.get(address) for address in ("/healthz", "/readyz")]
        assert [answer.status_code for answer in answers] == [200, 503]
        said = [answer.json() for answer in answers]
        for body in said:
            body.pop("checked_at")
        assert said[0] == said[1]
        assert [problem["kind"] for problem in said[0]["problems"]] == ["worker_dead"]
        assert "qcluster" in said[0]["problems"][0]["sentence"]

    def test_have_somebody_told_that_the_worker_is_dead(self, client, in_trouble):
        client.get("/healthz")
        assert mail.outbox == []
        client.get("/readyz")
        client.get("/readyz")
        assert [one.subject for one in mail.outbox] == ["[Billing console] No worker is alive"]

    @pytest.mark.parametrize("address", ["/healthz", "/readyz"])
    def test_are_503_where_the_database_does_not_answer(self, client, monkeypatch, address):
        from django.db import OperationalError

        from sync import probes

        def away(**_):
            raise OperationalError

        monkeypatch.setattr(probes, "reporting_health", away)
        monkeypatch.setattr(probes, "watch_reporting", away)
        answer = client.get(address)
        assert answer.status_code == 503
        assert answer.json()["problems"][0]["kind"] == "database"

    @pytest.mark.parametrize("address", ["/healthz", "/readyz"])
    def test_need_no_login_take_no_post_and_are_never_cached(self, client, db, address):
        assert client.post(address).status_code == 405
        assert "no-store" in client.get(address)["Cache-Control"]

    def test_answer_without_tls_too(self, client, db, settings):
        settings.SECURE_SSL_REDIRECT = True
        settings.SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]
        assert client.get("/readyz").status_code == 200


class TestCheckReporting:
    def test_says_that_all_is_well(self, world, business, capsys, monkeypatch):
        monkeypatch.setattr("sync.management.base.timezone.now", lambda: world.now)
        call_command("check_reporting")
        out = capsys.readouterr().out
        assert "Usage is being reported." in out
        assert f"last full run: {world.now.isoformat()}" in out

    def test_fails_with_what_is_wrong_and_tells_it(self, in_trouble, capsys):
        with pytest.raises(CommandError) as failed:
            call_command("check_reporting")
        assert failed.value.returncode == 1
        assert "No background worker was seen yet" in capsys.readouterr().out
        assert len(mail.outbox) == 1

    def test_says_it_to_machines_too(self, in_trouble, capsys, settings, client):
        settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
        with pytest.raises(CommandError):
            call_command("check_reporting", format="json")
        said = json.loads(capsys.readouterr().out)
        probed = client.get("/readyz").json()
        assert said.pop("checked_at") <= probed.pop("checked_at")
        assert said == probed
