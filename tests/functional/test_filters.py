"""One OpenMeter meter (tokens by type) that feeds several Stripe meters."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from sync.domain.drift import EMPTY_ANSWER, OTHER_GROUPS
from sync.models import Enrolment, Finding, Meter, UsageReport
from sync.operations.set_up_options import SetUpOptions
from sync.operations.set_up_stripe import set_up_stripe
from sync.ports import InvalidInput
from sync.queries.planning import Scope
from sync.wiring import connect
from tests.functional.test_report_usage import at
from tests.world import Metered, Subscriber, World

HOUR = timedelta(hours=1)
TEN = at("2026-03-10T10:03")
QUERY = "GET /api/v1/meters/{meter}/query"


@dataclass(frozen=True)
class Split:
    """Tokens by type: what goes in and what comes out are billed by meters of their own."""

    world: World
    metered: dict[str, Metered]

    def subscriber(self, name: str, *types: str, **params: object) -> Subscriber:
        """Create a customer with one subscription to the prices of these types."""
        who = self.world.stripe("POST", "/customers", name=name, metadata={"external_key": name})
        items = [{"price": self.metered[one].price} for one in types]
        made = self.world.stripe("POST", "/subscriptions", customer=who["id"], items=items, **params)
        return Subscriber(who["id"], name, made["id"], made["items"]["data"][0]["id"])

    def billed(self, who: Subscriber) -> tuple[Decimal, Decimal]:
        """Return what Stripe holds of input and output."""
        return self.world.billed(who, "ai_input"), self.world.billed(who, "ai_output")

    def queries(self) -> int:
        """Return how often OpenMeter was asked for usage since the last time."""
        asked = len(self.world.control.requests(QUERY))
        self.world.control.clear_requests()
        return asked


@pytest.fixture
def split(world) -> Split:
    """Return tokens that feed two Stripe meters, tied and filtered."""
    world.measure("tokens", group_by={"type": "$.type", "model": "$.model"})
    metered = {
        "input": world.bill("ai_input", unit_amount=1),
        "output": world.bill("ai_output", unit_amount=3),
    }
    world.sync()
    for type_, one in metered.items():
        Meter.objects.filter(stripe_id=one.stripe_id).update(
            openmeter_slug="tokens", filters={"type": [type_, f"cached_{type_}"]}
        )
    world.sync()
    return Split(world, metered)


class TestOneQueryForSeveralMeters:
    def test_bills_each_by_its_own_groups(self, split):
        world, ada = split.world, split.subscriber("ada", "input", "output")
        bob = split.subscriber("bob", "output")
        for amount, type_, model in ((1, "input", "x"), (2, "input", "y"), (4, "cached_input", "x")):
            world.use("ada", amount, at("2026-03-10T09:30"), type=type_, model=model)
        world.use("ada", 8, at("2026-03-10T09:40"), type="output")
        world.use("bob", 16, at("2026-03-10T09:40"), type="output")
        world.use("bob", 32, at("2026-03-10T09:40"), type="input")
        world.at(TEN)
        world.sync()
        split.queries()
        world.report(sync=False)
        assert split.queries() == 1
        assert split.billed(ada) == (7, 8)
        assert split.billed(bob) == (0, 16)

    def test_also_by_minutes_and_to_the_second(self, split):
        """A subscription that begins inside a minute, and whose period ends inside an hour."""
        world = split.world
        world.at(at("2026-03-10T09:20:17"))
        ada = split.subscriber("ada", "input", "output")
        for second, amount in ((16, 100), (18, 1)):
            for type_ in ("input", "output"):
                world.use("ada", amount, at(f"2026-03-10T09:20:{second}"), type=type_)
        world.use("ada", 2, at("2026-03-10T09:45"), type="input")
        world.at(TEN)
        world.sync()
        split.queries()
        world.report(sync=False)
        assert split.billed(ada) == (3, 1)
        assert split.queries() <= 2, "one to the second, one by minutes"

    def test_that_fails_fails_these_meters_only(self, split):
        world, ada = split.world, split.subscriber("ada", "input", "output")
        calls = world.meter("calls")
        bob = world.subscriber(calls, "bob")
        world.use("ada", 5, at("2026-03-10T09:30"), type="input")
        world.use("bob", 6, at("2026-03-10T09:30"), "calls")
        world.at(TEN)
        world.sync()
        world.control.fault(QUERY, status=400, body={"detail": "no"}, times=1)
        result = world.report(sync=False)
        assert (split.billed(ada), world.billed(bob, "calls")) == ((0, 0), 6)
        assert len(result.errors) == 1
        world.control.clear_faults()
        world.report(sync=False)
        assert split.billed(ada) == (5, 0)

    def test_gives_a_run_of_one_meter_what_is_its_own(self, split):
        world, ada = split.world, split.subscriber("ada", "input", "output")
        world.use("ada", 5, at("2026-03-10T09:30"), type="input")
        world.use("ada", 6, at("2026-03-10T09:30"), type="output")
        world.at(TEN)
        world.report(scope=Scope(meter="ai_output"))
        assert split.billed(ada) == (0, 6)


class TestAnswersWithNothingOfOneMeter:
    @pytest.fixture
    def ada(self, split):
        """Return somebody who used both, which was reported."""
        ada, world = split.subscriber("ada", "input", "output"), split.world
        for type_ in ("input", "output"):
            world.use("ada", 10, at("2026-03-10T09:30"), type=type_)
        world.at(TEN)
        world.report()
        assert split.billed(ada) == (10, 10)
        return ada

    def marks(self):
        """Return up to where each meter was measured."""
        return list(Enrolment.objects.order_by("meter__event_name").values_list("planned_through", flat=True))

    def test_are_believed_where_all_of_it_is_taken_by_others(self, split, ada):
        split.world.use("ada", 1, at("2026-03-10T14:30"), type="input")
        split.world.at(at("2026-03-10T15:03"))
        split.world.report()
        assert self.marks() == [at("2026-03-10T15:00")] * 2
        assert split.billed(ada) == (11, 10)

    def test_are_not_where_some_of_it_is_taken_by_nobody(self, split, ada):
        """Output was renamed for some hours; then the supplier mends his events."""
        split.world.use("ada", 1, at("2026-03-10T14:10"), type="input")
        split.world.use("ada", 5, at("2026-03-10T14:30"), type="out")
        split.world.at(at("2026-03-10T15:03"))
        split.world.report()
        assert self.marks() == [at("2026-03-10T15:00"), at("2026-03-10T10:00")]
        split.world.at(at("2026-03-10T22:03"))
        split.world.forget(meter="tokens", **{"from": "2026-03-10T14:30:00Z", "to": "2026-03-10T14:31:00Z"})
        split.world.use("ada", 5, at("2026-03-10T14:30"), type="output")
        split.world.report()
        assert split.billed(ada) == (11, 15)

    def test_take_nothing_back_where_groups_were_renamed(self, split, ada):
        split.world.forget()
        split.world.use("ada", 20, at("2026-03-10T09:30"), type="tokens")
        split.world.at(at("2026-03-10T11:03"))
        split.world.report()
        held = UsageReport.objects.filter(status="held")
        assert {report.error for report in held} == {OTHER_GROUPS}
        assert held.count() == 2
        assert split.billed(ada) == (10, 10)

    def test_take_nothing_back_where_there_is_no_answer(self, split, ada):
        split.world.forget()
        split.world.at(at("2026-03-10T11:03"))
        split.world.report()
        assert UsageReport.objects.filter(status="held", error=EMPTY_ANSWER).count() == 2
        assert split.billed(ada) == (10, 10)


class TestTheSameUsageTwice:
    @pytest.fixture
    def set_up(self, world, config):
        """Return set-up of a meter on tokens."""
        world.measure("tokens", group_by={"type": "$.type"})
        connections = connect(config=world.config)

        def run(event_name, filters=None, **more):
            options = SetUpOptions(
                event_name=event_name, openmeter_meter="tokens", filters=filters, meter_only=True, **more
            )
            return set_up_stripe(
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                options=options,
                invoice_grace=HOUR,
                now=world.now,
            )

        return run

    def test_is_refused_by_set_up_before_anything_is_created(self, world, set_up):
        set_up("ai_input", {"type": ["input"]})
        set_up("ai_output", {"type": ["output"]})
        set_up("ai_output")
        assert Meter.objects.get(event_name="ai_output").filters == {"type": ["output"]}
        for filters in ({}, None, {"type": ["cached", "input"]}):
            with pytest.raises(InvalidInput, match=r"ai_input bills already \(ai_input takes type"):
                set_up("ai_cached", filters)
        with pytest.raises(InvalidInput, match="does not group by colour"):
            set_up("ai_cached", {"colour": ["red"]})
        assert len(world.stripe("GET", "/billing/meters")["data"]) == 2

    def test_is_refused_by_the_command_too(self, world, set_up, settings, config):
        settings.STRIPE_KEY, settings.STRIPE_API_BASE = config.stripe_key, config.stripe_api_base
        settings.OPENMETER_URL = config.openmeter_url
        call = ("set_up_stripe", "--meter-only", "--openmeter-meter", "tokens")
        call_command(*call, "--event-name", "ai_input", "--filter", "type=input", "--filter", "type=a,b")
        assert Meter.objects.get().filters == {"type": ["input", "a,b"]}
        with pytest.raises(CommandError, match="bills already"):
            call_command(*call, "--event-name", "ai_all")
        with pytest.raises(CommandError, match="names no key and value; write --filter type=input"):
            call_command(*call, "--event-name", "ai_all", "--filter", "type")

    def test_is_not_tied_by_its_name(self, split):
        split.world.bill("tokens")
        split.world.sync()
        assert Meter.objects.get(event_name="tokens").openmeter_slug == ""

    def test_is_said_of_who_is_on_an_old_and_a_new_definition(self, split):
        world, new = split.world, split.world.bill("ai_input_2")
        old = Meter.objects.get(event_name="ai_input")
        world.sync()
        Meter.objects.filter(stripe_id=new.stripe_id).update(
            openmeter_slug="tokens", filters={"type": ["input"]}, replaces=old
        )
        ada = split.subscriber("ada", "input", "output")
        moved = world.subscribe(ada.customer, new, "ada")
        world.sync()
        (finding,) = Finding.objects.filter(kind="billed_twice", resolved_at=None)
        assert "on ai_input and on ai_input_2" in finding.message
        world.later(minutes=1)
        world.stripe("DELETE", f"/subscriptions/{moved.subscription}")
        world.sync()
        assert not Finding.objects.filter(kind="billed_twice", resolved_at=None)


class TestUsageThatNobodyTakes:
    def finding(self):
        """Return the one open finding of it, or None."""
        return Finding.objects.filter(kind="usage_untaken", resolved_at=None).first()

    def test_is_a_finding_with_its_units_while_there_is_any(self, split):
        world, ada = split.world, split.subscriber("ada", "input", "output")
        split.subscriber("bob", "output")
        world.use("ada", 5, at("2026-03-10T09:30"), type="input")
        world.use("bob", 50, at("2026-03-10T09:30"), type="input")
        world.at(TEN)
        world.report()
        assert self.finding() is None, "a filter takes bob's input, though he is not billed for it"
        world.use("ada", 200, at("2026-03-10T10:10"), type="image")
        world.use("ada", "0.5", at("2026-03-10T10:20"))
        world.use("nobody", 9, at("2026-03-10T10:20"), type="image")
        world.at(at("2026-03-10T11:03"))
        world.report(dry_run=True)
        assert self.finding() is None
        world.report()
        message = self.finding().message
        assert "counted 200.5 units of 1 customer since 2026-03-10" in message
        assert "type is image: 200, type is empty: 0.5" in message
        assert "2.01 USD by the price of ai_input, 6.02 USD by the price of ai_output" in message
        assert split.billed(ada) == (5, 0)
        first = self.finding().pk
        world.at(at("2026-05-20T11:03"))
        world.report()
        assert self.finding().pk == first, "it does not end because time passes"
        Meter.objects.filter(event_name="ai_output").update(filters={"type": ["output", "image", ""]})
        world.report()
        assert self.finding() is None

    def test_is_looked_at_hourly_by_the_schedule(self, split):
        world = split.world
        split.subscriber("ada", "input")
        world.use("ada", 200, at("2026-03-10T09:30"), type="image")
        world.at(TEN)
        world.report(trigger="schedule")
        world.use("ada", 100, at("2026-03-10T09:40"), type="image")
        world.later(minutes=5)
        world.report(trigger="schedule")
        assert "200 units" in self.finding().message
        world.later(hours=1)
        world.report(trigger="schedule")
        assert "300 units" in self.finding().message

    def test_is_found_a_day_later_where_openmeter_learned_of_it_late(self, split):
        world = split.world
        split.subscriber("ada", "input")
        world.use("ada", 5, at("2026-03-10T09:30"), type="input")
        world.at(at("2026-03-10T20:03"))
        world.report(trigger="schedule")
        world.use("ada", 7, at("2026-03-10T09:40"), type="image")
        world.later(hours=25)
        world.report(trigger="schedule")
        assert "counted 7 units" in self.finding().message

    def test_is_not_what_an_older_definition_took(self, split):
        """Everything was billed on one meter, until its customers moved to one that takes less."""
        world, new = split.world, split.world.bill("ai_input_2")
        old = Meter.objects.get(event_name="ai_input")
        world.sync()
        Meter.objects.filter(event_name="ai_output").update(openmeter_slug="", openmeter_id="")
        Meter.objects.filter(pk=old.pk).update(filters={})
        Meter.objects.filter(stripe_id=new.stripe_id).update(
            openmeter_slug="tokens", filters={"type": ["input"]}, replaces=old
        )
        ada = split.subscriber("ada", "input")
        world.use("ada", 40, at("2026-03-10T09:30"), type="image")
        world.at(at("2026-03-12T00:03"))
        world.report()
        world.stripe("DELETE", f"/subscriptions/{ada.subscription}", invoice_now=True)
        world.subscribe(ada.customer, new, "ada")
        world.use("ada", 2, at("2026-03-13T09:30"), type="image")
        world.at(at("2026-03-14T00:03"))
        world.report()
        assert "counted 2 units" in self.finding().message
        assert world.billed(ada, "ai_input") == 40
