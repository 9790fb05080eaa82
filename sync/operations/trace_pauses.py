"""Find out from Stripe's events since when subscriptions are paused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.domain.pauses import PauseSource
from sync.domain.statuses import PAUSED
from sync.models import SubscriptionPause
from sync.ports import Misconfigured, StripeSubscription


@dataclass(slots=True)
class PauseTrace:
    """What events say to one sync; listed once, and again where that does not reach back far enough."""

    _since: datetime | None = None
    _found: dict[str, datetime] = field(default_factory=dict)
    _is_refused: bool = False

    def begun(
        self, shown: Sequence[StripeSubscription], *, stripe: PauseSource, fetched_at: datetime
    ) -> Mapping[str, datetime]:
        """Return when subscriptions were paused that are so after a trial, and were not known to be.

        Only then it is in doubt: a trial that ends without a card pauses its subscription, but it may have
        gone on and been paused later. Whom events do not name is missing. One query. Nothing is found where
        the key may not read events.
        """
        paused = {
            one.id: one.trial_end
            for one in shown
            if one.status == PAUSED and one.trial_end and one.trial_end < fetched_at
        }
        if not paused or self._is_refused:
            return {}
        known = SubscriptionPause.objects.filter(subscription__stripe_id__in=paused, end=None)
        for stripe_id in known.values_list("subscription__stripe_id", flat=True):
            del paused[stripe_id]
        if paused:
            self._read(min(paused.values()), stripe)
        return {one: self._found[one] for one in paused if one in self._found}

    def _read(self, since: datetime, stripe: PauseSource) -> None:
        if self._since is not None and since >= self._since:
            return
        found: dict[str, datetime] = {}
        try:
            for page in stripe.pauses_begun(since=since):
                for one in page:
                    found.setdefault(one.subscription, one.at)
        except Misconfigured:
            # A key that may not read events: a pause is taken to have begun with the end of its trial.
            self._is_refused = True
        self._found, self._since = found, since
