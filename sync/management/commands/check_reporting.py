"""manage.py check_reporting: whether usage is being reported, for people and for cron."""

import contextlib
import json
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sync.management.base import EXIT_FAILED, SyncCommand
from sync.operations.watch_reporting import watch_reporting
from sync.queries.health_facts import health_facts


class Command(SyncCommand):
    """Says how reporting stands, and has ADMINS told of what is wrong."""

    help = (
        "Say whether usage is being reported: exit code 0 if all is well, 1 if anything keeps it from being "
        "billed in time. ADMINS are e-mailed once per incident: let cron run it, a dead worker cannot tell."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how to print."""
        parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")

    def run(self, **options: Any) -> None:
        """Print it; raise `CommandError` where there is a problem."""
        # Without a mail server, e-mails are printed: not among what somebody may want to parse.
        with contextlib.redirect_stdout(sys.stderr):
            health = watch_reporting(now=self.now())
        facts = health_facts(health)
        if options["format"] == "json":
            self.stdout.write(json.dumps(facts))
        else:
            self.stdout.write(_text(facts))
        if not health.is_well:
            count = len(health.problems)
            message = "1 problem." if count == 1 else f"{count} problems."
            raise CommandError(message, returncode=EXIT_FAILED)


def _text(facts: dict[str, Any]) -> str:
    lines = [problem["sentence"] for problem in facts["problems"]]
    if not lines:
        lines.append("Usage is being reported." if facts["in_use"] else "Nothing was set up or synced yet.")
    for name, title in (
        ("last_full_run_at", "last full run"),
        ("next_run_at", "next scheduled run"),
        ("oldest_undelivered_end", "oldest undelivered usage"),
        ("worker_seen_at", "worker last seen"),
    ):
        lines.append(f"  {title}: {facts[name] or 'none'}")
    return "\n".join(lines)
