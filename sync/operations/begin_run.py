"""Begin a run under the right key, or say why it cannot begin."""

from datetime import datetime

from sync.models import ReportRun, StripeAccount
from sync.operations.keep_run import begin_run, end_run
from sync.operations.pin_account import pin_account
from sync.ports import BillingGateway, Misconfigured, SyncError


def begin_checked_run(run: ReportRun, stripe: BillingGateway, *, now: datetime) -> None:
    """The run is running, and the key belongs to this database's account; raise `SyncError` otherwise.

    A wrong key is refused before anything is written. Where the run is stored already, or Stripe cannot be
    asked, the run has failed and says why. Raises `RunIsTaken` as `begin_run` does.
    """
    try:
        pin_account(stripe.account(), now=now)
    except SyncError as error:
        wrong_key = isinstance(error, Misconfigured)
        if run.pk or (StripeAccount.objects.exists() and not wrong_key):
            begin_run(run, now=now)
            end_run(run, status=ReportRun.Status.FAILED, error=str(error), now=now)
        raise
    begin_run(run, now=now)
