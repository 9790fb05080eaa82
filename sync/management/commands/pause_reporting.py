"""manage.py pause_reporting: let reporting stand still."""

from typing import Any

from django.core.management.base import CommandParser

from sync.management.base import SyncCommand, login
from sync.management.pause_options import add_targets, scope_of
from sync.operations.pause_reporting import pause_scope
from sync.queries.pauses import open_pauses


class Command(SyncCommand):
    """Pauses everything, a meter or a customer, or lists what is paused."""

    help = "Pause reporting of everything, a meter or a customer; commands, staff and schedules obey it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to pause, and why."""
        add_targets(parser).add_argument("--list", action="store_true", help="show what is paused")

    def run(self, **options: Any) -> None:
        """Pause or list; each pause is a line."""
        if options["list"]:
            pauses = list(open_pauses())
        else:
            pauses = pause_scope(scope=scope_of(options), why=options["why"], who=login(), now=self.now())
        for pause in pauses:
            self.stdout.write(pause.sentence)
        if not pauses:
            self.stdout.write("Nothing is paused.")
