"""Carry forward…: late usage is billed in an open period."""

from collections.abc import Sequence
from datetime import datetime

from django import forms
from django.utils import timezone

from sync.admin.dialogs.decide_reports import MOST_SHOWN, DecideReports
from sync.admin.dialogs.dialog import Outcome, Preview
from sync.admin.formats import NOTHING, amounts, from_to, units, wrapped
from sync.admin.links import report_usage_sentence
from sync.domain.stake import Movement, stake_of
from sync.models import UsageReport
from sync.operations.carry_report import carry_report
from sync.operations.check_first_deliveries import compare_late
from sync.operations.plan_carry import CarryPlan, plan_carries
from sync.ports import InvalidInput
from sync.wiring import connect


class CarryReport(DecideReports):
    """A person bills late usage in the period that is open now."""

    name = "carry"
    title = "Carry late reports forward"
    button = "Carry forward…"
    icon = "redo"
    submit = "Carry forward"
    permission = "sync.carry_usagereport"
    past = "Carried forward"
    waiting = frozenset({UsageReport.Status.LATE})
    instead = "only late reports are carried forward."
    sends = False
    atomic = False

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Their billing period has closed, so Stripe would put them on no invoice. Their units are added "
            "to the first hour of the period that is open now, at its prices, and the next run "
            "sends them. A period does not go below zero: what cannot be taken off stays late. Stripe is "
            "asked once more before whether it holds them already."
        )

    def preview(self) -> Preview:
        """Show what each comes to in its own period and in the open one."""
        planned = list(zip(self.rows, plan_carries(self.rows, now=timezone.now()), strict=True))
        plans = [plan for _row, plan in planned if isinstance(plan, CarryPlan)]
        return Preview(
            headers=(
                "report",
                "customer",
                "meter",
                "used",
                "units",
                "then",
                "goes into",
                "now",
                "stays late",
            ),
            rows=[_line(row, plan) for row, plan in planned[:MOST_SHOWN]],
            more=max(len(planned) - MOST_SHOWN, 0),
            nothing_to_do="" if plans else "Nothing of this can be carried forward now; the table says why.",
            facts=[_facts(plan) for _row, plan in planned],
            stake=stake_of(
                Movement(plan.report.enrolment.meter.slug, plan.carried, plan.amounts_now) for plan in plans
            ),
        )

    def act(self, form: forms.Form) -> Outcome:
        """Ask Stripe once more what it holds, then carry each."""
        compare_late([row.pk for row in self.rows], source=connect().stripe, clock=timezone.now)
        return super().act(form)

    def decide(self, row: UsageReport, *, why: str, now: datetime) -> Sequence[UsageReport]:
        """Its units go out with an open hour."""
        return [row, carry_report(report_id=row.pk, why=why, who=self.who, run=None, now=now)]

    def next_step(self) -> str:
        """Offer not to wait for the schedule."""
        return report_usage_sentence(self.request)


def _line(row: UsageReport, plan: CarryPlan | InvalidInput) -> Sequence[object]:
    of = (row.pk, row.enrolment.customer.label, row.enrolment.meter.slug)
    used = from_to(row.slice_start, row.slice_end)
    if isinstance(plan, InvalidInput):
        return (*of, used, units(row.value), NOTHING, wrapped(str(plan)), NOTHING, NOTHING)
    piece = plan.target.piece.span
    return (
        *of,
        used,
        units(plan.carried + plan.rest),
        amounts(plan.amounts_then),
        from_to(piece.start, piece.end),
        amounts(plan.amounts_now),
        units(plan.rest) if plan.rest else NOTHING,
    )


def _facts(plan: CarryPlan | InvalidInput) -> object:
    """Return what a person agreed to; which of the open hours takes it along does not matter."""
    if isinstance(plan, InvalidInput):
        return str(plan)
    return (units(plan.carried), units(plan.rest), amounts(plan.amounts_then), amounts(plan.amounts_now))
