"""Put before people what Stripe refused without saying which reports it was."""

from collections.abc import Sequence
from datetime import datetime

from sync.domain.notices import ErrorReport
from sync.models import Finding, StripeNotice
from sync.operations.record_findings import FoundIssue, record_findings

Kind = Finding.Kind.REFUSED_UNNAMED
MOST_SHOWN = 3


def show_unnamed(notice: StripeNotice, report: ErrorReport, *, unnamed: int, now: datetime) -> None:
    """A finding says how many refused events are not known by name; none is open where that is nobody."""
    if unnamed <= 0:
        end_unnamed(notice, resolution="Stripe said which they were.", now=now)
        return
    what = f"of meter {notice.meter.event_name}" if notice.meter else "of a meter that it does not know"
    codes = ", ".join(sorted({one.code for one in report.counts if one.code})) or "no code given"
    _show(
        notice,
        f"Stripe refused events {what} that it had taken{_when(report)} ({codes}), and {unnamed} of them "
        f"{'is' if unnamed == 1 else 'are'} not known to this ledger by name. What was sent shortly before "
        "may not be billed: compare it with the usage that Stripe shows for the meter.",
        now=now,
    )


def show_unexplained(notice: StripeNotice, lacking: Sequence[str], *, now: datetime) -> None:
    """The finding about the notice says what Stripe lacks, as nobody can tell which reports that is."""
    more = f", and {len(lacking) - MOST_SHOWN} more" if len(lacking) > MOST_SHOWN else ""
    _show(
        notice,
        "Stripe refused events that it had taken without naming them all, and its totals do not tell which: "
        f"{'; '.join(lacking[:MOST_SHOWN])}{more}. Compare all sides, and report again what is missing.",
        now=now,
    )


def end_unnamed(notice: StripeNotice, *, resolution: str, now: datetime) -> None:
    """No finding about the notice is open."""
    Finding.objects.filter(kind=Kind, fingerprint=_fingerprint(notice), resolved_at=None).update(
        resolved_at=now, resolution=resolution
    )


def show_unread(notice: StripeNotice, why: str, *, now: datetime) -> None:
    """A finding says that Stripe refused something, and that it cannot be known what."""
    _show(
        notice,
        f"On {notice.created_at:%Y-%m-%d %H:%M} UTC Stripe told of events that it had refused after it took "
        f"them, and which they are cannot be read: {why} What was sent shortly before may not be billed.",
        now=now,
    )


def _show(notice: StripeNotice, message: str, *, now: datetime) -> None:
    issue = FoundIssue(kind=Kind, fingerprint=_fingerprint(notice), message=message, meter_id=notice.meter_id)
    record_findings([issue], now=now)


def _fingerprint(notice: StripeNotice) -> str:
    return f"notice:{notice.event_id}"[:255]


def _when(report: ErrorReport) -> str:
    if not (report.validation_start and report.validation_end):
        return ""
    start, end = report.validation_start, report.validation_end
    return f" when it looked between {start:%Y-%m-%d %H:%M:%S} and {end:%H:%M:%S} UTC"
