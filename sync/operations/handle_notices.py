"""Work on what Stripe told by webhook: read again what changed, take back what was refused."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, QuerySet

from sync.domain.changes import StripeEvent
from sync.domain.notices import REFUSALS
from sync.models import StripeAccount, StripeNotice
from sync.operations.keep_notice import forget_old_notices
from sync.operations.pin_account import pin_account
from sync.operations.read_changes import read_told
from sync.operations.show_unnamed import show_unread
from sync.operations.take_back import take_back
from sync.ports import BillingGateway, NotFound, SyncError, UsageSource
from sync.queries.waiting_notices import due_notices

logger = logging.getLogger("sync.notices")

BATCH = 200
"""Notices that are taken at once; what they are about is read one by one."""
CLAIM = timedelta(minutes=10)
"""So long nobody else takes what somebody has taken; reading a batch takes well under a minute."""
LOOK_AGAIN = timedelta(minutes=2)
"""After this a notice is looked at again that names a report which is being sent, or is to be planned."""
SHOWN_AFTER = 2
"""So often reading what Stripe refused may fail before people are told that it did."""
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """How many notices were handled, and how many have to be tried again."""

    done: int = 0
    left: int = 0


def handle_notices(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    invoice_grace: timedelta,
    clock: Callable[[], datetime],
    time_is_up: Callable[[], bool] = lambda: False,
    refusals_only: bool = False,
) -> Handled:
    """Every notice that was due is handled, or says why not and when it is tried again.

    Before the first sync has tied this database to an account, all of them wait. Raises `Misconfigured` for
    the key of another account. Safe to repeat and to run twice at once: what a notice leads to may be done
    any number of times, and two workers take different ones.
    """
    forget_old_notices(now=clock())
    done = left = 0
    due = partial(due_notices, refusals_only=refusals_only)
    if not due(now=clock()).exists() or not StripeAccount.objects.exists():
        return Handled()
    pin_account(stripe.account(), now=clock())
    handling = _Handling(stripe=stripe, openmeter=openmeter, invoice_grace=invoice_grace, clock=clock)
    while not time_is_up() and (taken := _take(due(now=clock()), now=clock())):
        for group in _groups(taken):
            if handling.handle(group):
                done += len(group)
            else:
                left += len(group)
    return Handled(done=done, left=left)


def _take(due: QuerySet[StripeNotice], *, now: datetime) -> list[StripeNotice]:
    """Return notices that nobody else takes for a while; each time as it stood before."""
    with transaction.atomic():
        taken = list(due.select_for_update(of=("self",))[:BATCH])
        StripeNotice.objects.filter(pk__in=[one.pk for one in taken]).update(next_attempt_at=now + CLAIM)
    return taken


def _groups(taken: Sequence[StripeNotice]) -> list[list[StripeNotice]]:
    """Return what may be worked on together: what failed before must not keep others from being done."""
    together = [one for one in taken if one.type not in REFUSALS and not one.attempts]
    alone = [[one] for one in taken if one.type in REFUSALS or one.attempts]
    return [*([together] if together else []), *alone]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handling:
    stripe: BillingGateway
    openmeter: UsageSource
    invoice_grace: timedelta
    clock: Callable[[], datetime]

    def handle(self, group: Sequence[StripeNotice]) -> bool:
        """These notices are handled, or are tried again later; return which."""
        try:
            if group[0].type in REFUSALS:
                return self._take_back(group[0])
            self._read([self._as_told(one) for one in group])
        except SyncError as error:
            self._try_again(group, str(error))
            return False
        except Exception as error:
            # Whatever nobody thought of must not keep the other notices from being worked on.
            logger.exception("notice.failed")
            self._try_again(group, f"It stopped unexpectedly ({type(error).__name__}).")
            return False
        _finish(group, "Read again.", now=self.clock())
        return True

    def _read(self, told: list[StripeEvent]) -> None:
        read_told(
            told,
            stripe=self.stripe,
            openmeter=self.openmeter,
            clock=self.clock,
            invoice_grace=self.invoice_grace,
        )

    @staticmethod
    def _as_told(notice: StripeNotice) -> StripeEvent:
        """What is read after we were told shows the change, whatever Stripe's clock says."""
        return StripeEvent(
            id=notice.event_id,
            type=notice.type,
            created_at=notice.received_at,
            object_id=notice.object_id,
            object_kind=notice.object_kind,
        )

    def _take_back(self, notice: StripeNotice) -> bool:
        """What Stripe refused is refused in the ledger, too; the event itself is believed, not the notice."""
        try:
            report = self.stripe.error_report(notice.event_id)
        except NotFound:
            gone = "Stripe keeps this event no more: nothing is known of it."
            show_unread(notice, gone, now=self.clock())
            _finish([notice], gone, now=self.clock())
            return True
        if report.concerns_meter and report.meter_id:
            meter = StripeEvent(
                id=notice.event_id,
                type=notice.type,
                created_at=self.clock(),
                object_id=report.meter_id,
                object_kind="billing.meter",
            )
            self._read([meter])
        waits = take_back(notice, report, now=self.clock())
        if waits:
            StripeNotice.objects.filter(pk=notice.pk).update(
                next_attempt_at=self.clock() + LOOK_AGAIN, error=waits
            )
        return not waits

    def _try_again(self, group: Sequence[StripeNotice], why: str) -> None:
        now = self.clock()
        for one in group:
            if one.type in REFUSALS and one.attempts >= SHOWN_AFTER:
                show_unread(one, why, now=now)
        for attempts in {one.attempts for one in group}:
            pause = min(timedelta(minutes=1) * 2 ** min(attempts, 10), LONGEST_PAUSE)
            StripeNotice.objects.filter(
                pk__in=[one.pk for one in group if one.attempts == attempts], handled_at=None
            ).update(attempts=F("attempts") + 1, error=why, next_attempt_at=now + pause)


def _finish(group: Sequence[StripeNotice], outcome: str, *, now: datetime) -> None:
    StripeNotice.objects.filter(pk__in=[one.pk for one in group], handled_at=None).update(
        handled_at=now, next_attempt_at=None, outcome=outcome, error=""
    )
