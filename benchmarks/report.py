"""Measure `report_usage --no-sync` against the original example's loop, in the same run.

`python -m benchmarks.report [--subscriptions 1000] [--meters 2] [--repeat 3] [--no-baseline]
[--database sqlite|postgres://postgres@127.0.0.1:5432/] [--latency-ms 20] [--json]`

Each repeat gets a fresh database in which exactly one hour of every subscription is due. What Stripe
was told is compared with what it should have been told, to the cent, and a second run must send nothing.
"""

import argparse
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from benchmarks.databases import fresh_database
from benchmarks.measure import (
    Cost,
    PlayerProcess,
    measure,
    median_cost,
    player_speed,
    run_json,
    running_player,
)
from benchmarks.world import HOUR, KEY, SETTLE, World, closed_hour

RATE_LIMIT = "5000"
QUIET_SECONDS = 180
"""No repeat begins this shortly before another hour closes: two hours would be due."""
REPORT = ["manage.py", "report_usage", "--no-sync", "--format", "json"]


class WrongResultError(Exception):
    """What came out is not what should have; then no figure means anything."""


def repeat_report(world: World, *, where: str, player: PlayerProcess, repeats: int) -> list[Cost]:
    """Return the cost of every repeat, each on a fresh database and checked."""
    costs: list[Cost] = []
    for _ in range(repeats):
        hour = _hour_to_report()
        with fresh_database(where) as database:
            env = _environment(database, player)
            size = ["--subscriptions", str(world.subscriptions), "--meters", str(world.meters)]
            measure(["-m", "benchmarks.fill", *size, "--hour", hour.isoformat()], env=env, player=player)
            cost = measure(REPORT, env=env, player=player)
            _check_events(world, hour, player)
            _check_counters(world, cost)
            again = measure(REPORT, env=env, player=player)
            if again.calls.get("stripe meter event") or run_json(again)["lines"]:
                message = f"The second run sent something: {again.calls}"
                raise WrongResultError(message)
        costs.append(cost)
    return costs


def measure_baseline(world: World, *, player: PlayerProcess) -> Cost:
    """Return the cost of the sequential loop over the same hour, checked as well."""
    hour = _hour_to_report()
    command = ["-m", "benchmarks.baseline", "--url", player.url, "--hour", hour.isoformat()]
    command += ["--subscriptions", str(world.subscriptions), "--meters", str(world.meters)]
    cost = measure(command, env={}, player=player)
    _check_events(world, hour, player)
    return cost


def _environment(database: str, player: PlayerProcess) -> dict[str, str]:
    return {
        "IGNORE_DOTENV": "1",
        "DATABASE_URL": database,
        "STRIPE_KEY": KEY,
        "STRIPE_API_BASE": player.url,
        "STRIPE_RATE_LIMIT": RATE_LIMIT,
        "OPENMETER_URL": player.url,
        "OPENMETER_TOKEN": "",
        "REDIS_URL": "",
        "DJANGO_SETTINGS_MODULE": "billing_console.settings",
    }


def _hour_to_report() -> datetime:
    """Return the newest closed hour, once there is time enough until the next one closes."""
    hour = closed_hour(datetime.now(UTC))
    left = (hour + 2 * HOUR + SETTLE - datetime.now(UTC)).total_seconds()
    if left > QUIET_SECONDS:
        return hour
    time.sleep(left + 1)
    return closed_hour(datetime.now(UTC))


def _check_events(world: World, hour: datetime, player: PlayerProcess) -> None:
    """Raise unless every customer was billed exactly what they used in that hour, in one event each."""
    expected = world.expected(hour)
    billed: dict[tuple[str, str], Decimal] = {}
    for _identifier, customer, meter, value, at in player.ask("events"):
        if (customer, meter) in billed or not hour.timestamp() <= at < (hour + HOUR).timestamp():
            message = f"{customer} was billed twice on {meter}, or for another hour"
            raise WrongResultError(message)
        billed[customer, meter] = Decimal(value)
    if billed != expected:
        wrong = [key for key in expected | billed if billed.get(key) != expected.get(key)]
        message = f"{len(wrong)} customers were billed wrongly, first {wrong[0]}: {billed.get(wrong[0])}"
        raise WrongResultError(message)


def _check_counters(world: World, cost: Cost) -> None:
    """Raise unless the run itself says that all went well, with no call refused."""
    result = run_json(cost)
    refused = cost.calls.get("answered 400", 0) + cost.calls.get("answered 409", 0)
    fine = result["status"] == "succeeded" and len(result["lines"]) == world.subscriptions
    if refused or not fine:
        message = f"The run ended {result['status']}, counters {result['counters']}, calls {cost.calls}"
        raise WrongResultError(message)


# --- output ------------------------------------------------------------------------------------------------


def _table(rows: Sequence[tuple[str, Cost]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("", "wall s", "user s", "sys s", "peak MB", "OpenMeter calls", "Stripe calls"):
        table.add_column(name, justify="right" if name else "left")
    for name, cost in rows:
        table.add_row(
            name,
            f"{cost.wall:.2f}",
            f"{cost.user:.2f}",
            f"{cost.system:.2f}",
            f"{cost.peak_mb:.0f}",
            str(_calls(cost, "openmeter")),
            f"{cost.calls.get('stripe meter event', 0)} + {cost.calls.get('stripe account', 0)}",
        )
    return table


def _calls(cost: Cost, api: str) -> int:
    return sum(count for kind, count in cost.calls.items() if kind.startswith(api))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--meters", type=int, default=2)
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--database", default="sqlite", help="sqlite, or a PostgreSQL server's address")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args()


def _print_json(costs: Sequence[Cost], baseline: Cost | None, speed: float) -> None:
    middle = median_cost(costs)
    figures = {
        "walls": [round(cost.wall, 3) for cost in costs],
        "peak_mb": round(middle.peak_mb),
        "calls": middle.calls,
        "baseline_wall": round(baseline.wall, 3) if baseline else None,
        "ratio": round(baseline.wall / middle.wall, 1) if baseline else None,
        "player_answers_per_second": round(speed),
    }
    print(json.dumps(figures))


def _print_table(costs: Sequence[Cost], baseline: Cost | None, *, title: str, speed: float) -> None:
    middle = median_cost(costs)
    rows = [(f"report_usage #{number}", cost) for number, cost in enumerate(costs, 1)]
    rows += [("report_usage, median", middle)] + ([("sequential loop", baseline)] if baseline else [])
    console = Console(width=110, highlight=False)
    console.print(_table(rows, title))
    console.print(f"The player alone gives {speed:,.0f} answers a second.")
    if baseline:
        console.print(f"report_usage is {baseline.wall / middle.wall:.1f} times as fast as the loop.")


def main() -> None:
    """Parse, measure, print."""
    options = _options()
    world = World(options.subscriptions, options.meters)
    speed = player_speed(world)
    with running_player(world, latency_ms=options.latency_ms) as player:
        costs = repeat_report(world, where=options.database, player=player, repeats=options.repeat)
        baseline = measure_baseline(world, player=player) if options.baseline else None
    if options.json:
        _print_json(costs, baseline, speed)
        return
    kind = "SQLite" if options.database == "sqlite" else "PostgreSQL"
    title = (
        f"{world.subscriptions:,} subscriptions × 1 hour, {world.meters} meters, "
        f"{options.latency_ms:g} ms a call, {kind}"
    )
    _print_table(costs, baseline, title=title, speed=speed)


if __name__ == "__main__":
    main()
