"""manage.py report_usage: carry measured usage from OpenMeter to Stripe."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sync.domain.closings import OLDEST_EVENT
from sync.domain.timeline import HOUR, Span, floor_to
from sync.management.base import EXIT_FAILED, EXIT_INTERRUPTED, SyncCommand, login
from sync.management.report_output import as_json, decision_hint, failure_as_json, line_text, summary_table
from sync.models import ReportRun
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import ReportResult, report_usage
from sync.ports import InvalidInput, SyncError
from sync.queries.planning import Scope
from sync.wiring import connect

INTERRUPTED = (
    "Stopped as asked. What was sent is in the ledger, the rest is pending: run report_usage again to go on."
)


class Command(SyncCommand):
    """Mirrors Stripe, asks OpenMeter, plans, delivers, and prints what was reported."""

    help = "Report measured usage to Stripe: every closed hour, for every customer, once."
    interrupted = INTERRUPTED

    def add_arguments(self, parser: CommandParser) -> None:
        """Take scope, window and output format."""
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be reported, send nothing"
        )
        parser.add_argument(
            "--subscription",
            action="append",
            default=[],
            metavar="sub_…",
            help="only this subscription's customer and meters (repeatable)",
        )
        parser.add_argument("--customer", default="", metavar="cus_…", help="only this customer")
        parser.add_argument(
            "--meter",
            default="",
            metavar="slug",
            help="only this meter, by its OpenMeter slug or Stripe event name",
        )
        parser.add_argument(
            "--from",
            dest="start",
            metavar="ISO",
            help="plan only from this hour on (UTC unless it has an offset)",
        )
        parser.add_argument(
            "--to", dest="end", metavar="ISO", help="plan only up to this hour (UTC unless it has an offset)"
        )
        parser.add_argument("--no-sync", action="store_true", help="use the mirror of Stripe as it is")
        parser.add_argument("--retry-rejected", action="store_true", help="send refused reports again")
        parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print")

    def run(self, **options: Any) -> None:
        """Report, print, and exit with 1 if anything failed."""
        if options["format"] == "text":
            self._report(options)
            return
        try:
            self._report(options)
        except SyncError as error:
            # Whoever reads the output as JSON gets an object, whatever happened.
            self.stdout.write(json.dumps(failure_as_json(error)))
            raise

    def _report(self, options: dict[str, Any]) -> None:
        request = self._request(options)
        connections = connect()
        with _stop_on_signal() as stop, _progress_bar(options["format"]) as progress:
            result = report_usage(
                request=request,
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                rules=connections.rules,
                clock=self.now,
                progress=progress,
                should_stop=lambda: stop.asked,
            )
        if options["format"] == "json":
            self.stdout.write(json.dumps(as_json(result)))
        else:
            self._print(result)
        self._fail_if_needed(result)

    def _request(self, options: dict[str, Any]) -> ReportRequest:
        return ReportRequest(
            scope=Scope(
                subscriptions=tuple(options["subscription"]),
                customer=options["customer"],
                meter=options["meter"],
            ),
            window=_window(options["start"], options["end"], now=self.now()),
            dry_run=options["dry_run"],
            sync=not options["no_sync"],
            retry_rejected=options["retry_rejected"],
            requested_by=login(),
        )

    def _print(self, result: ReportResult) -> None:
        for line in result.lines:
            self.stdout.write(line_text(line))
        console = Console(highlight=False)
        with console.capture() as table:
            console.print(summary_table(result))
        self.stdout.write(table.get())
        if hint := decision_hint(result):
            self.stdout.write(hint)
        for sentence in (*result.notes, *result.errors):
            self.stderr.write(sentence)

    def _fail_if_needed(self, result: ReportResult) -> None:
        status = result.run.status
        if status == ReportRun.Status.CANCELLED:
            raise CommandError(INTERRUPTED, returncode=EXIT_INTERRUPTED)
        if status != ReportRun.Status.SUCCEEDED:
            counters = result.run.counters
            again = " Run report_usage again to send what is still pending."
            pending = counters.get("waiting") or counters.get("unknown")
            message = f"Run {result.run.pk} ended {status}.{again if pending else ''}"
            raise CommandError(message, returncode=EXIT_FAILED)


def _window(start: str | None, end: str | None, *, now: datetime) -> Span | None:
    if start is None and end is None:
        return None
    hour = floor_to(now, HOUR)
    oldest = floor_to(now - OLDEST_EVENT, HOUR)
    return Span(
        _instant("--from", start) if start is not None else oldest + HOUR,
        _instant("--to", end) if end is not None else hour,
    )


def _instant(option: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        message = f"{option} {text or '(empty)'} is no ISO 8601 time; write it like 2026-11-22T14:00:00Z."
        raise InvalidInput(message) from error


class _Stop:
    asked = False


@contextmanager
def _stop_on_signal() -> Iterator[_Stop]:
    """The first Ctrl-C or SIGTERM lets calls under way finish; a second Ctrl-C breaks off at once."""
    stop = _Stop()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_bar(output_format: str) -> Iterator[Any]:
    """Yield a callback that moves a bar on stderr, where that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    disable = not console.is_terminal or output_format == "json"
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        tasks: dict[str, Any] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total or None)
            bar.update(tasks[step], completed=done, total=total or None)

        yield show
