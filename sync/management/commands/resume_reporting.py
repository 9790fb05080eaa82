"""manage.py resume_reporting: let reporting go on that stood still."""

from typing import Any

from django.core.management.base import CommandParser

from sync.management.base import SyncCommand, login
from sync.management.pause_options import add_targets, scope_of
from sync.operations.pause_reporting import resume_scope


class Command(SyncCommand):
    """Resumes everything, a meter or a customer that a person paused."""

    help = "Resume reporting that a person paused; the next run catches up."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to resume, and why."""
        add_targets(parser)

    def run(self, **options: Any) -> None:
        """Resume; each pause that is over is a line."""
        for pause in resume_scope(scope=scope_of(options), why=options["why"], who=login(), now=self.now()):
            self.stdout.write(f"Resumed: {pause}")
