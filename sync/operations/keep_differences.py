"""Store what a reconciliation found, and put it before people."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from sync.domain.quantities import as_text, exact_sum
from sync.domain.reconciliation import Cause
from sync.models import BillingPeriod, Customer, Difference, Finding, Meter, ReconciledDay, Reconciliation
from sync.operations.reconcile_meter import Found, ReconciledMeter
from sync.operations.record_findings import FoundIssue, period_fingerprint, record_findings, resolve_absent

KEPT = timedelta(days=400)
"""How long days and differences are kept: as long as anybody argues about an invoice."""
MOST_NAMED = 3

KINDS: Mapping[Cause, Finding.Kind] = {
    Cause.CHANGED: Finding.Kind.MEASURED_OTHERWISE,
    Cause.NO_CUSTOMER: Finding.Kind.WITHOUT_CUSTOMER,
    Cause.NO_SUBSCRIPTION: Finding.Kind.WITHOUT_SUBSCRIPTION,
    Cause.TRIAL: Finding.Kind.NOT_BILLABLE,
    Cause.PAUSED: Finding.Kind.NOT_BILLABLE,
    Cause.NOT_OURS: Finding.Kind.NOT_BILLABLE,
    Cause.MISSING: Finding.Kind.MISSING_AT_STRIPE,
    Cause.SURPLUS: Finding.Kind.SURPLUS_AT_STRIPE,
}
"""Of the other causes there is a finding already: what waits for a person, and each invoice by itself."""


def keep_meter(kept: Reconciliation, result: ReconciledMeter, invoices: Sequence[Found]) -> None:
    """A meter's days and differences are stored."""
    with transaction.atomic():
        ReconciledDay.objects.bulk_create(
            [
                ReconciledDay(
                    reconciliation=kept,
                    meter=result.meter,
                    day=start.date(),
                    used=sides.used,
                    measured=sides.measured,
                    told=sides.told,
                    held=sides.held,
                )
                for start, sides in sorted(result.days.items())
            ],
            batch_size=500,
        )
        Difference.objects.bulk_create(
            [_row(kept, result.meter, one) for one in (*result.found, *invoices)], batch_size=500
        )


def _row(kept: Reconciliation, meter: Meter, one: Found) -> Difference:
    return Difference(
        reconciliation=kept,
        meter=meter,
        customer_id=one.customer_id,
        subject=one.subject,
        day=one.day.date() if one.day else None,
        period_id=one.period_id,
        cause=one.cause.value,
        units=one.units,
        detail=one.detail,
    )


def issues_of(meter: Meter, found: Iterable[Found]) -> list[FoundIssue]:
    """Return one matter for each cause that people should know of: how much it is, and whose."""
    by_cause: dict[Cause, list[Found]] = defaultdict(list)
    for one in found:
        if one.cause in KINDS:
            by_cause[one.cause].append(one)
    names = dict(
        Customer.objects.filter(
            pk__in={
                pk
                for cause in by_cause
                for pk, _units in _most(by_cause[cause])[:MOST_NAMED]
                if isinstance(pk, int)
            }
        ).values_list("pk", "stripe_id")
    )
    return [
        FoundIssue(
            kind=KINDS[cause],
            fingerprint=f"{meter.stripe_id}:{cause.value}",
            message=_sentence(meter, cause, rows, names),
            meter_id=meter.pk,
        )
        for cause, rows in by_cause.items()
    ]


def _most(rows: Sequence[Found]) -> list[tuple[int | str, Decimal]]:
    """Return whose units they are, most first."""
    sums: dict[int | str, list[Decimal]] = defaultdict(list)
    for one in rows:
        sums[one.customer_id or one.subject].append(abs(one.units))
    return sorted(((who, exact_sum(units)) for who, units in sums.items()), key=lambda pair: -pair[1])


def _sentence(meter: Meter, cause: Cause, rows: Sequence[Found], names: Mapping[int, str]) -> str:
    most = _most(rows)
    total = as_text(exact_sum([units for _who, units in most]))
    whose = ", ".join(
        f"{names.get(who, who) if isinstance(who, int) else who} ({as_text(units)})"
        for who, units in most[:MOST_NAMED]
    )
    more = f" and {len(most) - MOST_NAMED} more" if len(most) > MOST_NAMED else ""
    days = sorted({one.day for one in rows if one.day})
    when = (
        f", on {len(days)} {'day' if len(days) == 1 else 'days'} from {days[0]:%Y-%m-%d} on" if days else ""
    )
    return f"{cause.words}: {total} units of {meter.slug}{when}, of {whose}{more}. See Reconciliations."


def record_invoices(
    meter: Meter, checked: Sequence[tuple[BillingPeriod, Found | None]], *, now: datetime
) -> int:
    """Each period whose invoice differs has a finding, unless a person resolved just that; return how many.

    Those of periods that agree now are resolved.
    """
    fingerprints = [period_fingerprint(period) for period, _found in checked]
    known = Finding.objects.filter(
        kind=Finding.Kind.INVOICE_DIFFERS, fingerprint__in=fingerprints, resolved_at__isnull=False
    )
    settled = set(known.values_list("fingerprint", "message"))
    agreeing = [period_fingerprint(period) for period, found in checked if found is None]
    Finding.objects.filter(
        kind=Finding.Kind.INVOICE_DIFFERS, fingerprint__in=agreeing, resolved_at=None
    ).update(resolved_at=now, resolution="The invoice bills what was reported.")
    issues = [
        FoundIssue(
            kind=Finding.Kind.INVOICE_DIFFERS,
            fingerprint=period_fingerprint(period),
            message=found.detail,
            customer_id=found.customer_id,
            meter_id=meter.pk,
            item_id=period.item_id,
        )
        for period, found in checked
        if found and (period_fingerprint(period), found.detail) not in settled
    ]
    return record_findings(issues, now=now)


def record_differences(
    issues: Sequence[FoundIssue], *, meters: Collection[Meter], with_stripe: bool, now: datetime
) -> int:
    """Each matter has an open finding, and what a complete look at these meters did not see again has none.

    Where Stripe did not answer, nothing is said of what it lacks. Return how many are new.
    """
    new = record_findings(issues, now=now)
    of_stripe = {Cause.MISSING, Cause.SURPLUS}
    kinds = {kind for cause, kind in KINDS.items() if with_stripe or cause not in of_stripe}
    others = Finding.objects.filter(resolved_at=None, kind__in=kinds).exclude(meter__in=meters)
    unseen = [
        FoundIssue(kind=Finding.Kind(kind), fingerprint=fingerprint, message="")
        for kind, fingerprint in others.values_list("kind", "fingerprint")
    ]
    resolve_absent(sorted(kinds), seen=[*issues, *unseen], now=now)
    return new


def forget_old(*, now: datetime) -> None:
    """Days and differences that nobody asks for any more are gone; the runs that found them stay."""
    Reconciliation.objects.filter(run__queued_at__lt=now - KEPT).delete()
