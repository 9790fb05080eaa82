"""Time every page of the console with many customers: `python -m benchmarks.pages [--customers 10000]`.

A new database is filled, and every page asked for through Django's test client, as a superuser, with DEBUG
off. The median of some calls, after one that warms up what a process keeps. The CPU's time is this process's
own (on SQLite the database's, too): what remains of a page's time where other work shares the machine.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import django
from rich.console import Console
from rich.table import Table

from benchmarks.databases import fresh_database

if TYPE_CHECKING:
    from django.test import Client

SLOW_MS = 500


def pages() -> Iterator[tuple[str, str]]:
    """Yield name and address of every page."""
    from django.contrib import admin
    from django.urls import reverse

    yield "overview", reverse("admin:index")
    for model in admin.site._registry:  # noqa: SLF001 - the only list of pages there is
        opts = model._meta  # noqa: SLF001
        name = f"admin:{opts.app_label}_{opts.model_name}"
        yield f"{opts.verbose_name_plural}", reverse(f"{name}_changelist")
        if opts.app_label == "sync":
            yield f"{opts.verbose_name_plural}, searched", reverse(f"{name}_changelist") + "?q=bench000500"
        row: Any = model._default_manager.order_by("pk").first()  # noqa: SLF001
        if row is not None:
            yield f"one of {opts.verbose_name_plural}", reverse(f"{name}_change", args=(row.pk,))


def measure(client: "Client", address: str, repeats: int) -> tuple[float, float, int, int]:
    """Return median milliseconds by the clock and of this process's CPU, queries, and kilobytes of a page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    answer = client.get(address)
    if answer.status_code != 200:
        message = f"{address} answers {answer.status_code}"
        raise RuntimeError(message)
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    asked = len(queries)  # the next request forgets them
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        client.get(address)
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    return statistics.median(walls), statistics.median(cpus), asked, len(answer.content) // 1024


def main() -> None:
    """Parse, fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--database", default="sqlite", help="sqlite, or a PostgreSQL server's address")
    options = parser.parse_args()
    with fresh_database(options.database) as url:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "billing_console.settings",
            "DATABASE_URL": url,
            "IGNORE_DOTENV": "1",
            "DJANGO_DEBUG": "0",
            "DJANGO_TLS": "0",
            "DJANGO_ALLOWED_HOSTS": "testserver",
            "STRIPE_KEY": "sk_test_benchmark",
        }
        django.setup()
        _run(options)


def _run(options: argparse.Namespace) -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from benchmarks.fill_pages import fill

    call_command("migrate", verbosity=0)
    begin = time.perf_counter()
    fill(customers=options.customers, now=datetime.now(UTC))
    with connection.cursor() as cursor:
        # As autovacuum would have done it long ago in a database that has been in use.
        cursor.execute("ANALYZE")
    filled = time.perf_counter() - begin
    client = Client(raise_request_exception=True)
    client.force_login(get_user_model().objects.create_superuser("bench", "bench@example.com", "bench"))
    table = Table(
        title=f"{options.customers:,} customers, {connection.vendor}; filled in {filled:.0f} s",
        title_justify="left",
    )
    for name in ("page", "ms", "CPU ms", "queries", "KB"):
        table.add_column(name, justify="left" if name == "page" else "right")
    for name, address in pages():
        wall, cpu, queries, size = measure(client, address, options.repeat)
        style = "bold red" if wall > SLOW_MS else None
        table.add_row(name, f"{wall:.0f}", f"{cpu:.0f}", str(queries), str(size), style=style)
    Console(width=100, highlight=False).print(table)
    connection.close()


if __name__ == "__main__":
    main()
