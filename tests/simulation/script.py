"""What happens in a life: instructions at instants, and the text that a failing life is kept as."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """Something that happens at an instant (Unix seconds): `what`, to whom, and how."""

    at: int
    what: str
    args: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return its line of a script."""
        return " ".join((f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%dT%H:%M:%S}", self.what, *self.args))

    def option(self, name: str, default: str = "") -> str:
        """Return the value of a `name=value` argument."""
        prefix = f"{name}="
        return next((one.removeprefix(prefix) for one in self.args if one.startswith(prefix)), default)

    def number(self, name: str, default: int = 0) -> int:
        """Return the whole number of a `name=value` argument."""
        return int(self.option(name) or default)


@dataclass(frozen=True, slots=True)
class Life:
    """Acts in the order in which they happen; what makes no sense when it happens is left out."""

    acts: tuple[Act, ...]

    def __str__(self) -> str:
        """Return the script."""
        return "\n".join(str(act) for act in self.acts)


def read_life(text: str) -> Life:
    """Return the life that a script tells; one act a line, later lines later."""
    acts = []
    for line in text.strip().splitlines():
        at, what, *args = line.split()
        instant = int(datetime.fromisoformat(f"{at}+00:00").timestamp())
        acts.append(Act(instant, what, tuple(args)))
    return Life(tuple(acts))


def under(switches: Iterable[str], life: Life) -> Life:
    """Return the life with settings of the sandbox (`name=value`) in force from its beginning."""
    first = [Act(life.acts[0].at, "switch", tuple(switch.split("=", 1))) for switch in switches]
    return Life((*first, *life.acts))
