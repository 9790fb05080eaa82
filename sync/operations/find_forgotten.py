"""Find slices of which a ledger that was put back had sent more than it knows: it had carried usage."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sync.domain.accounts import account_of
from sync.domain.closings import outlook
from sync.domain.comparison import Comparison
from sync.domain.identifiers import report_identifier
from sync.domain.quantities import exact_add, measurement_of
from sync.domain.slices import Slice, claimed_span
from sync.models import Enrolment, ReportRun, UsageReport
from sync.operations.revise_report import revised

NOTHING = Decimal(0)
Key = tuple[int, datetime]
"""An enrolment (local id) and the start of a slice."""


def find_forgotten(
    late: Sequence[UsageReport],
    slices: Mapping[int, Sequence[Slice]],
    found: Mapping[int, Comparison],
    *,
    now: datetime,
) -> list[UsageReport]:
    """Return, unsaved, a further revision that changes nothing of each slice that differs from Stripe.

    Of the enrolments of these late reports (loaded with enrolment, meter, customer and run), by local id.
    Slices that wait for something are left out: their own reports are looked at. One query.
    """
    enrolments = {row.enrolment_id: (row.enrolment, row.run) for row in late}
    differing = {
        (pk, piece.span.start): piece
        for pk, (enrolment, _run) in enrolments.items()
        for piece in slices.get(pk, ())
        if not found[pk].within(claimed_span(piece.span, sets_hours=enrolment.meter.sets_hours)).agrees
    }
    rows = _rows(differing)
    return [
        made
        for key, piece in differing.items()
        if (made := _unchanged(piece, rows[key], *enrolments[key[0]], now=now))
    ]


def _rows(keys: Collection[Key]) -> Mapping[Key, list[UsageReport]]:
    """Return all revisions of these slices, in order."""
    by_slice: dict[Key, list[UsageReport]] = defaultdict(list)
    rows = UsageReport.objects.filter(
        enrolment__in={pk for pk, _start in keys}, slice_start__in={start for _pk, start in keys}
    )
    for row in rows.order_by("revision") if keys else ():
        by_slice[row.enrolment_id, row.slice_start].append(row)
    return by_slice


def _unchanged(
    piece: Slice, rows: Sequence[UsageReport], enrolment: Enrolment, run: ReportRun, *, now: datetime
) -> UsageReport | None:
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    if any(row.status in UsageReport.UNSETTLED for row in standing):
        return None
    if not standing:
        return _first(piece, enrolment, run, revision=rows[-1].revision + 1 if rows else 1, now=now)
    newest, sets_hours = standing[-1], enrolment.meter.sets_hours
    newest.enrolment = enrolment
    account = account_of(standing, sets_hours=sets_hours)
    quantity = exact_add(account.accounted, account.written_off)
    return revised(
        newest,
        rows[-1].revision + 1,
        measured=measurement_of(exact_add(quantity, -newest.carried), scale=enrolment.meter.scale),
        quantity=quantity,
        value=account.accounted if sets_hours else NOTHING,
        run=run,
        now=now,
    )


def _first(
    piece: Slice, enrolment: Enrolment, run: ReportRun, *, revision: int, now: datetime
) -> UsageReport:
    return UsageReport(
        enrolment=enrolment,
        slice_start=piece.span.start,
        slice_end=piece.span.end,
        revision=revision,
        measured=NOTHING,
        quantity=NOTHING,
        value=NOTHING,
        event_at=piece.event_at,
        closes_at=outlook(piece.closings, event_at=piece.event_at, now=now).closes_at,
        identifier=report_identifier(
            meter_id=enrolment.meter.stripe_id,
            customer_id=enrolment.customer.stripe_id,
            slice_start=piece.span.start,
            revision=revision,
        ),
        run=run,
        created_at=now,
    )
