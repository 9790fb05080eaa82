"""Play many lives and say whether anything was lost or doubled.

`python -m benchmarks.simulate --lives 100 [--seed 1] [--jobs 2]
[--database sqlite|postgres://postgres@127.0.0.1:5432/] [--switch straddling_hour_window=start …]`

A life that fails is cut down to what it needs and printed as a script, which belongs into
`tests/simulation/lives.py`. The last line is the sum of all.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from random import Random

from benchmarks.databases import fresh_database

MOST_SHORTENED = 3
"""So many failing lives of one process are cut down; more are only counted."""


def play_lives(seeds: range, where: str, switches: Sequence[str]) -> Counter[str]:
    """Return what these lives came to; failing ones are printed. For a process of its own.

    A switch is a setting of the sandbox and its value, in force from the beginning of each life.
    """
    with fresh_database(where) as database:
        os.environ |= {
            "IGNORE_DOTENV": "1",
            "DATABASE_URL": database,
            "DJANGO_SETTINGS_MODULE": "billing_console.settings",
        }
        _set_up()
        try:
            return _play(seeds, switches)
        finally:
            from django.db import connections

            connections.close_all()


def _set_up() -> None:
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    import logging

    logging.disable(logging.CRITICAL)
    call_command("migrate", verbosity=0)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug on a simulation


def _play(seeds: range, switches: Sequence[str]) -> Counter[str]:
    from sync.sandbox.server import SandboxServer
    from tests.sandbox_client import SandboxControl
    from tests.simulation.draw import draw_life
    from tests.simulation.run import shortened, theatre
    from tests.simulation.script import under

    total: Counter[str] = Counter()
    with (
        SandboxServer() as server,
        SandboxControl(server.base_url) as control,
        theatre(server, control) as stage,
    ):
        for seed in seeds:
            life = under(switches, draw_life(Random(seed)))  # noqa: S311 - not a secret
            try:
                played = stage.play(life)
            except BaseException:
                print(f"--- seed {seed} broke off:\n{life}", flush=True)
                raise
            kinds = {one.kind for one in played.differences}
            total += played.counts
            total.update(["lives", *kinds])
            if kinds and sum(total[kind] for kind in ("lost", "doubled", "silent")) <= MOST_SHORTENED:
                short = shortened(life, partial(stage.fails_like, kinds))
                words = "\n".join(str(one) for one in stage.play(short).differences)
                print(f"--- seed {seed}\n{short}\n{words}", flush=True)
            elif kinds:
                print(f"--- seed {seed}: {', '.join(sorted(kinds))}", flush=True)
    return total


def main() -> None:
    """Parse, play, print, and fail if anything was lost, doubled or not told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lives", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first life; each has its own")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--database", default="sqlite", help="sqlite, or a PostgreSQL server's address")
    parser.add_argument("--switch", nargs="*", default=[], help="settings of the sandbox, as name=value")
    options = parser.parse_args()
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.lives)
    parts = [seeds[number :: options.jobs] for number in range(options.jobs)]
    play = partial(play_lives, where=options.database, switches=options.switch)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        total = sum(pool.map(play, parts), Counter())
    seconds = time.monotonic() - began
    print(f"{total['lives'] / seconds:.2f} lives a second, {options.jobs} processes, {options.database}")
    print(f"also: {dict(total)}")
    print(
        f"lives={total['lives']} events={total['events']} faults={total['faults']} "
        f"reports={total['reports']} lost={total['lost']} doubled={total['doubled']}"
    )
    sys.exit(1 if total["lost"] or total["doubled"] or total["silent"] else 0)


if __name__ == "__main__":
    main()
