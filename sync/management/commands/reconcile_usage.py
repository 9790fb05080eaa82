"""manage.py reconcile_usage: whether OpenMeter, the ledger, Stripe and its invoices say the same."""

import json
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sync.domain.quantities import as_text
from sync.domain.reconciliation import SETTLED, Cause
from sync.domain.timeline import Span
from sync.management.base import EXIT_FAILED, SyncCommand, login
from sync.models import Reconciliation
from sync.operations.reconcile_usage import ReconcileRequest, reconcile_usage
from sync.ports import InvalidInput
from sync.queries.planning import Scope
from sync.queries.reconciled import differences_of, totals_of
from sync.wiring import connect


class Command(SyncCommand):
    """Compares all sides day by day, and says what differs and why."""

    help = (
        "Compare what OpenMeter says now, what the ledger holds, what Stripe holds and what its final "
        "invoices bill, by customer and UTC day. Nothing is planned or sent. Exit code 1 where something "
        "differs that somebody has to mend."
    )
    interrupted = "Interrupted. What was compared is kept; run reconcile_usage again for the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what is to be compared, and how to print it."""
        parser.add_argument("--from", dest="start", metavar="DATE", help="first UTC day, like 2026-11-01")
        parser.add_argument("--to", dest="end", metavar="DATE", help="the UTC day after the last one")
        parser.add_argument("--customer", default="", metavar="cus_…")
        parser.add_argument("--meter", default="", help="its name in OpenMeter or Stripe, or mtr_…")
        parser.add_argument(
            "--every-customer",
            action="store_true",
            help="ask Stripe about customers, too, who used nothing and have no reports",
        )
        parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")

    def run(self, **options: Any) -> None:
        """Compare and print; raise `CommandError` where something differs or was not compared."""
        connections = connect()
        request = ReconcileRequest(
            scope=Scope(customer=options["customer"], meter=options["meter"]),
            days=_days(options["start"], options["end"]),
            every_customer=options["every_customer"],
            requested_by=login(),
        )
        kept = reconcile_usage(
            run=request.as_run(now=self.now()),
            request=request,
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            tail=connections.config.tail,
            clock=self.now,
        )
        facts = _facts(kept)
        self.stdout.write(json.dumps(facts) if options["format"] == "json" else _text(facts))
        if kept.run.error:
            raise CommandError(kept.run.error, returncode=EXIT_FAILED)
        if count := sum(not one["settled"] for one in facts["differences"]):
            message = "1 difference." if count == 1 else f"{count} differences."
            raise CommandError(message, returncode=EXIT_FAILED)


def _days(start: str | None, end: str | None) -> Span | None:
    if not (start or end):
        return None
    if not (start and end):
        msg = "Give both --from and --to, or none of them for the last 35 days."
        raise InvalidInput(msg)
    return Span(_midnight(start), _midnight(end))


def _midnight(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC))
    except ValueError as error:
        msg = f"{text} is no day like 2026-11-01."
        raise InvalidInput(msg) from error


def _facts(kept: Reconciliation) -> dict[str, Any]:
    return {
        "run": kept.run_id,
        "from": f"{kept.start:%Y-%m-%d}",
        "to": f"{kept.end:%Y-%m-%d}",
        "meters": [
            {
                "meter": one.meter.slug,
                "openmeter": as_text(one.used),
                "ledger": as_text(one.measured),
                "told": as_text(one.told),
                "stripe": None if one.held is None else as_text(one.held),
            }
            for one in totals_of(kept)
        ],
        "differences": [
            {
                "meter": one.meter.slug,
                "customer": one.customer.stripe_id if one.customer else None,
                "subject": one.subject or None,
                "day": f"{one.day:%Y-%m-%d}" if one.day else None,
                "cause": one.cause,
                "units": as_text(one.units),
                "sentence": Cause(one.cause).words,
                "detail": one.detail,
                "settled": one.cause in SETTLED,
            }
            for one in differences_of(kept)
        ],
    }


def _text(facts: dict[str, Any]) -> str:
    lines = [f"Compared from {facts['from']} up to {facts['to']} (UTC days)."]
    for one in facts["meters"]:
        stripe = "not read" if one["stripe"] is None else one["stripe"]
        lines.append(
            f"{one['meter']}: OpenMeter {one['openmeter']}, ledger {one['ledger']}, reported {one['told']}, "
            f"Stripe {stripe}"
        )
    for one in facts["differences"]:
        who = one["customer"] or one["subject"] or "nobody"
        when = f" on {one['day']}" if one["day"] else ""
        detail = f" ({one['detail']})" if one["detail"] else ""
        lines.append(f"  {one['sentence']}: {one['units']} units of {one['meter']}, {who}{when}{detail}")
    if not facts["differences"]:
        lines.append("  Nothing differs.")
    return "\n".join(lines)
