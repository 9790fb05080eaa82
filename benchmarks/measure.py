"""Start processes and say what they cost, whole: from exec to exit."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.world import World

PROJECT = Path(__file__).resolve().parent.parent
LONGEST_RUN_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process took, and what the player saw of it."""

    wall: float
    user: float
    system: float
    peak_mb: float
    calls: Mapping[str, int]
    output: str


class ProcessFailedError(Exception):
    """A measured process did not end well; its output is the message."""


def measure(command: Sequence[str], *, env: Mapping[str, str], player: "PlayerProcess") -> Cost:
    """Run a Python process to its end and return its cost; the player's counters start at zero."""
    player.ask("reset")
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout  # noqa: S101 - narrows the type for mypy
    watchdog = threading.Timer(LONGEST_RUN_SECONDS, process.kill)
    watchdog.start()
    with process.stdout as stdout:
        output = stdout.read()
    watchdog.cancel()
    # wait4 and not getrusage(RUSAGE_CHILDREN): that one keeps the largest child of all.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        message = f"{' '.join(command)} ended with {process.returncode}:\n{output[-4000:]}"
        raise ProcessFailedError(message)
    return Cost(
        wall=wall,
        user=used.ru_utime,
        system=used.ru_stime,
        peak_mb=used.ru_maxrss / 1024,
        calls=player.ask("counters"),
        output=output,
    )


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several costs, with the calls and the output of the last."""
    return Cost(
        wall=median(cost.wall for cost in costs),
        user=median(cost.user for cost in costs),
        system=median(cost.system for cost in costs),
        peak_mb=median(cost.peak_mb for cost in costs),
        calls=costs[-1].calls,
        output=costs[-1].output,
    )


class PlayerProcess:
    """A running player."""

    def __init__(self, url: str) -> None:
        """Ask it at this address."""
        self.url = url

    def ask(self, what: str) -> Any:
        """Return the player's counters or events, or let it forget them (`reset`)."""
        return httpx.get(f"{self.url}/player/{what}", timeout=30).json()

    @property
    def port(self) -> str:
        """The port it listens on."""
        return self.url.rpartition(":")[2]


@contextmanager
def running_player(world: World, *, latency_ms: float) -> Iterator[PlayerProcess]:
    """Yield a player in a process of its own, and end it afterwards."""
    command = ["-m", "benchmarks.player", "--latency-ms", str(latency_ms)]
    command += ["--subscriptions", str(world.subscriptions), "--meters", str(world.meters)]
    process = subprocess.Popen([sys.executable, *command], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout  # noqa: S101 - narrows the type for mypy
    try:
        yield PlayerProcess(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def player_speed(world: World) -> float:
    """Return how many answers a second a player without latency gives here and now."""
    with running_player(world, latency_ms=0) as player:
        cost = measure(["-m", "benchmarks.player_speed", "--port", player.port], env={}, player=player)
        return float(cost.output)


def run_json(cost: Cost) -> dict[str, Any]:
    """Return what `report_usage --format json` printed."""
    parsed: dict[str, Any] = json.loads(cost.output.splitlines()[-1])
    return parsed
