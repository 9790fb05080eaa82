"""From when on everything that bills an enrolment is open: what lies before is closed, or about to be."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sync.domain.periods import BilledItem, Period
from sync.domain.statuses import BILLABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPeriods:
    """`since` is when the youngest period that still goes on began; None where nothing was ever billed."""

    since: datetime | None
    unread: tuple[str, ...] = ()
    """Items (their ids) that go on and whose period of now nobody has read from Stripe yet."""


def open_periods(items: Iterable[BilledItem], *, report_from: datetime | None, now: datetime) -> OpenPeriods:
    """Return from when on no period of these items is over, and each of them bills.

    A period that is over does not count as open although its invoice may still be a draft: somebody may be
    looking at it, and what has to be taken off would race with its end. Where an item came later than its
    period began, or `report_from` says that earlier usage is not ours, it is open from then on.
    """
    bounds: list[datetime] = []
    unread: list[str] = []
    for item in items:
        if item.status not in BILLABLE:
            continue
        begin = max(item.starts_at, report_from) if report_from else item.starts_at
        spans = [_billed(period, begin, item.ends_at) for period in item.periods]
        bounds += [start if now < end else end for start, end in spans if start < end and start <= now]
        goes_on = item.starts_at <= now and (item.ends_at is None or now < item.ends_at)
        if goes_on and not any(start <= now < end for start, end in spans):
            unread.append(item.id)
    return OpenPeriods(since=max(bounds, default=None), unread=tuple(unread))


def _billed(period: Period, begin: datetime, ends_at: datetime | None) -> tuple[datetime, datetime]:
    end = min(period.span.end, ends_at) if ends_at else period.span.end
    return max(period.span.start, begin), end
