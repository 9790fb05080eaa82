"""manage.py held_reports: a person decides on reports that wait for one."""

import json
from typing import Any

from django.core.management.base import CommandParser

from sync.domain.quantities import as_text
from sync.management.base import SyncCommand, login
from sync.models import UsageReport
from sync.operations.carry_report import carry_report
from sync.operations.check_first_deliveries import compare_late
from sync.operations.resolve_report import DECIDABLE, dismiss_report, release_report
from sync.ports import InvalidInput
from sync.queries.waiting_reports import WaitingReport, waiting_reports
from sync.wiring import connect

ALL = "all"
PAST = {"release": "released", "carry": "carried forward", "dismiss": "dismissed"}
"""What was done, by its option."""
BY_WORD = {UsageReport.Status(status).word: status for status in DECIDABLE}
"""What a person types for a status."""


class Command(SyncCommand):
    """Lists reports that wait for a person, and releases, carries forward or dismisses them."""

    help = "List, release, carry forward or dismiss reports that wait for a person."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to do, with which reports, and why."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--list", action="store_true", help="show the reports that wait")
        what.add_argument(
            "--release",
            nargs="+",
            metavar="N",
            help="send these (numbers of the list, or all but those of unknown outcome)",
        )
        what.add_argument(
            "--carry",
            nargs="+",
            metavar="N",
            help="bill these late ones in the open period (numbers, or all)",
        )
        what.add_argument("--dismiss", nargs="+", metavar="N", help="never send these (numbers, or all)")
        parser.add_argument("--why", default="", help="the reason; all but a release need one")
        parser.add_argument("--meter", default="", metavar="slug", help="only this meter's")
        parser.add_argument("--customer", default="", metavar="cus_…", help="only this customer's")
        parser.add_argument("--status", default="", choices=list(BY_WORD), help="only these")
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="how to print the list"
        )

    def run(self, **options: Any) -> None:
        """List, or carry out the decision for each chosen report."""
        chosen = waiting_reports(
            meter=options["meter"],
            customer=options["customer"],
            status=BY_WORD.get(options["status"], ""),
        )
        if options["list"]:
            self._list(chosen, as_json=options["format"] == "json")
            return
        self._decide_all(chosen, options)

    def _decide_all(self, chosen: list[WaitingReport], options: dict[str, Any]) -> None:
        verb = next(verb for verb in PAST if options[verb])
        refused: list[str] = []
        done = 0
        fit = _fit_for(verb, chosen, by_status=bool(options["status"]))
        numbers = _numbers(options[verb], fit)
        if verb == "carry" and options["why"]:
            compare_late(numbers, source=connect().stripe, clock=self.now)
        for report_id in numbers:
            try:
                report = self._decide(verb, report_id, options["why"])
            except InvalidInput as error:
                refused.append(str(error))
            else:
                done += 1
                self.stdout.write(f"{PAST[verb]}: {report}")
        if refused:
            # What could be decided is; the rest is said.
            raise InvalidInput("\n".join(refused))
        if not done:
            self.stdout.write("Nothing waits for a decision.")
        elif verb != "dismiss":
            self.stdout.write(f"Run manage.py report_usage to send what was {PAST[verb]}.")

    def _decide(self, verb: str, report_id: int, why: str) -> UsageReport:
        now, who = self.now(), login()
        if verb == "release":
            return release_report(report_id=report_id, why=why, who=who, run=None, now=now)
        if verb == "carry":
            return carry_report(report_id=report_id, why=why, who=who, run=None, now=now)
        return dismiss_report(report_id=report_id, why=why, who=who, now=now)

    def _list(self, reports: list[WaitingReport], *, as_json: bool) -> None:
        if as_json:
            rows = [
                {
                    "number": report.id,
                    "status": UsageReport.Status(report.status).word,
                    "stripe_customer": report.customer,
                    "meter": report.meter,
                    "from": report.start.isoformat(),
                    "to": report.end.isoformat(),
                    "value": as_text(report.value),
                    "reason": report.reason,
                }
                for report in reports
            ]
            self.stdout.write(json.dumps(rows))
            return
        for report in reports:
            self.stdout.write(
                f"{report.id}  {UsageReport.Status(report.status).word}  {report.customer}  {report.meter}  "
                f"{as_text(report.value)} units  "
                f"{report.start:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC  {report.reason}"
            )
        if not reports:
            self.stdout.write("Nothing waits for a decision.")


def _fit_for(verb: str, chosen: list[WaitingReport], *, by_status: bool) -> list[WaitingReport]:
    """Return what `all` means for a decision."""
    if verb == "carry":
        return [report for report in chosen if report.status == UsageReport.Status.LATE]
    # What may have reached Stripe is decided one by one, or by asking for it by name.
    return [report for report in chosen if by_status or report.status != UsageReport.Status.UNKNOWN]


def _numbers(wanted: list[str], chosen: list[WaitingReport]) -> list[int]:
    """Return the report numbers asked for; `all` means all of the list."""
    if wanted == [ALL]:
        return [report.id for report in chosen]
    try:
        return [int(number) for number in wanted]
    except ValueError as error:
        message = f"{' '.join(wanted)}: reports are chosen by the numbers that --list shows, or by all."
        raise InvalidInput(message) from error
