"""manage.py run_sandbox: the local look-alike of Stripe and OpenMeter."""

import sqlite3
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sync.management.base import EXIT_USAGE, SyncCommand
from sync.sandbox.server import PortTaken, serve


class Command(SyncCommand):
    """Serves the sandbox on loopback until Ctrl-C."""

    help = "Serve a look-alike of Stripe and OpenMeter on 127.0.0.1, to try the console without any key."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take port and state file."""
        parser.add_argument("--port", type=int, default=8801, help="port on 127.0.0.1 (default 8801)")
        parser.add_argument(
            "--state", type=Path, default=None, metavar="FILE", help="keep its state in this file"
        )

    def run(self, **options: Any) -> None:
        """Serve until stopped; a taken port is a sentence."""
        port = options["port"]
        if not 0 < port < 65536:
            message = f"--port {port} is no port; choose a number from 1 to 65535."
            raise CommandError(message, returncode=EXIT_USAGE)
        self.stdout.write(
            f"Sandbox on http://127.0.0.1:{port} (Ctrl-C ends it). In another shell:\n"
            f"  export STRIPE_KEY=sk_test_sandbox_1 STRIPE_API_BASE=http://127.0.0.1:{port}/stripe "
            f"OPENMETER_URL=http://127.0.0.1:{port}/openmeter"
        )
        try:
            serve(port=port, state=options["state"])
        except PortTaken as error:
            raise CommandError(error.strerror or str(error), returncode=EXIT_USAGE) from error
        except (OSError, sqlite3.DatabaseError) as error:
            message = (
                f"--state {options['state']} cannot hold the sandbox's state ({error}); choose another file."
            )
            raise CommandError(message, returncode=EXIT_USAGE) from error
