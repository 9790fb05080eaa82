"""Keys that move with their open periods, there and back, at any time: invoices bill whom they belong to."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sync.models import Customer, Finding, Subject
from sync.operations.link_subject import link_subject
from sync.operations.move_open_period import move_open_period
from sync.operations.plan_open_move import plan_open_move
from sync.ports import InvalidInput
from sync.wiring import connect
from tests.simulation.crossings import no_waiting
from tests.simulation.tables import empty_tables
from tests.simulation.world import config_for
from tests.world import Subscriber, World

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 10, 9, 20, 17, tzinfo=UTC)
"""When ada's period begins; what is used, is used half past an hour."""
DAYS = 4
"""How long something happens."""
NAMES = ("ada", "bo")


@pytest.fixture
def play(transactional_db, sandbox_server, sandbox) -> Iterator[None]:
    """Return a function that plays one business from the beginning, as a `Random` decides."""

    def one(random: Random) -> None:
        empty_tables()
        sandbox.reset()
        with World(sandbox, sandbox_server, config_for(sandbox_server)) as world:
            _Business(world, random).play()

    with no_waiting():
        yield one


class _Business:
    """Two customers, a key of each, and one that goes from one to the other."""

    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random
        self.usage: list[tuple[str, int, datetime]] = []
        self.people: dict[str, Subscriber] = {}
        self.holder = "ada"
        self.story: list[str] = []

    def play(self) -> None:
        """All of it happens, and is on the invoices that it belongs on."""
        self._begin()
        for hour in range(1, DAYS * 24):
            now = self.bo_begins + hour * HOUR + timedelta(minutes=self.random.randrange(60))
            if acts := [act for act in (self._use, self._report, self._move) if self._happens(act)]:
                self.world.at(now)
            for act in acts:
                act()
        self._end()
        for name in NAMES:
            assert self._invoiced(name) == self._owed(name), "\n".join([name, *self.story])
        assert not Finding.objects.filter(kind__in=("brake", "late"), resolved_at=None).exists(), self.story

    def _happens(self, act: Callable[[], None]) -> bool:
        return self.random.randrange(100) < {"_use": 25, "_report": 7, "_move": 4}[act.__name__]

    def _report(self) -> None:
        trigger = self.random.choice(("schedule", "command"))
        self.story.append(f"{self.world.now} report by {trigger}")
        self.world.report(trigger=trigger, sync=False)

    def _begin(self) -> None:
        self.world.at(START)
        window = self.random.choice(("", "hour"))
        self.story.append(f"window {window}")
        tokens = self.world.meter(window=window)
        self.world.sync()
        self.people["ada"] = self.world.subscriber(tokens)
        self.bo_begins = START + self.random.randrange(72) * HOUR
        self.world.at(self.bo_begins)
        self.people["bo"] = self.world.subscriber(tokens, "bo")
        self.world.sync()
        link_subject(
            key="team",
            customer=Customer.objects.get(name="ada"),
            since=None,
            was_seen=True,
            why="x",
            now=self.world.now,
        )

    def _use(self) -> None:
        """Something is used, now or some time ago, and OpenMeter knows at once."""
        key, amount = self.random.choice(("ada", "bo", "team", "team", "team")), self.random.randint(1, 1000)
        ago = self.random.choice((0, 0, 0, 1, 2, 5, 30)) * HOUR
        at = (self.world.now - ago).replace(minute=30, second=0) - HOUR
        if at < (self.bo_begins if key == "bo" else START):
            return
        self.story.append(f"{self.world.now} {key} used {amount} at {at}")
        self.usage.append((key, amount, at))
        self.world.use(key, amount, at)

    def _move(self) -> None:
        to = NAMES[self.holder == "ada"]
        try:
            plan = plan_open_move(
                subject=Subject.objects.select_related("customer").get(key="team", valid_to=None),
                customer=Customer.objects.get(name=to),
                source=connect(config=self.world.config).openmeter,
                brake_percent=self.world.config.brake_percent,
                now=self.world.now,
            )
            move_open_period(move=plan, why="x", who="tests", now=self.world.now)
        except InvalidInput as error:
            self.story.append(f"{self.world.now} refused: {error}")
            if "No whole hour of it is open" not in str(error):
                raise
            return
        self.story.append(f"{self.world.now} to {to} from {plan.start.at}")
        assert plan.start.at == self._moves_from()
        self.holder = to

    def _moves_from(self) -> datetime:
        return self.bo_begins.replace(minute=0, second=0) + HOUR

    def _end(self) -> None:
        for begin in sorted({START, self.bo_begins}):
            self.world.at(begin.replace(month=4) + timedelta(minutes=5))
            self.world.report(trigger="schedule")
            self.world.report(trigger="schedule")
        self.world.later(hours=2)
        self.world.sync()

    def _owed(self, name: str) -> Decimal:
        return Decimal(sum(amount for key, amount, at in self.usage if self._owner(key, at) == name))

    def _owner(self, key: str, at: datetime) -> str:
        if key != "team":
            return key
        return self.holder if at >= self._moves_from() else "ada"

    def _invoiced(self, name: str) -> Decimal:
        who = self.people[name]
        found = self.world.control.invoices(subscription=who.subscription)
        lines = [line for one in found if one["finalized_at"] for line in one["lines"]]
        return sum((Decimal(line["quantity"]) for line in lines if line["item"] == who.item), Decimal(0))


@pytest.mark.parametrize("number", range(2))
def test_bill_each_what_is_theirs_in_the_end(play, number):
    @seed(number)
    @settings(
        max_examples=2,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def live(random: Random) -> None:
        play(random)

    live()
