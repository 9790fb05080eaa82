"""How the plan of a run is shown before anybody confirms it."""

from sync.admin.dialogs.dialog import Preview
from sync.admin.formats import NOTHING, money, units, when
from sync.models import UsageReport
from sync.operations.preview_report import PreviewLine, ReportPreview


def preview_plan(plan: ReportPreview) -> Preview:
    """Return the dearest lines, the totals of all, and what is at stake."""
    return Preview(
        sentences=[*_summary(plan), *plan.notes, *plan.errors],
        headers=("customer", "meter", "from", "to", "units", "estimated amount"),
        rows=[_row(line) for line in plan.lines],
        more=plan.more,
        stake=plan.stake,
        facts=sorted(plan.confirmed.items()),
    )


def _row(line: PreviewLine) -> list[str]:
    return [
        line.customer,
        line.meter,
        when(line.start),
        when(line.end),
        units(line.units),
        " + ".join(money(amount) for amount in line.amounts) or NOTHING,
    ]


def _summary(plan: ReportPreview) -> list[str]:
    """Return what all lines add up to, and what will not be sent at once."""
    sentences = []
    if plan.lines:
        totals = ", ".join(f"{units(amount)} {meter}" for meter, amount in plan.units.items())
        who = "1 customer" if plan.customers == 1 else f"{plan.customers:,} customers"
        worth = "amounts are estimates by the prices' tiers, before taxes and discounts"
        if not plan.amounts:
            worth = "no price is known for it, so nobody can say what it is worth"
        sentences.append(f"In total {totals} of {who}; {worth}.")
    else:
        sentences.append("Nothing would be sent to Stripe at once.")
    if plan.due:
        was = "1 report was" if plan.due == 1 else f"{plan.due:,} reports were"
        sentences.append(f"{was} planned by earlier runs and not sent yet; they are part of this.")
    if plan.in_doubt:
        may = "1 report" if plan.in_doubt == 1 else f"{plan.in_doubt:,} reports"
        sentences.append(
            f"{may} may have reached Stripe already and would be sent once more under the same name, which "
            "Stripe bills once; the amounts take it as billed."
        )
    for status, count in sorted(plan.aside.items()):
        word = UsageReport.Status(status).word
        sentences.append(
            f"Beside this, {count:,} would be kept as {word} for a person to decide, and not be sent."
        )
    return sentences
