"""manage.py sync_stripe: bring the mirror of Stripe up to date."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sync.management.base import EXIT_FAILED, EXIT_INTERRUPTED, SyncCommand, login
from sync.models import Finding, ReportRun
from sync.operations.conclude_mirror import MirrorSummary
from sync.operations.sync_stripe import sync_stripe
from sync.wiring import connect


class Command(SyncCommand):
    """Mirrors meters, prices, customers and subscriptions, and says what stands in the way."""

    help = "Mirror meters, prices, customers and subscriptions from Stripe and tie them to OpenMeter."
    interrupted = "Interrupted. What was read is kept; run sync_stripe again to complete it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the output format."""
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="how to print the result"
        )

    def run(self, **options: Any) -> None:
        """Sync, print what was seen, and fail with OpenMeter's sentence if it did not answer."""
        connections = connect()
        chatty = options["verbosity"] > 1 and options["format"] == "text"
        result = sync_stripe(
            run=ReportRun(
                kind=ReportRun.Kind.SYNC,
                trigger=ReportRun.Trigger.COMMAND,
                requested_by=login(),
                queued_at=self.now(),
            ),
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            clock=self.now,
            invoice_grace=connections.config.invoice_grace,
            progress=self.stdout.write if chatty else lambda _what: None,
        )
        summary = result.summary
        if summary is None:
            raise CommandError(result.run.notes, returncode=EXIT_INTERRUPTED)
        if options["format"] == "json":
            self.stdout.write(json.dumps(asdict(summary)))
        else:
            self._print(summary)
        if summary.openmeter_problem:
            message = f"Stripe was mirrored, but not tied to OpenMeter: {summary.openmeter_problem}"
            raise CommandError(message, returncode=EXIT_FAILED)

    def _print(self, summary: MirrorSummary) -> None:
        for kind, seen in summary.seen.items():
            self.stdout.write(f"{kind}: {seen} seen, {summary.changed.get(kind, 0)} new or changed")
        for kind, count in sorted(summary.findings.items()):
            self.stdout.write(f"finding: {Finding.Kind(kind).label}: {count}")
        self.stdout.write(
            f"findings: {sum(summary.findings.values())} open, {summary.new_findings} new, "
            f"{summary.resolved_findings} resolved"
        )
