"""What each report is worth: its part of its customer's bill."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sync.domain.pricing import Money
from sync.models import UsageReport
from sync.queries.amounts import UnitMove, bills_of, total
from sync.queries.held_units import Asked
from sync.queries.report_moves import moves_of

Status = UsageReport.Status
SPOKEN_FOR = frozenset({Status.SUPERSEDED, Status.REPLACED, Status.CARRIED})
"""Another report bills their usage, so they are worth nothing themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What a report adds to its customer's bill, or would add if it were sent, before taxes and discounts."""

    money: Sequence[Money] = ()
    """One amount per currency; empty where no price is known, or another report bills the usage."""
    is_estimate: bool = False
    """Whether it depends on what else was used in the period, because the price has tiers or packages."""


@dataclass(slots=True)
class ReportWorth:
    """Prices reports, page after page, and remembers what their periods stand at meanwhile."""

    _known: dict[Asked, Decimal] = field(default_factory=dict)

    def of(self, reports: Sequence[UsageReport]) -> list[Worth]:
        """Return what each is worth, in their order; a constant number of queries.

        Each is priced as the last of its period: by how much the bill is higher with it, beside all that
        Stripe holds or will hold. The reports' enrolments and meters should be loaded.
        """
        moves = moves_of(reports)
        bills = bills_of(moves, known=self._known)
        found = []
        for report, move in zip(reports, moves, strict=True):
            over = [] if report.status in SPOKEN_FOR else bills[move.enrolment_id]
            over = [bill for bill in over if bill.span.start <= move.at < bill.span.end]
            found.append(
                Worth(
                    money=total(
                        [[bill.terms.difference(**_from_to(bill.units, report, move))] for bill in over]
                    ),
                    is_estimate=any(not bill.terms.is_linear for bill in over),
                )
            )
        return found


def _from_to(units: Decimal, report: UsageReport, move: UnitMove) -> dict[str, Decimal]:
    """Return what the bill comes to without the report, and with it; `units` are what it stands at."""
    # Where every unit costs the same nobody looked what it stands at.
    before = max(units - move.units, Decimal(0)) if _is_counted(report) else units
    return {"before": before, "after": before + move.units}


def _is_counted(report: UsageReport) -> bool:
    """Whether what Stripe holds or will hold counts it already: `held_units.GOES_TO_STRIPE`."""
    if report.status == Status.UNKNOWN:
        return report.next_attempt_at is not None
    return report.status in {Status.DELIVERED, Status.PENDING, Status.SENDING}
