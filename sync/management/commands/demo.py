"""manage.py demo: the whole console at work on a made-up business, without any key."""

import argparse
import contextlib
import errno
import fcntl
import os
import secrets
import shlex
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from sync.management.base import EXIT_USAGE, SyncCommand
from sync.management.demo_processes import POLL_SECONDS, ProcessEnded, Processes, signals_to
from sync.management.parent_death import die_with_parent
from sync.models import Customer, Meter, Subject
from sync.ports import InvalidInput, Misconfigured
from sync.sandbox.demo_customers import CUSTOMERS, PRODUCTS, TOKENS, Product
from sync.sandbox.demo_troubles import LIMIT, REFUSED, make_trouble
from sync.sandbox.demo_webhooks import tell_console
from sync.sandbox.demo_world import KEY, fill
from sync.schedules import REPORT_MINUTES

HOST = "127.0.0.1"
START_SECONDS = 20
LOGIN = "demo"
SIGNED, THIN_SIGNED = "STRIPE_WEBHOOK_SECRET", "STRIPE_THIN_WEBHOOK_SECRET"


@dataclass(frozen=True, slots=True)
class Place:
    """The files and addresses of a demo; it touches no others."""

    home: Path
    sandbox_port: int
    port: int

    @property
    def database(self) -> Path:
        """The console's database."""
        return self.home / "demo.sqlite3"

    @property
    def sandbox_state(self) -> Path:
        """What the sandbox remembers."""
        return self.home / "demo-sandbox.sqlite3"

    @property
    def log(self) -> Path:
        """What sandbox, console and worker say."""
        return self.home / "demo.log"

    @property
    def sandbox_url(self) -> str:
        """Where Stripe and OpenMeter are looked for."""
        return f"http://{HOST}:{self.sandbox_port}"

    @property
    def console_url(self) -> str:
        """Where the pages are."""
        return f"http://{HOST}:{self.port}/"


class Command(SyncCommand):
    """Starts a sandbox, fills it, sets up, syncs and reports, then serves the console."""

    help = "Try the console on a made-up business in the sandbox. Start it with: make demo"
    interrupted = "Stopped. make demo starts again from the beginning."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ports and how far to go."""
        parser.add_argument("--port", type=int, default=8000, help="the console's port (default 8000)")
        parser.add_argument("--sandbox-port", type=int, default=8801, help="the sandbox's (default 8801)")
        parser.add_argument(
            "--serve",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="serve the console afterwards",
        )
        parser.add_argument(
            "--end-with-parent",
            action="store_true",
            help="end when the process that started it is gone, however it went (make demo does this)",
        )
        parser.add_argument("--days", type=int, default=30, help="days of usage up to now (default 30)")

    def run(self, **options: Any) -> None:
        """Show everything once; with --serve go on until Ctrl-C, which ends every process."""
        place = Place(settings.VAR_DIR, options["sandbox_port"], options["port"])
        began = time.monotonic()
        if options["end_with_parent"]:
            die_with_parent(signal.SIGTERM, parent=os.getppid())
        _check_settings(place)
        with _only_demo(place.home / "demo.lock"), signals_to():
            _check_ports(place)
            _start_clean(place)
            # The console and its worker sign what they hand to each other with the same key.
            env = {"DJANGO_SECRET_KEY": secrets.token_urlsafe(50)} | {
                name: f"whsec_{secrets.token_urlsafe(24)}" for name in (SIGNED, THIN_SIGNED)
            }
            with Processes(home=settings.BASE_DIR, log=place.log, env=env) as processes:
                self._prepare(place, processes, days=options["days"])
                self._report()
                self._go_wrong(place)
                self._say(f"From an empty database to the report in {time.monotonic() - began:.0f} s.")
                if options["serve"]:
                    self._serve(place, processes, env)

    # --- the steps -----------------------------------------------------------------------------------------

    def _prepare(self, place: Place, processes: Processes, *, days: int) -> None:
        self._say(f"Preparing the database {_relative(place.database)}")
        call_command("migrate", verbosity=0, interactive=False)
        self._say(f"Starting the sandbox of Stripe and OpenMeter on {place.sandbox_url}")
        state = str(place.sandbox_state)
        processes.start("sandbox", "run_sandbox", "--port", str(place.sandbox_port), "--state", state)
        _await_port(place.sandbox_port, processes)
        filled = fill(place.sandbox_url, days=days, now=self.now())
        self._say(
            f"Filled it with {filled.customers} customers, {len(PRODUCTS)} meters and "
            f"{filled.events:,} usage events of the last {days} days"
        )

    def _report(self) -> None:
        for product in PRODUCTS:
            options = _set_up_options(product)
            given = " ".join(
                f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items()
            )
            self._say(f"manage.py set_up_stripe {given}")
            call_command("set_up_stripe", **options, stdout=self.stdout)
        self._say("manage.py sync_stripe")
        call_command("sync_stripe", stdout=self.stdout)
        _add_second_subjects()
        self._say("manage.py report_usage")
        call_command("report_usage", stdout=self.stdout, stderr=self.stderr)

    def _go_wrong(self, place: Place) -> None:
        """Usage that looks wrong, usage that comes too late and a refused report wait for staff."""
        self._say("Something always needs a person: see what a second report leaves to decide")
        meter = Meter.objects.get(openmeter_slug=TOKENS.slug)
        meter.max_units_per_slice = Decimal(LIMIT)
        meter.save(update_fields=["max_units_per_slice"])
        refused = Customer.objects.get(external_key=REFUSED)
        make_trouble(place.sandbox_url, refused_customer=refused.stripe_id, now=self.now())
        with contextlib.suppress(CommandError):  # it ends "partial", as it should
            call_command("report_usage", no_sync=True, stdout=self.stdout, stderr=self.stderr)

    def _serve(self, place: Place, processes: Processes, env: Mapping[str, str]) -> None:
        password = secrets.token_urlsafe(9)
        get_user_model().objects.create_superuser(LOGIN, f"{LOGIN}@example.com", password)
        processes.start("console", "runserver", "--noreload", f"{HOST}:{place.port}")
        processes.start("worker", "qcluster")
        _await_port(place.port, processes)
        tell_console(
            place.sandbox_url,
            console_url=place.console_url,
            secret=env[SIGNED],
            thin_secret=env[THIN_SIGNED],
        )
        self._say(f"The console is at {place.console_url}")
        self.stdout.write(f"   login: {LOGIN}   password: {password}")
        self.stdout.write(
            f"   a worker reports every {REPORT_MINUTES} minutes: {place.console_url}sync/reportrun/"
        )
        self.stdout.write(f"   the sandbox shows its side at {place.sandbox_url}/")
        self.stdout.write("   Ctrl-C ends everything.")
        self.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end a demo
            processes.watch()
        self.stdout.write("\nEnding the console, its worker and the sandbox.")

    def _say(self, text: str) -> None:
        self.stdout.write(f"\n== {text}")
        self.stdout.flush()


# --- before anything is touched ----------------------------------------------------------------------------


def _check_settings(place: Place) -> None:
    """Raise `Misconfigured` unless everything is the demo's own: its database, its sandbox, its key."""
    database = settings.DATABASES["default"]
    own_database = (
        database["ENGINE"] == "django.db.backends.sqlite3"
        and Path(database["NAME"]).resolve() == place.database.resolve()
    )
    own_addresses = (
        f"{place.sandbox_url}/stripe" == settings.STRIPE_API_BASE
        and f"{place.sandbox_url}/openmeter" == settings.OPENMETER_URL
    )
    if not (own_database and own_addresses and settings.STRIPE_KEY == KEY):
        message = (
            "The demo runs on its own database, sandbox and key only, and these settings name others: "
            "start it with make demo (ports: make demo PORT=8000 SANDBOX_PORT=8801)."
        )
        raise Misconfigured(message)


