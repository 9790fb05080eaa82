"""Staff say whose usage a key is: what they are shown, what is billed, and that no key has two owners."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from sync.models import Customer, Enrolment, Finding, Subject
from sync.operations.assign_subjects import assign_subjects
from sync.operations.link_subject import link_subject
from sync.operations.move_subject import end_subject, move_subject
from sync.ports import InvalidInput
from tests.factories import CustomerFactory, MeterFactory, SubjectFactory, UsageReportFactory
from tests.office import carried_back, dialog_url, log_of, text_of, typed
from tests.world import HOUR, START

WHY = {"why": "They told us."}


@pytest.fixture
def tokens(world):
    """Return a meter on both sides: a cent a unit."""
    return world.meter()


def link(key, customer, since=None, now=START):
    return link_subject(key=key, customer=customer, since=since, was_seen=True, why="x", now=now)


def move(subject, customer, now=START):
    return move_subject(subject_id=subject.pk, customer=customer, why="x", now=now)


class TestLinkDialog:
    def test_usage_of_a_linked_key_is_shown_and_then_billed(self, world, office, tokens):
        ada = world.subscriber(tokens)
        world.use("team-7", 300, START + HOUR / 2)
        world.later(hours=2)
        world.sync()
        assert Finding.objects.get(kind="subject_never_seen").resolved_at is None
        browser, customer = office.browser(), Customer.objects.get()
        url = dialog_url("customer", "link", customer.pk)
        assert "team-7" in text_of(office.get(browser, url))
        page = text_of(office.get(browser, url, key="team-7", since="period"))
        assert "300" in page
        assert "3.00 USD" in page
        assert not Subject.objects.filter(key="team-7").exists()
        assert office.confirm(browser, url, key="team-7", since="period", **WHY).status_code == 302
        subject = Subject.objects.get(key="team-7")
        assert (subject.customer, subject.valid_from, subject.seen_at) == (customer, START, world.now)
        assert subject.history.get().history_user.username == "ada"
        assert subject.history.get().history_change_reason == "They told us."
        assert log_of(subject) == log_of(customer) == ["Linked team-7 to ada. They told us."]
        assert Finding.objects.get(kind="subject_never_seen").resolution.startswith("The key team-7")
        world.report()
        assert world.billed(ada) == 300

    def test_a_second_key_adds_to_what_was_reported_before_however_long_ago(self, world, office, tokens):
        ada = world.subscriber(tokens)
        for hours in (0.5, 20.5):
            world.use("ada", 10, START + hours * HOUR)
            world.use("team-7", 5, START + hours * HOUR)
        world.later(hours=3)
        world.report()
        world.later(hours=24)
        world.report()
        assert world.billed(ada) == 20
        url = dialog_url("customer", "link", Customer.objects.get().pk)
        page = text_of(office.get(office.browser("bo"), url, key="team-7", since="ever"))
        assert "0.10 USD" in page
        office.confirm(office.browser(), url, key="team-7", since="ever", **WHY)
        world.report()
        assert world.billed(ada) == 30

    def test_only_what_was_shown_is_linked(self, world, office, tokens):
        world.subscriber(tokens)
        world.use("team-7", 300, START + HOUR / 2)
        world.later(hours=2)
        world.sync()
        browser, url = office.browser(), dialog_url("customer", "link", Customer.objects.get().pk)
        chosen = {"key": "team-7", "since": "period"}
        shown = office.get(browser, url, **chosen)
        world.use("team-7", 1, START + HOUR / 2)
        answer = office.post(browser, url, **chosen, **carried_back(shown), **WHY)
        assert "not what you were shown before, so nothing was done" in text_of(answer)
        assert "3.01 USD" in text_of(answer)
        other = {**chosen, "since": "ever"}
        assert office.post(browser, url, **other, **carried_back(answer), **WHY).status_code == 200
        assert not Subject.objects.filter(key="team-7").exists()
        assert office.post(browser, url, **chosen, **carried_back(answer), **WHY).status_code == 302

    def test_shows_nothing_of_what_was_somebody_elses(self, world, office, tokens):
        world.subscriber(tokens)
        world.use_many([("team-7", 300, START + HOUR / 2), ("team-7", 20, START + 1.5 * HOUR)])
        world.later(hours=3)
        world.sync()
        SubjectFactory(key="team-7", valid_to=START + HOUR)
        url = dialog_url("customer", "link", Customer.objects.get(name="ada").pk)
        page = text_of(office.get(office.browser(), url, key="team-7", since="ever"))
        assert "from 2026-03-10 10:00 UTC on" in page
        assert "0.20 USD" in page
        assert "3.20 USD" not in page

    def test_from_the_next_hour_on_nothing_of_the_past_is_billed(self, world, office, tokens):
        ada = world.subscriber(tokens)
        world.use("team-7", 300, START + HOUR / 2)
        world.later(hours=2)
        world.sync()
        url = dialog_url("subject", "link")
        customer = Customer.objects.get()
        chosen = {"key": "team-7", "since": "next", "customer": customer.pk}
        assert "no usage of this key" in text_of(office.get(office.browser("bo"), url, **chosen))
        office.confirm(office.browser(), url, **chosen, **WHY)
        assert Subject.objects.get(key="team-7").valid_from == START + 3 * HOUR
        world.use("team-7", 7, START + 3.5 * HOUR)
        world.later(hours=3)
        world.report()
        assert world.billed(ada) == 7

    def test_what_is_too_late_for_any_invoice_is_no_money_at_stake(self, world, office, tokens):
        world.subscriber(tokens)
        world.use("team-7", 300, START + HOUR / 2)
        world.sync()
        world.later(days=32)
        world.sync()
        url = dialog_url("customer", "link", Customer.objects.get().pk)
        page = text_of(office.get(office.browser(), url, key="team-7", since="ever"))
        assert "on no invoice any more" in page
        assert "At stake" not in page

    def test_says_at_once_whose_a_key_is_that_somebody_holds(self, office, db):
        held, customer = SubjectFactory(), CustomerFactory()
        url = dialog_url("customer", "link", customer.pk)
        page = text_of(office.get(office.browser(), url, key=held.key, since="ever"))
        assert "move it from there instead" in page
        assert "<textarea" not in page

    def test_says_that_nobody_pays_without_a_subscription(self, office):
        url = dialog_url("customer", "link", CustomerFactory().pk)
        page = text_of(office.get(office.browser(), url, key="team-7", since="ever"))
        assert "has no subscription on a meter" in page

    def test_says_it_when_openmeter_does_not_answer(self, world, office, tokens, settings):
        world.subscriber(tokens)
        world.sync()
        settings.OPENMETER_URL = "http://127.0.0.1:1"
        url = dialog_url("customer", "link", Customer.objects.get().pk)
        assert "OpenMeter cannot be reached" in text_of(office.get(office.browser(), url))

    def test_needs_its_permission(self, office):
        customer = CustomerFactory()
        url = dialog_url("customer", "link", customer.pk)
        browser = office.browser("eve", group="Billing operator")
        assert office.post(browser, url, key="k", since="ever", **WHY).status_code == 403
        assert not Subject.objects.exists()


@pytest.mark.django_db
class TestLinkSubject:
    def test_a_key_that_somebody_holds_stays_where_it_is(self):
        held = SubjectFactory()
        with pytest.raises(InvalidInput, match="move it from there"):
            link(held.key, CustomerFactory())
        with pytest.raises(InvalidInput, match="already"):
            link(held.key, held.customer)

    def test_begins_where_the_last_holder_ended(self):
        old = SubjectFactory(valid_to=START)
        assert link(old.key, CustomerFactory()).valid_from == START
        assert not Subject.objects.filter(key=old.key, valid_from=None).exclude(pk=old.pk).exists()

    def test_refuses_who_is_gone_and_what_is_no_key(self):
        with pytest.raises(InvalidInput, match="deleted in Stripe"):
            link("k", CustomerFactory(deleted_at=START))
        with pytest.raises(InvalidInput, match="characters"):
            link("  ", CustomerFactory())

    def test_a_plan_that_was_made_before_is_refused_and_the_past_is_measured_again(self):
        report = UsageReportFactory(status="delivered")
        Enrolment.objects.update(planned_through=START)
        link("k", report.enrolment.customer, since=START - 5 * HOUR)
        enrolment = Enrolment.objects.get()
        assert (enrolment.anew, enrolment.planned_through) == (1, START - 5 * HOUR)


@pytest.mark.django_db
class TestMoveSubject:
    def test_ends_with_one_and_begins_with_the_other_at_the_next_hour(self):
        old, new = SubjectFactory(), CustomerFactory()
        moved = move(old, new, START + timedelta(minutes=1))
        old.refresh_from_db()
        assert (old.valid_to, moved.subject.valid_from) == (START + HOUR, START + HOUR)
        assert (moved.subject.customer, moved.subject.valid_to) == (new, None)
        with pytest.raises(InvalidInput, match="over already"):
            move(old, CustomerFactory())

    def test_one_that_has_not_begun_never_held_and_no_sync_asks_for_it_again(self):
        old, new = SubjectFactory(valid_from=START + HOUR), CustomerFactory(external_key="")
        move(old, new)
        assert assign_subjects(now=START) == []
        assert list(
            Subject.objects.filter(key=old.key).values_list("customer", "valid_from", "valid_to")
        ) == [
            (old.customer_id, START + HOUR, START + HOUR),
            (new.pk, START + HOUR, None),
        ]

    def test_settles_the_finding_of_who_claimed_it(self):
        old, new = SubjectFactory(), CustomerFactory()
        finding = Finding.objects.create(
            kind="subject_claimed_twice",
            fingerprint=f"{new.stripe_id}:{old.key}",
            message="x",
            customer=new,
            found_at=START,
            seen_at=START,
        )
        move(old, new)
        finding.refresh_from_db()
        assert finding.resolved_at == START

    def test_refuses_who_has_it_and_who_is_gone(self):
        old = SubjectFactory()
        with pytest.raises(InvalidInput, match="already"):
            move(old, old.customer)
        with pytest.raises(InvalidInput, match="deleted in Stripe"):
            move(old, CustomerFactory(deleted_at=START))


class TestMoveDialog:
    def test_shows_what_stays_and_bills_the_other_from_the_next_hour_on(
        self, world, office, tokens, settings
    ):
        ada, bo = world.subscriber(tokens), world.subscriber(tokens, "bo")
        world.use("ada", 100, START + HOUR / 2)
        world.later(hours=2)
        world.report()
        subject, customer = Subject.objects.get(key="ada"), Customer.objects.get(name="bo")
        url = dialog_url("subject", "move", subject.pk)
        page = text_of(office.get(office.browser(), url, customer=customer.pk))
        assert "1.00 USD" in page
        assert "From 2026-03-10 12:00 UTC on bo pays" in page
        assert "as much again would be billed to bo instead of ada" in page
        settings.CONFIRM_AMOUNT = 1
        browser = office.browser("cy")
        shown = office.get(browser, url, customer=customer.pk)
        answer = office.post(browser, url, customer=customer.pk, **carried_back(shown), **WHY)
        assert "type 1.00 to confirm" in text_of(answer)
        given = {"customer": customer.pk, **typed(answer), **carried_back(answer), **WHY}
        world.use("ada", 1, START + HOUR / 2)  # too late for a run to look for it again
        assert "not what you were shown before" in text_of(office.post(browser, url, **given))
        assert not Subject.objects.filter(key="ada", customer=customer).exists()
        office.confirm(browser, url, **WHY, customer=customer.pk, typed_usd="1.01")
        world.use_many([("ada", 20, START + 2.5 * HOUR), ("ada", 30, START + 3.5 * HOUR)])
        world.later(hours=3)
        world.report()
        assert (world.billed(ada), world.billed(bo)) == (120, 30)
        world.sync()
        assert not Finding.objects.filter(kind="subject_claimed_twice").exists()

    def test_needs_its_permission(self, office):
        subject = SubjectFactory()
        browser = office.browser("eve", permission="sync.view_subject")
        for verb in ("move", "end"):
            answer = office.post(browser, dialog_url("subject", verb, subject.pk), **WHY)
            assert answer.status_code == 403
        subject.refresh_from_db()
        assert subject.valid_to is None


class TestEndDialog:
    def test_what_is_used_afterwards_is_billed_to_nobody(self, world, office, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        subject, browser = Subject.objects.get(), office.browser()
        url = dialog_url("subject", "end", subject.pk)
        shown = office.get(browser, url)
        assert "nobody can say what will be from then on" in text_of(shown)
        world.later(hours=1)
        answer = office.post(browser, url, **carried_back(shown), **WHY)
        assert "nothing was done" in text_of(answer)
        world.at(START)
        office.confirm(browser, url, **WHY)
        world.use_many([("ada", 1, START + HOUR / 2), ("ada", 2, START + 1.5 * HOUR)])
        world.later(hours=3)
        world.report()
        assert world.billed(ada) == Decimal(1)

    def test_one_that_has_not_begun_stays_taken_back_through_every_sync_until_it_is_linked(
        self, world, office, tokens
    ):
        ada = world.subscriber(tokens)
        world.sync()
        world.stripe("POST", f"/customers/{ada.customer}", metadata={"external_key": "team-7"})
        world.later(minutes=1)
        world.sync()
        subject, browser = Subject.objects.get(key="team-7"), office.browser()
        assert subject.valid_from == START + HOUR
        url = dialog_url("subject", "end", subject.pk)
        assert "nothing is ever billed by it" in text_of(office.get(browser, url))
        office.confirm(browser, url, **WHY)
        world.later(minutes=1)
        world.sync()
        world.use("team-7", 3, START + 1.5 * HOUR)
        world.later(hours=3)
        world.report()
        assert world.billed(ada) == 0
        subject.refresh_from_db()
        assert subject.never_held
        assert subject.history.latest().history_change_reason == "They told us."
        assert Subject.objects.filter(key="team-7").count() == 1
        page = text_of(office.get(browser, dialog_url("customer", "change", subject.customer_id)))
        assert "it was taken back before" in page
        office.confirm(
            browser,
            dialog_url("customer", "link", subject.customer_id),
            key="team-7",
            since="period",
            **WHY,
        )
        world.report()
        assert world.billed(ada) == 3

    def test_what_was_taken_back_may_be_another_customers_at_once(self, db):
        old, new = SubjectFactory(valid_from=START + HOUR), CustomerFactory(external_key="")
        end_subject(subject_id=old.pk, why="x", now=START)
        Customer.objects.filter(pk=new.pk).update(external_key=old.key)
        assert assign_subjects(now=START) == []
        assert Subject.objects.get(customer=new).valid_from is None
        end_subject(subject_id=Subject.objects.get(customer=new).pk, why="x", now=START)
        assert link(old.key, old.customer, START + HOUR).valid_from == START + HOUR

    def test_much_that_is_billed_to_nobody_is_typed(self, world, office, tokens, settings):
        settings.CONFIRM_AMOUNT = 1
        world.subscriber(tokens)
        world.use("ada", 150, START + HOUR / 2)
        world.sync()
        world.later(hours=1)
        subject, browser = Subject.objects.get(), office.browser()
        answer = office.confirm(browser, dialog_url("subject", "end", subject.pk), **WHY)
        assert "as much again would be billed to nobody" in text_of(answer)
        assert typed(answer) == {"typed_usd": "1.50"}
        subject.refresh_from_db()
        assert subject.valid_to is None


class TestHistory:
    def test_says_who_changed_what_and_why_and_reverts_nothing(self, office, db):
        subject = SubjectFactory(customer__name="Old")
        other = CustomerFactory(name="New")
        browser = office.browser()
        office.confirm(browser, dialog_url("subject", "move", subject.pk), customer=other.pk, **WHY)
        page = text_of(office.get(browser, dialog_url("subject", "history", subject.pk)))
        assert "They told us." in page
        assert "valid to" in page.lower()
        version = subject.history.latest().pk
        form = f"{dialog_url('subject', 'history', subject.pk)}{version}/"
        assert office.post(office.browser("eve", group="Billing viewer"), form, key="mine").status_code == 302
        subject.refresh_from_db()
        assert subject.key != "mine"
        assert MeterFactory().history.count() == 1


@pytest.mark.django_db(transaction=True)
class TestManyAtOnce:
    def test_one_of_them_gets_the_key(self):
        if connection.vendor == "sqlite":
            pytest.skip("threads cannot share SQLite in memory; its transactions follow one another")
        held, customers = SubjectFactory(), CustomerFactory.create_batch(4)
        assert self.won(customers, lambda customer: move(held, customer)) == 1
        assert self.won(customers, lambda customer: link("free", customer)) == 1
        for key in (held.key, "free"):
            rows = list(Subject.objects.filter(key=key).order_by("valid_from"))
            assert [row.valid_to for row in rows if row.valid_to is None] == [None]
            assert len({row.valid_from for row in rows}) == len(rows)

    def won(self, customers, act):
        """Return how many of those who try at once are not refused."""

        def attempt(customer):
            try:
                act(customer)
            except InvalidInput:
                return 0
            finally:
                connection.close()
            return 1

        with ThreadPoolExecutor(len(customers)) as pool:
            return sum(pool.map(attempt, customers))
