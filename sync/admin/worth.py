"""What reports are worth, as pages and files show it."""

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.admin.formats import amounts
from sync.models import UsageReport
from sync.queries.report_worth import ReportWorth, Worth

DEPENDS = (
    "An estimate: the price has tiers or packages, so what one report costs depends on all usage of its "
    "period. This is by how much the bill is higher with it."
)


def price(rows: Sequence[UsageReport], worth: ReportWorth) -> None:
    """Every row knows what it is worth, for its columns."""
    for row, worth_of_row in zip(rows, worth.of(rows), strict=True):
        row.worth = worth_of_row  # type: ignore[attr-defined] # for columns only


def amount_cell(report: UsageReport) -> str | SafeString:
    """Return the amount, with a ≈ and the reason on hover where it is no more than an estimate."""
    worth = _worth(report)
    if not worth.is_estimate:
        return amounts(worth.money)
    return format_html('<span class="nowrap" title="{}">≈ {}</span>', DEPENDS, amounts(worth.money))


def amount_sentence(report: UsageReport) -> str:
    """Return the amount, and how far it is an estimate."""
    worth = _worth(report)
    return f"≈ {amounts(worth.money)}. {DEPENDS}" if worth.is_estimate else amounts(worth.money)


def _worth(report: UsageReport) -> Worth:
    if not hasattr(report, "worth"):
        price([report], ReportWorth())
    worth: Worth = report.worth  # type: ignore[attr-defined] # set by price()
    return worth
