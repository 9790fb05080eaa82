"""Pausing reporting: whoever starts a run, what is paused stands still, and goes on when it is resumed."""

import pytest

from sync import tasks
from sync.conf import STRIPE_ADDRESS
from sync.models import Customer, Meter, Pause, ReportRun
from sync.operations.pause_reporting import pause_for_stripe, pause_reporting, resume_reporting
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import report_usage
from sync.queries.planning import Scope
from sync.wiring import connect
from tests.functional.test_report_usage import at
from tests.functional.test_report_usage_command import shell as shell
from tests.office import carried_back, dialog_url, log_of, text_of, typed

NOW = at("2026-03-10T10:03")
USED_AT = at("2026-03-10T09:30")


@pytest.fixture
def tokens(world):
    return world.meter()


@pytest.fixture
def people(world, tokens):
    """Return two customers who used 10 tokens each in the hour before ten."""
    found = [world.subscriber(tokens, name) for name in ("ada", "bob")]
    world.sync()
    world.use_many([("ada", 10, USED_AT), ("bob", 10, USED_AT)])
    world.at(NOW)
    return found


def pause(what, world):
    named = {
        "everything": {},
        "meter": {"meter": Meter.objects.get()},
        "customer": {"customer": Customer.objects.get(name="ada")},
    }[what]
    return pause_reporting(**named, why="Disputed.", who="vera", now=world.now)


@pytest.mark.parametrize("what", ["everything", "meter", "customer"])
@pytest.mark.parametrize("trigger", ["command", "admin", "schedule"])
class TestPause:
    def test_is_obeyed_by_every_trigger(self, office, shell, world, people, what, trigger):
        standing = pause(what, world)
        run = self.run(trigger, office, shell)
        ada, bob = people
        assert world.billed(ada) == 0
        assert world.billed(bob) == (10 if what == "customer" else 0)
        assert run.trigger == trigger
        assert run.status == "succeeded"
        assert standing.sentence in run.notes
        resume_reporting(pause_id=standing.pk, why="Settled.", who="vera", now=world.now)
        self.run(trigger, office, shell)
        assert (world.billed(ada), world.billed(bob)) == (10, 10)

    def run(self, trigger, office, shell):
        if trigger == "command":
            shell("report_usage", "--no-sync")
        elif trigger == "schedule":
            with office.now():
                tasks.report_on_schedule()
        else:
            request = ReportRequest(sync=False, trigger=ReportRun.Trigger.ADMIN, requested_by="ada")
            run = request.as_run(now=office.world.now)
            run.save()
            with office.now():
                tasks.carry_out_run(run.pk)
        return ReportRun.objects.latest("pk")


class TestPauseMeanwhile:
    def test_stops_a_delivery_soundly_and_the_run_says_so(self, world, people):
        for hour in range(10, 14):
            world.use_many([("ada", 1, at(f"2026-03-10T{hour}:30")), ("bob", 1, at(f"2026-03-10T{hour}:30"))])
        world.at(at("2026-03-10T14:03"))

        def watch(step, done, _total):
            if step == "Reporting to Stripe" and done and not Pause.objects.exists():
                pause("customer", world)

        connections = connect(config=world.config)
        result = report_usage(
            request=ReportRequest(sync=False),
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            rules=world.rules(),
            clock=lambda: world.now,
            progress=watch,
        )
        ada, bob = people
        assert world.billed(bob) == 14
        assert world.billed(ada) < 14
        assert Pause.objects.get().sentence in result.notes
        assert set(world.statuses()) == {"delivered", "pending"}
        resume_reporting(pause_id=Pause.objects.get().pk, why="Settled.", who="vera", now=world.now)
        world.report(sync=False)
        assert world.billed(ada) == 14

    def test_of_somebody_else_is_not_mentioned(self, world, people):
        pause("customer", world)
        result = world.report(sync=False, scope=Scope(customer=people[1].customer))
        assert result.notes == []


class TestPauseCommands:
    @pytest.mark.parametrize("target", [["--everything"], ["--meter", "tokens"], ["--customer", "ada"]])
    def test_pause_list_and_resume(self, shell, world, people, target):
        target = [people[0].customer if word == "ada" else word for word in target]
        code, out, err = shell("pause_reporting", *target, "--why", "Disputed.")
        assert (code, err) == (0, "")
        assert "is paused since 2026-03-10 10:03 UTC by" in out
        assert shell("pause_reporting", "--list")[1] == out
        code, _, err = shell("pause_reporting", *target, "--why", "Again.")
        assert code == 2
        assert "is paused since" in err
        code, out, err = shell("resume_reporting", *target, "--why", "Settled.")
        assert (code, err) == (0, "")
        assert out.startswith("Resumed: ")
        assert shell("pause_reporting", "--list")[1] == "Nothing is paused.\n"
        assert Pause.objects.get().resume_reason == "Settled."

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (["pause_reporting", "--meter", "nope", "--why", "x"], "There is no meter nope here"),
            (["pause_reporting", "--customer", "cus_nope", "--why", "x"], "There is no customer cus_nope"),
            (["pause_reporting", "--everything"], "say why"),
            (["resume_reporting", "--everything", "--why", "x"], "This is not paused"),
            (["resume_reporting", "--meter", "nope", "--why", "x"], "There is no meter nope here"),
        ],
    )
    def test_answer_bad_input_with_a_sentence_and_exit_code_2(self, shell, people, args, sentence):
        code, _, err = shell(*args)
        assert code == 2
        assert sentence in err

    def test_leave_to_stripe_what_stripe_paused(self, shell, world, people):
        pause_for_stripe(Meter.objects.get(), reason="Stripe refused.", now=world.now)
        code, _, err = shell("resume_reporting", "--meter", "tokens", "--why", "x")
        assert code == 2
        assert "not paused" in err
        assert Pause.objects.get().resumed_at is None


