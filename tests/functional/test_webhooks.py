"""Stripe's webhooks: signed or refused, kept before the answer, worked on afterwards, believed in nothing."""

import json
import time
from datetime import timedelta

import pytest
from django_q.models import OrmQ

from sync.models import Customer, Invoice, Meter, StripeAccount, StripeNotice, Subscription
from sync.operations.keep_notice import forget_old_notices
from sync.tasks import handle_notices_of_stripe
from tests.office import Office
from tests.webhooks import ADDRESS, SECRET, THIN_ADDRESS, THIN_SECRET, Post, sign


@pytest.fixture
def office(world, settings, django_capture_on_commit_callbacks):
    return Office(world, settings, django_capture_on_commit_callbacks)


@pytest.fixture
def who(world):
    """Return a mirrored subscriber."""
    made = world.subscriber(world.meter())
    world.later(minutes=1)
    world.sync()
    world.later(minutes=1)
    return made


@pytest.fixture
def post(office, who, settings):
    return Post(office, settings)


def snapshot(**changes):
    return json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "type": "customer.updated",
            "created": 1_770_000_000,
            "livemode": False,
            "data": {"object": {"id": "cus_1", "object": "customer", "email": "ada@example.com"}},
        }
        | changes
    )


def thin(**changes):
    return json.dumps(
        {
            "id": "evt_2",
            "object": "v2.core.event",
            "type": "v1.billing.meter.error_report_triggered",
            "created": "2026-03-10T09:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
        }
        | changes
    )


class TestWhoMaySpeak:
    """What is not Stripe's leaves no trace."""

    @pytest.fixture(autouse=True)
    def _secrets(self, db, settings):
        settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_THIN_WEBHOOK_SECRET = SECRET, THIN_SECRET
        settings.SECURE_SSL_REDIRECT = False

    def ask(self, client, body, signature, address=ADDRESS):
        sent = {"data": body, "content_type": "application/json"}
        headers = {"stripe-signature": signature} if signature is not None else {}
        return client.post(address, headers=headers, **sent)

    @pytest.mark.parametrize(
        ("body", "signature", "address"),
        [
            (snapshot(), None, ADDRESS),
            (snapshot(), "", ADDRESS),
            (snapshot(), "t=1", ADDRESS),
            (snapshot(), "nonsense", ADDRESS),
            (snapshot(), "t=1,v1=\xe9", ADDRESS),
            (snapshot(), sign(snapshot(), "whsec_other"), ADDRESS),
            (snapshot(), sign(snapshot(id="evt_9")), ADDRESS),
            (snapshot(), sign(snapshot(), scheme="v0"), ADDRESS),
            (snapshot(), sign(snapshot(), at=time.time() - 10_000), ADDRESS),
            (snapshot(), sign(snapshot(), at=time.time() + 10_000), ADDRESS),
            (thin(), sign(thin(), SECRET), THIN_ADDRESS),
            # Signed, but no event of the kind that the address takes.
            (thin(), sign(thin()), ADDRESS),
            (snapshot(), sign(snapshot(), THIN_SECRET), THIN_ADDRESS),
            ("[]", sign("[]"), ADDRESS),
            ("{}", sign("{}"), ADDRESS),
            ("{}", sign("{}", THIN_SECRET), THIN_ADDRESS),
            ("not json", sign("not json"), ADDRESS),
            (snapshot(id=7), sign(snapshot(id=7)), ADDRESS),
            (snapshot(created=10**40), sign(snapshot(created=10**40)), ADDRESS),
            (snapshot(id="e" * 300), sign(snapshot(id="e" * 300)), ADDRESS),
            ("[" * 100_000, sign("[" * 100_000), ADDRESS),
        ],
        ids=range(21),
    )
    def test_refuses_with_a_sentence(self, client, body, signature, address):
        answer = self.ask(client, body, signature, address)
        assert answer.status_code == 400
        assert "nothing was kept" in answer.json()["message"]
        assert not StripeNotice.objects.exists()
        assert not OrmQ.objects.exists()

    def test_refuses_what_is_no_text(self, client):
        assert self.ask(client, b"\xff\xfe", sign("x")).status_code == 400

    def test_refuses_what_is_too_large_unread(self, client):
        body = snapshot(padding="x" * 1_000_001)
        assert self.ask(client, body, sign(body)).status_code == 413
        assert not StripeNotice.objects.exists()

    def test_takes_posts_only(self, client):
        assert client.get(ADDRESS).status_code == 405
        assert client.get(THIN_ADDRESS).status_code == 405

    def test_says_that_it_is_not_set_up(self, client, settings):
        settings.STRIPE_WEBHOOK_SECRET = " "
        answer = self.ask(client, snapshot(), sign(snapshot(), " "))
        assert (answer.status_code, "STRIPE_WEBHOOK_SECRET is not set" in answer.json()["message"]) == (
            503,
            True,
        )
        assert not StripeNotice.objects.exists()

    def test_needs_neither_login_nor_csrf_and_keeps_nothing_about_people(self, client):
        client.handler.enforce_csrf_checks = True
        assert self.ask(client, snapshot(), sign(snapshot())).status_code == 200
        (kept,) = StripeNotice.objects.values()
        assert (kept["event_id"], kept["object_id"], kept["object_kind"]) == ("evt_1", "cus_1", "customer")
        assert "ada@" not in repr(kept)

    def test_one_of_several_signatures_is_enough(self, client):
        # While a secret is rolled Stripe signs with both.
        at = int(time.time())
        other = sign(snapshot(), "whsec_old", at=at).partition(",")[2]
        assert self.ask(client, snapshot(), f"{sign(snapshot(), at=at)},{other}").status_code == 200

    def test_answers_what_is_of_no_use_and_keeps_it_not(self, client):
        for changes in (
            {"type": "payment_intent.created"},
            {"type": "invoice.upcoming", "data": {"object": {}}},
        ):
            body = snapshot(**changes)
            assert self.ask(client, body, sign(body)).status_code == 200
        body = thin(type="v1.something.new", related_object=None)
        assert self.ask(client, body, sign(body, THIN_SECRET), THIN_ADDRESS).status_code == 200
        assert not StripeNotice.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "said"), [({"livemode": True}, "live mode"), ({"account": "acct_other"}, "acct_other")]
    )
    def test_keeps_what_is_of_another_account_with_a_note_and_does_nothing(self, client, changes, said):
        StripeAccount.objects.create(stripe_id="acct_1", livemode=False, pinned_at="2026-03-10T09:00Z")
        body = snapshot(**changes)
        assert self.ask(client, body, sign(body)).status_code == 200
        kept = StripeNotice.objects.get()
        assert kept.outcome.startswith("Ignored")
        assert said in kept.outcome
        assert kept.handled_at
        assert not OrmQ.objects.exists()


