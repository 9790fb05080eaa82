"""What many tests begin with is played once; the others begin with a copy of what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.sandbox.openmeter.event_log import MARK_KIND
from sync.sandbox.server import SandboxServer
from sync.sandbox.world import Settings
from tests.simulation.tables import Backup, back_up, put_back
from tests.world import World


@dataclass(frozen=True, slots=True)
class Scene:
    """What a world has come to: the console's tables, the sandbox's memory, the time."""

    found: Any
    tables: Backup
    memory: dict[str, dict[str, Any]]
    now: datetime
    events: int


_PLAYED: dict[str, Scene] = {}
"""By name, in this process."""


class Stage:
    """A new world, which scenes may be played in. Faults and the log of calls are no part of a scene."""

    def __init__(self, world: World, server: SandboxServer) -> None:
        self._world, self._sandbox = world, server.world

    def play(self, name: str, scene: Callable[[], Any]) -> Any:
        """Return what `scene` returned when it was played first; the world is as it was left then.

        It should return what does not change, and depend on nothing but its name.
        """
        if name not in _PLAYED:
            found = scene()
            _PLAYED[name] = Scene(found, back_up(), self._memory(), self._world.now, self._world._events)
        else:
            self._put_back(_PLAYED[name])
        return _PLAYED[name].found

    def _memory(self) -> dict[str, dict[str, Any]]:
        # Without the mark, what the sandbox has indexed is indexed again, as after a restart.
        kinds = self._sandbox.store._kinds
        return {kind: dict(rows) for kind, rows in kinds.items() if kind != MARK_KIND}

    def _put_back(self, scene: Scene) -> None:
        store = self._sandbox.store
        store.clear()
        for kind, rows in scene.memory.items():
            store.put_many(kind, list(rows.items()))
        self._sandbox.settings.assign(Settings.load(store).as_dict())
        put_back(scene.tables)
        self._world._events = scene.events
        self._world.at(scene.now)
