"""What the console's commands share: one sentence instead of a traceback, and an exit code that tells why."""

import getpass
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from sync.ports import InvalidInput, Misconfigured, SyncError

EXIT_FAILED = 1
EXIT_USAGE = 2
"""The caller has to change something: an option, a key, an address."""
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells expect."""


class SyncCommand(BaseCommand, ABC):
    """A command whose `run` may raise `SyncError`s. It parses, makes one call and prints."""

    requires_system_checks: list[str] = []
    """What they refuse, `wiring.guard` refuses in one sentence; they are for whoever serves pages."""
    interrupted = "Interrupted. Nothing is lost: run the command again."

    @abstractmethod
    def run(self, **options: Any) -> None:
        """Do the work and print the result."""

    def handle(self, *_: Any, **options: Any) -> None:
        """Turn what went wrong into one sentence on stderr and an exit code."""
        try:
            self.run(**options)
        except (InvalidInput, Misconfigured) as error:
            raise CommandError(str(error), returncode=EXIT_USAGE) from error
        except SyncError as error:
            raise CommandError(str(error), returncode=EXIT_FAILED) from error
        except DatabaseError as error:
            raise CommandError(_database_sentence(error), returncode=EXIT_FAILED) from error
        except KeyboardInterrupt as error:
            raise CommandError(self.interrupted, returncode=EXIT_INTERRUPTED) from error

    @staticmethod
    def now() -> datetime:
        """Return the time; the clock is read in commands and nowhere deeper."""
        return timezone.now()


def login() -> str:
    """Return who is at the shell, for the record of what they asked."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "shell"


def _database_sentence(error: DatabaseError) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "no such table" in reason or "does not exist" in reason or "no such column" in reason:
        return "The database is not up to date; run manage.py migrate first."
    return f"The database refuses: {reason}"
