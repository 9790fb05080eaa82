"""How a run's result is shown in a shell."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.table import Table

from sync.domain.quantities import exact_sum
from sync.models import UsageReport
from sync.operations.report_usage import ReportResult
from sync.ports import SyncError
from sync.queries.report_lines import ReportLine


def line_text(line: ReportLine) -> str:
    """Return the line of the original example for one customer, price and meter."""
    return (
        f"stripe_customer: {line.stripe_customer}, stripe_price: {line.stripe_price}, "
        f"meter: {line.meter}, total_usage: {_units(line)}, from: {_time(line.start)}, to: {_time(line.end)}"
    )


def as_json(result: ReportResult) -> dict[str, Any]:
    """Return the run as one JSON-able object; quantities are strings, so that no reader rounds them."""
    return {
        "run": result.run.pk,
        "status": result.run.status,
        "dry_run": result.run.dry_run,
        "counters": dict(result.run.counters),
        "errors": list(result.errors),
        "notes": list(result.notes),
        "undecided": dict(result.undecided),
        "lines": [
            {
                "stripe_customer": line.stripe_customer,
                "stripe_price": line.stripe_price,
                "meter": line.meter,
                "total_usage": _units(line),
                "from": _time(line.start),
                "to": _time(line.end),
            }
            for line in result.lines
        ],
    }


def failure_as_json(error: SyncError) -> dict[str, Any]:
    """Return an object of the same shape for a run that could not be begun, or failed as a whole."""
    return {
        "run": None,
        "status": "failed",
        "dry_run": False,
        "counters": {},
        "errors": [str(error)],
        "notes": [],
        "undecided": {},
        "lines": [],
    }


def summary_table(result: ReportResult) -> Table:
    """Return a table with a row per meter that counts a customer once, however many prices they have."""
    verb = "would be reported" if result.run.dry_run else "reported"
    table = Table(title=f"Run {result.run.pk}: {result.run.status}", title_justify="left")
    table.add_column("meter")
    table.add_column("customers", justify="right")
    table.add_column(f"units {verb}", justify="right")
    by_meter: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for line in result.lines:
        by_meter[line.meter][line.stripe_customer] = line.total_usage
    for meter, customers in sorted(by_meter.items()):
        table.add_row(meter, str(len(customers)), f"{exact_sum(list(customers.values())):,f}")
    if not by_meter:
        table.add_row("nothing" if result.errors else "nothing new", "0", "0")
    noted = {name: count for name, count in sorted(result.run.counters.items()) if count}
    table.caption = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in noted.items())
    return table


def decision_hint(result: ReportResult) -> str:
    """Return the sentence that says what waits for a person, from this run or an earlier one, or ""."""
    waits = [
        f"{count} {UsageReport.Status(status).word}" for status, count in sorted(result.undecided.items())
    ]
    return f"Waiting for a decision: {', '.join(waits)}. See manage.py held_reports --list." if waits else ""


def _units(line: ReportLine) -> str:
    return f"{line.total_usage:.{line.decimals}f}"


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
