"""The sandbox's /v1/events: what happened to Stripe's objects, as Stripe remembers it."""

from dataclasses import asdict

import pytest

from sync.sandbox.server import SandboxServer
from tests.sandbox_client import SandboxControl, create_price, stripe_client, subscribe
from tests.world import START, World


def types(world: World, **filters) -> list[str]:
    return [event["type"] for event in happened(world, **filters)]


def happened(world: World, **filters) -> list[dict]:
    answer = world.stripe_http.get("/v1/events", params={"limit": 100, **filters})
    assert answer.is_success, answer.text
    return answer.json()["data"]


@pytest.fixture
def business(sandbox, sandbox_server, config):
    """Yield a sandbox with one subscriber."""
    with World(sandbox, sandbox_server, config) as world:
        yield world, world.subscriber(world.meter())


class TestEvents:
    def test_tell_what_was_created_newest_first(self, business):
        world, who = business
        assert types(world) == [
            "customer.subscription.created",
            "customer.created",
            "price.created",
            "product.created",
            "billing.meter.created",
        ]
        newest = happened(world)[0]
        assert newest["data"]["object"]["id"] == who.subscription
        assert newest["data"]["object"]["items"]["data"][0]["id"] == who.item
        assert newest["created"] == START.timestamp()

    def test_show_the_object_as_it_was_and_what_was_different(self, business):
        world, who = business
        world.stripe("POST", f"/customers/{who.customer}", name="Ada L.")
        world.stripe("POST", f"/customers/{who.customer}", name="Countess")
        newest, before = happened(world, type="customer.updated")
        assert newest["data"]["object"]["name"] == "Countess"
        assert before["data"]["object"]["name"] == "Ada L."
        assert before["data"]["previous_attributes"] == {"name": "ada"}

    def test_show_all_items_of_a_subscription_as_they_were(self, business):
        world, who = business
        (before,) = happened(world, type="customer.subscription.created")
        old = before["data"]["object"]["items"]["data"][0]["price"]
        new = world.meter("calls").price
        world.stripe("POST", f"/subscription_items/{who.item}", price=new)
        newest = happened(world, type="customer.subscription.updated")[0]["data"]
        assert newest["object"]["items"]["data"][0]["price"]["id"] == new
        assert newest["previous_attributes"]["items"]["data"][0]["price"]["id"] == old["id"]

    def test_are_none_where_nothing_changed(self, business):
        world, who = business
        world.stripe("POST", f"/customers/{who.customer}", name="ada")
        world.stripe_http.get(f"/v1/subscriptions/{who.subscription}")
        assert len(happened(world)) == 5

    @pytest.mark.parametrize(
        ("method", "path", "form", "expected"),
        [
            ("DELETE", "/customers/{customer}", {}, ["customer.deleted", "customer.subscription.deleted"]),
            ("DELETE", "/subscriptions/{subscription}", {}, ["customer.subscription.deleted"]),
            (
                "POST",
                "/subscriptions/{subscription}",
                {"cancel_at_period_end": True},
                ["customer.subscription.updated"],
            ),
            (
                "POST",
                "/subscription_items/{item}",
                {"metadata": {"a": "b"}},
                ["customer.subscription.updated"],
            ),
        ],
    )
    def test_tell_of_every_change(self, business, method, path, form, expected):
        world, who = business
        world.later(minutes=1)
        world.stripe(method, path.format(**asdict(who)), **form)
        assert types(world, **{"created[gte]": int(world.now.timestamp())}) == expected

    def test_tell_of_meters_that_stop_and_go_on(self, business):
        world, _ = business
        meter = happened(world, type="billing.meter.created")[0]["data"]["object"]["id"]
        world.stripe("POST", f"/billing/meters/{meter}/deactivate")
        world.stripe("POST", f"/billing/meters/{meter}/reactivate")
        assert types(world, type="billing.meter.*")[:2] == [
            "billing.meter.reactivated",
            "billing.meter.deactivated",
        ]

    def test_tell_of_what_time_did_when_it_did_it(self, business):
        world, who = business
        world.later(days=31, hours=5)
        (renewal,) = happened(world, type="customer.subscription.updated")
        assert renewal["created"] == START.replace(month=4).timestamp()
        assert renewal["data"]["object"]["id"] == who.subscription

    def test_tell_of_what_no_api_could_do(self, business):
        world, who = business
        world.control.patch_stripe(who.subscription, status="paused")
        world.control.patch_stripe(who.subscription, status="active")
        world.control.patch_stripe(who.item, metadata={"om_meter_id": "x"})
        world.control.delete_stripe(who.subscription)
        assert types(world)[:4] == [
            "customer.subscription.deleted",
            "customer.subscription.updated",
            "customer.subscription.resumed",
            "customer.subscription.paused",
        ]

    def test_are_forgotten_after_thirty_days(self, business):
        world, _ = business
        first = happened(world)[-1]["id"]
        world.later(days=29)
        assert len(happened(world)) == 5
        world.later(days=1)
        assert happened(world) == []
        assert world.stripe_http.get(f"/v1/events/{first}").status_code == 404


class TestTheList:
    def test_is_filtered_by_time_and_type(self, business):
        world, _ = business
        world.later(minutes=1)
        world.stripe("POST", "/customers", name="bob")
        now = int(world.now.timestamp())
        assert types(world, **{"created[gte]": now}) == ["customer.created"]
        assert len(happened(world, **{"created[lt]": now})) == 5
        wanted = {"types[0]": "price.created", "types[1]": "product.created"}
        assert types(world, **wanted) == ["price.created", "product.created"]
        assert happened(world, delivery_success="false") == []

    def test_goes_page_by_page(self, business):
        world, _ = business
        listed = [event["id"] for event in happened(world)]
        first = world.stripe_http.get("/v1/events", params={"limit": 2}).json()
        assert first["has_more"]
        rest = happened(world, starting_after=first["data"][-1]["id"])
        assert [event["id"] for event in [*first["data"], *rest]] == listed

    @pytest.mark.parametrize(
        "wrong", [{"type": "a", "types[0]": "b"}, {f"types[{n}]": "a" for n in range(21)}, {"object": "x"}]
    )
    def test_refuses_what_stripe_refuses(self, business, wrong):
        world, _ = business
        assert world.stripe_http.get("/v1/events", params=wrong).status_code == 400

    def test_outlives_the_process(self, tmp_path):
        state = tmp_path / "state.sqlite3"
        with SandboxServer(state=state) as server, stripe_client(server.stripe_url) as client:
            subscribe(client, create_price(client))
            before = [event.id for event in client.v1.events.list().data]
        with SandboxServer(state=state) as server, stripe_client(server.stripe_url) as client:
            assert [event.id for event in client.v1.events.list().data] == before
            assert client.v1.events.retrieve(before[0]).data.object.object == "subscription"
            with SandboxControl(server.base_url) as control:
                control.reset()
            assert client.v1.events.list().data == []

    def test_is_kept_packed(self, sandbox, sandbox_server, config):
        with World(sandbox, sandbox_server, config) as world:
            world.subscriber(world.meter())
            packed = [len(str(event)) for event in sandbox_server.world.store.all("stripe.event")]
        assert max(packed) < 2500
