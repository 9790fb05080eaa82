"""People who decide on what waits, knowing what was really used and what Stripe has."""

from decimal import Decimal
from typing import Any

from sync.models import UsageReport
from sync.operations.carry_report import carry_report
from sync.operations.check_first_deliveries import compare_late
from sync.operations.count_as_billed import count_as_billed
from sync.operations.resolve_report import (
    dismiss_report,
    release_report,
    waits_for_decision,
    why_lowered_late,
    why_too_late,
)
from sync.ports import InvalidInput
from tests.simulation.account import HOUR
from tests.simulation.console import Console


class Staff(Console):
    """A console with staff who make no mistakes."""

    def decide(self) -> None:
        """Nothing waits for a decision that can be made now."""
        waiting = UsageReport.objects.filter(status__in=["held", "late", "rejected", "unknown"])
        for report in waiting.select_related("enrolment__customer", "enrolment__meter").order_by("pk"):
            if waits_for_decision(report):
                self._decide(report)

    def _decide(self, report: UsageReport) -> None:
        if report.status == "held" and report.beside is not None:
            self._count_as_billed(report)
            return
        if report.status == "unknown" and report.compared_at is None:
            return  # the console compares it first
        now = self.clock()
        late = bool(why_too_late(report, now=now) or why_lowered_late(report, now=now))
        arrived = self._arrived(report) if report.status in ("unknown", "late") else None
        is_wrong = report.status == "held" and report.measured not in self._truths(report)
        try:
            if report.status == "late":
                # Of a ledger that was put back: a forgotten one may have carried it.
                compare_late([report.pk], source=self.connections.stripe, clock=self.clock)
            if report.status == "late" and arrived is None and self._would_rather_bill(report):
                carry_report(
                    report_id=report.pk, why="bill it now", who="simulator", run=None, now=self.clock()
                )
            elif (late and report.status != "held") or is_wrong or arrived is not None:
                if arrived is not None:
                    self.found_in_stripe[report.identifier] = arrived
                dismiss_report(
                    report_id=report.pk, why="looked at both sides", who="simulator", now=self.clock()
                )
            else:
                release_report(
                    report_id=report.pk, why="it is right", who="simulator", run=None, now=self.clock()
                )
        except InvalidInput:
            self.counts["decisions refused"] += 1

    def _count_as_billed(self, report: UsageReport) -> None:
        """What Stripe holds is this very usage: nothing else is ever billed on a meter."""
        counted = count_as_billed(
            [report.pk],
            why="it was sent before",
            who="simulator",
            source=self.connections.stripe,
            clock=self.clock,
        )
        self.counts["decisions refused"] += len(counted.refused)
        report.refresh_from_db()
        if report.status == "replaced":
            self.found_events |= {event["identifier"] for event in self._events_of(report)}

    @staticmethod
    def _would_rather_bill(report: UsageReport) -> bool:
        """Whether late usage is carried forward or given up: every other hour, so that both happen."""
        return int(report.slice_start.timestamp()) // HOUR % 2 == 0

    def _arrived(self, report: UsageReport) -> Decimal | None:
        """Return what Stripe has of the slice beside what the ledger says was delivered, None if nothing."""
        enrolment, events = report.enrolment, self._events_of(report)
        mine = UsageReport.objects.filter(enrolment=enrolment, slice_start=report.slice_start)
        delivered = mine.filter(status="delivered")
        if enrolment.meter.sets_hours:
            known = {*delivered.values_list("identifier", flat=True), *self.found_events}
            found = [event for event in events if event["identifier"] not in known]
            self.found_events |= {event["identifier"] for event in found}
            return Decimal(found[-1]["value"]) if found else None
        others = [self.found_in_stripe.get(name, 0) for name in mine.values_list("identifier", flat=True)]
        told = sum([*delivered.values_list("value", flat=True), *others], Decimal(0))
        return sum((Decimal(event["value"]) for event in events), Decimal(0)) - told or None

    def _events_of(self, report: UsageReport) -> list[dict[str, Any]]:
        """Return what Stripe took of the report's slice, oldest first."""
        enrolment = report.enrolment
        start, end = report.slice_start.timestamp(), report.slice_end.timestamp()
        return [
            event
            for event in self.world.control.meter_events(customer=enrolment.customer.stripe_id)
            if event["event_name"] == enrolment.meter.event_name and start <= event["timestamp"] < end
        ]

    def _truths(self, report: UsageReport) -> tuple[Decimal, Decimal]:
        """Return what was used in the slice, and what of it in a period: it may reach over the end of one."""
        start, end = report.slice_start.timestamp(), report.slice_end.timestamp()
        subject = report.enrolment.customer.external_key
        mine = [
            u for u in self.account.usage if (u.customer, u.meter) == (subject, report.enrolment.meter.slug)
        ]
        mine = [u for u in mine if start <= u.at < end and u.gone_at is None]
        periods = self.account.periods(subject, report.enrolment.meter.slug, self.now)
        billed = [u for u in mine if any(u.at in period for period in periods if not period.free)]
        return (
            sum((u.amount for u in mine), Decimal(0)),
            sum((u.amount for u in billed), Decimal(0)),
        )