def calls(world, method="GET"):
    return [call["route"] for call in world.control.requests() if call["route"].startswith(f"{method} /v1/")]


def die(*_, **__):
    raise SystemExit


class TestChangedObjects:
    def test_are_read_again_whatever_the_event_shows(self, world, post, who):
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        world.control.clear_requests()
        (request,) = post.waiting()
        assert request["type"] == "customer.updated"
        lie = request["body"].replace("Countess", "Nobody")
        signature = sign(lie, at=world.now.timestamp())
        assert post.send(lie, signature).status_code == 200
        assert Customer.objects.get().name == "ada"
        assert post.office.work() == ["1 handled, 0 left"]
        assert Customer.objects.get().name == "Countess"
        assert calls(world) == ["GET /v1/account", "GET /v1/customers/{customer}"]
        assert StripeNotice.objects.get().outcome == "Read again."

    def test_duplicates_disorder_and_replays_change_nothing(self, world, post, who):
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        world.stripe("POST", f"/subscriptions/{who.subscription}", cancel_at_period_end=True)
        world.stripe("DELETE", f"/subscriptions/{who.subscription}")
        world.control.clear_requests()
        assert set(post.bring(times=3, newest_first=True)) == {200}
        assert OrmQ.objects.count() == 1
        assert post.office.work() == ["3 handled, 0 left"]
        assert Subscription.objects.get().status == "canceled"
        assert calls(world).count("GET /v1/subscriptions/{subscription_exposed_id}") == 1
        kept = list(StripeNotice.objects.order_by("pk").values())
        world.control.clear_requests()
        world.later(hours=5)
        assert set(post.bring(replay=True)) == {200}
        assert (post.office.work(), calls(world)) == ([], [])
        assert list(StripeNotice.objects.order_by("pk").values()) == kept

    def test_of_every_kind_are_mirrored(self, world, post, who):
        new = world.subscriber(world.meter("calls"), "bob")
        meter = Meter.objects.get(event_name="tokens")
        world.stripe("POST", f"/billing/meters/{meter.stripe_id}/deactivate")
        post.arrive(newest_first=True)
        assert set(Meter.objects.values_list("event_name", "active")) == {("tokens", False), ("calls", True)}
        assert Subscription.objects.filter(stripe_id=new.subscription).exists()
        world.later(days=32)
        post.arrive()
        assert Invoice.objects.exists()

    def test_that_were_read_since_are_not_read_again(self, world, post, who):
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        post.bring()
        world.later(minutes=1)
        world.sync()
        world.control.clear_requests()
        assert post.office.work() == ["1 handled, 0 left"]
        assert calls(world) == ["GET /v1/account"]

    def test_wait_while_stripe_does_not_answer(self, world, post, who):
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        world.control.fault("GET /v1/customers/{customer}", status=500, times=4)
        assert post.arrive() == ["0 handled, 1 left"]
        kept = StripeNotice.objects.get()
        assert (kept.attempts, kept.handled_at) == (1, None)
        assert "HTTP 500" in kept.error
        with post.office.now():
            assert handle_notices_of_stripe() == "0 handled, 0 left"
        world.later(minutes=2)
        with post.office.now():
            assert handle_notices_of_stripe() == "1 handled, 0 left"
        assert Customer.objects.get().name == "Countess"

    def test_what_the_queue_lost_is_taken_by_the_schedule(self, world, post, who, monkeypatch):
        monkeypatch.setattr("sync.enqueue.async_task", lambda *_, **__: 1 / 0)
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        assert post.bring() == [200]
        with post.office.now():
            handle_notices_of_stripe()
        assert Customer.objects.get().name == "Countess"

    def test_somebody_takes_over_from_a_worker_that_died(self, world, post, who, monkeypatch):
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        post.bring()
        with monkeypatch.context() as dying:
            dying.setattr("sync.operations.handle_notices.read_told", die)
            with pytest.raises(SystemExit):
                post.office.work()
        with post.office.now():
            assert handle_notices_of_stripe() == "0 handled, 0 left"
        world.later(minutes=11)
        with post.office.now():
            assert handle_notices_of_stripe() == "1 handled, 0 left"

    def test_are_forgotten_once_stripe_cannot_repeat_them(self, world, post, who):
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        post.arrive()
        assert forget_old_notices(now=world.now + timedelta(days=39)) == 0
        assert forget_old_notices(now=world.now + timedelta(days=41)) == 1