def _check_ports(place: Place) -> None:
    """Raise `InvalidInput` for a port that cannot be had."""
    wanted = {"PORT": place.port, "SANDBOX_PORT": place.sandbox_port}
    if place.port == place.sandbox_port:
        message = f"PORT and SANDBOX_PORT are both {place.port}; give them different values."
        raise InvalidInput(message)
    for variable, port in wanted.items():
        if not 0 < port < 65536:
            message = f"{variable}={port} is no port; choose a number from 1 to 65535."
            raise InvalidInput(message)
        _check_port(variable, port)


def _check_port(variable: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else "cannot be used"
            message = f"Port {port} on {HOST} {reason}; choose another one: make demo {variable}={port + 1}"
            raise InvalidInput(message) from error


@contextlib.contextmanager
def _only_demo(lock: Path) -> Iterator[None]:
    """No other demo runs in this directory: it would lose its database under its feet."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = "A demo already runs in this directory; end it with Ctrl-C first."
            raise CommandError(message, returncode=EXIT_USAGE) from error
        yield


def _start_clean(place: Place) -> None:
    """The files of an earlier demo are gone; nothing else is."""
    for file in (place.database, place.sandbox_state):
        for suffix in ("", "-wal", "-shm", "-journal"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


# --- on the way --------------------------------------------------------------------------------------------


def _await_port(port: int, processes: Processes) -> None:
    """Somebody answers on the port. Raises `ProcessEnded` where a process ended or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        processes.check()
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(POLL_SECONDS)
    message = f"Nothing answered on port {port} within {START_SECONDS} seconds."
    raise ProcessEnded(message)


def _set_up_options(product: Product) -> dict[str, Any]:
    """Ask for what the first customer has already: set-up finds it and ties the meter to OpenMeter."""
    customer = CUSTOMERS[0]
    return {
        "event_name": product.event_name,
        "meter_name": product.name,
        "product_name": product.name,
        "openmeter_meter": product.measure.slug,
        "unit_amount": Decimal(product.unit_amount),
        "customer_name": customer.name,
        "customer_email": customer.email,
        "external_key": customer.key,
    }


def _add_second_subjects() -> None:
    """Customers who send usage under two keys have both, as staff would enter it."""
    for one in CUSTOMERS:
        if one.second_key:
            customer = Customer.objects.get(external_key=one.key)
            Subject.objects.get_or_create(key=one.second_key, defaults={"customer": customer})


def _relative(path: Path) -> str:
    now_in = Path.cwd()
    return str(path.relative_to(now_in)) if path.is_relative_to(now_in) else str(path)
