"""By how much reports move what Stripe bills."""

from collections.abc import Sequence
from decimal import Decimal

from sync.domain.pricing import Money
from sync.domain.stake import Movement
from sync.models import UsageReport
from sync.queries.amounts import UnitMove, amounts_of
from sync.queries.report_lines import held_before


def moves_of(reports: Sequence[UsageReport]) -> list[UnitMove]:
    """Return what each report adds to what Stripe holds once it is sent; below zero takes away.

    Where one value stands for an hour, that is the difference to the value sent before. One query more
    where there are such reports; the reports' enrolments and meters should be loaded.
    """
    held = held_before([report for report in reports if report.enrolment.meter.sets_hours])
    return [
        UnitMove(
            enrolment_id=report.enrolment_id,
            at=report.event_at,
            units=report.value - held.get(report.pk, Decimal(0)),
        )
        for report in reports
    ]


def amounts_of_reports(reports: Sequence[UsageReport]) -> list[Sequence[Money]]:
    """Return what each report adds to its customer's bill, one amount per currency; empty: unknown."""
    return amounts_of(moves_of(reports))


def movements_of_reports(reports: Sequence[UsageReport]) -> list[Movement]:
    """Return what each report adds to its customer's bill, in units and money."""
    moves = moves_of(reports)
    return [
        Movement(report.enrolment.meter.slug, move.units, amounts)
        for report, move, amounts in zip(reports, moves, amounts_of(moves), strict=True)
    ]