class TestPauseDialogs:
    def test_pause_and_resume_everything(self, office, world, people):
        browser = office.browser("otto", group="Billing operator")
        url = dialog_url("pause", "pause")
        assert "Nothing more of everything is measured or sent" in text_of(office.get(browser, url))
        assert not Pause.objects.exists()
        office.post(browser, url, why="Audit.")
        made = Pause.objects.get()
        assert (made.scope, made.paused_by, made.reason) == ("everything", "otto", "Audit.")
        assert log_of(made) == ["Paused reporting of everything. Audit."]
        assert "is paused since" in text_of(office.get(browser, url))
        office.confirm(browser, dialog_url("pause", "resume", made.pk), why="Done.")
        made.refresh_from_db()
        assert (made.resumed_by, made.resume_reason) == ("otto", "Done.")
        assert log_of(made)[1:] == ["Resumed reporting of everything. Done."]

    def test_want_a_word_typed_in_live_mode(self, office, world, people, settings):
        settings.STRIPE_KEY, settings.STRIPE_API_BASE = "sk_live_tests_0001", STRIPE_ADDRESS
        browser, url = office.browser(), dialog_url("pause", "pause")
        assert "type LIVE to confirm" in text_of(office.get(browser, url))
        for answers in ({}, {"typed_word": "live"}):
            assert office.post(browser, url, why="Audit.", **answers).status_code == 200
            assert not Pause.objects.exists()
        assert office.post(browser, url, why="Audit.", typed_word="LIVE").status_code == 302
        assert Pause.objects.exists()

    @pytest.mark.parametrize("model", [Meter, Customer])
    def test_pause_and_resume_one_thing_from_its_page(self, office, people, model):
        browser, row = office.browser(), model.objects.order_by("pk").first()
        name = model._meta.model_name
        page = f"/sync/{name}/{row.pk}/change/"
        pause_url, resume_url = (dialog_url(name, word, row.pk) for word in ("pause", "resume"))
        assert pause_url in text_of(office.get(browser, page))
        office.post(browser, pause_url, why="Disputed.")
        made = Pause.objects.get()
        assert made.scope == f"{name}:{row.stripe_id}"
        assert "Disputed." in log_of(row)[0]
        shown = text_of(office.get(browser, page))
        assert resume_url in shown
        assert pause_url not in shown
        assert "Disputed." in text_of(office.get(browser, resume_url))
        office.confirm(browser, resume_url, why="Settled.")
        assert not Pause.objects.filter(resumed_at=None).exists()

    @pytest.mark.parametrize("what", ["everything", "meter", "customer"])
    def test_show_what_a_resumption_lets_go_out(self, office, world, people, settings, what):
        settings.CONFIRM_AMOUNT = 0
        world.control.fault("POST /v1/billing/meter_events", times=9, status=401)
        world.report(sync=False)
        world.control.clear_faults()
        made, browser = pause(what, world), office.browser()
        # What waits in the ledger counts as well as what nobody has measured yet.
        world.use("ada", 10, at("2026-03-10T10:30"))
        world.later(hours=1)
        url = dialog_url("pause", "resume", made.pk)
        shown = office.get(browser, url)
        worth, units = ("0.20", "20") if what == "customer" else ("0.30", "30")
        assert f"In total {units} tokens of" in text_of(shown)
        assert typed(shown) == {"typed_usd": worth}
        given = {"why": "Settled.", **typed(shown)}
        world.use("ada", 1, at("2026-03-10T10:31"))
        answer = office.post(browser, url, **carried_back(shown), **given)
        assert "not what you were shown before, so nothing was done" in text_of(answer)
        made.refresh_from_db()
        assert made.resumed_at is None
        given |= typed(answer) | carried_back(answer)
        assert office.post(browser, url, **given).status_code == 302
        world.report(sync=False)
        assert world.billed(people[0]) == 21

    def test_say_what_nobody_knows_of_a_resumption_and_let_it_be(self, office, world, people, settings):
        pause("everything", world)
        made, browser = pause("customer", world), office.browser()
        url = dialog_url("pause", "resume", made.pk)
        page = text_of(office.get(browser, url))
        assert "Another pause keeps all of it back, too" in page
        settings.STRIPE_KEY = ""
        page = text_of(office.get(browser, url))
        assert "Nobody can say now what waits to be sent: " in page
        assert office.confirm(browser, url, why="Settled.").status_code == 302

    def test_do_not_offer_to_resume_what_stripe_paused(self, office, world, people):
        pause_for_stripe(Meter.objects.get(), reason="Stripe refused.", now=world.now)
        url = dialog_url("pause", "resume", Pause.objects.get().pk)
        assert "reactivate it there" in text_of(office.get(office.browser(), url))

    def test_need_their_permissions(self, office, world, people):
        made = pause("everything", world)
        viewer = office.browser("vera", group="Billing viewer")
        urls = [
            dialog_url("pause", "pause"),
            dialog_url("pause", "resume", made.pk),
            dialog_url("meter", "pause", Meter.objects.get().pk),
        ]
        for url in urls:
            assert office.get(viewer, url).status_code == 403
            assert office.post(viewer, url, why="x").status_code == 403
        assert Pause.objects.get().resumed_at is None
