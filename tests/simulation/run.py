"""Plays lives one after the other against one sandbox and one database, and cuts failing ones down."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from sync.models import DeliveryAttempt, UsageReport
from sync.sandbox.server import SandboxServer
from tests.sandbox_client import SandboxControl
from tests.simulation.crossings import Crossings, no_waiting
from tests.simulation.player import Player
from tests.simulation.script import Act, Life
from tests.simulation.tables import empty_tables
from tests.simulation.verdict import Difference, judge
from tests.simulation.world import config_for
from tests.world import World


@dataclass(slots=True)
class Played:
    """What came of a life."""

    differences: list[Difference]
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Theatre:
    """A sandbox, a database, and points that processes pass; empty again before each life."""

    server: SandboxServer
    control: SandboxControl
    crossings: Crossings

    def play(self, life: Life) -> Played:
        """Return what the life came to."""
        empty_tables()
        self.control.reset()
        with World(self.control, self.server, config_for(self.server)) as world:
            player = Player(world, self.crossings)
            player.play(life)
            player.counts["reports"] = UsageReport.objects.count()
            later = DeliveryAttempt.objects.filter(outcome="RefusedLater")
            player.counts["refused later"] = later.count()
            return Played(judge(player), player.counts)

    def fails_like(self, kinds: Collection[str], life: Life) -> bool:
        """Whether the life fails in one of these ways."""
        return any(one.kind in kinds for one in self.play(life).differences)


@contextmanager
def theatre(server: SandboxServer, control: SandboxControl) -> Iterator[Theatre]:
    """While this lasts, lives may be played; pauses between tries take no time."""
    crossings = Crossings()
    with no_waiting(), crossings.watched():
        yield Theatre(server, control, crossings)


def shortened(life: Life, still_fails: Callable[[Life], bool], *, most_lives: int = 300) -> Life:
    """Return a life with as few acts as still fail: whole parts are left out, ever smaller ones."""
    tries = count()

    def fails(one: Life) -> bool:
        return next(tries) < most_lives and still_fails(one)

    acts = list(life.acts)
    size = max(1, len(acts) // 2)
    while True:
        start, shorter = 0, False
        while start < len(acts):
            rest = acts[:start] + acts[start + size :]
            if rest and fails(Life(tuple(rest))):
                acts, shorter = rest, True
            else:
                start += size
        if size == 1 and not shorter:
            return Life(tuple(_plainer(acts, fails)))
        size = max(1, size // 2)


def _plainer(acts: list[Act], fails: Callable[[Life], bool]) -> list[Act]:
    """Leave out every argument that does not matter."""
    for number, act in enumerate(acts):
        for arg in [arg for arg in act.args if "=" in arg]:
            plain = Act(act.at, act.what, tuple(other for other in acts[number].args if other != arg))
            if fails(Life((*acts[:number], plain, *acts[number + 1 :]))):
                acts[number] = plain
    return acts
