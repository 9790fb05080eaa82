"""Cancel…: a run stops soundly, and reporting of its scope may stand still afterwards."""

from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldBooleanSwitchWidget

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview, ReasonForm
from sync.models import Pause, ReportRun
from sync.operations.cancel_run import cancel_run
from sync.operations.pause_reporting import pause_scope
from sync.ports import InvalidInput
from sync.queries.pausable import pausable
from sync.queries.planning import Scope

GOES_ON = (ReportRun.Status.QUEUED, ReportRun.Status.RUNNING)
NAMED = 5
"""Customers that are named one by one; of more, the number says more."""


class CancelForm(ReasonForm):
    """Asks why, and whether its scope should stand still, too, where that is possible and allowed."""

    also_pause = forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget)

    def __init__(self, *args: Any, standstill: str, **kwargs: Any) -> None:
        """`standstill` names what would be paused, too; without it, nothing is offered."""
        super().__init__(*args, **kwargs)
        if not standstill:
            del self.fields["also_pause"]
            return
        self.fields["also_pause"].label = f"Also pause reporting of {standstill}"
        self.fields[
            "also_pause"
        ].help_text = "Otherwise the next run, which may be a scheduled one, sends what this one leaves."


class CancelRun(Dialog):
    """A person stops a run that is queued or going on."""

    name = "cancel"
    title = "Cancel run"
    button = "Cancel run…"
    icon = "stop_circle"
    submit = "Cancel the run"
    permission = "sync.cancel_reportrun"
    places = frozenset({Place.OBJECT})
    form_class = CancelForm
    dangerous = True

    @classmethod
    def why_not(cls, row: ReportRun) -> str:
        """Only what goes on can be stopped."""
        if row.status not in GOES_ON:
            return f"Run {row.pk} is over already: it ended {row.status}."
        if row.cancel_asked_at:
            return f"Run {row.pk} was asked to stop already, by {row.cancel_asked_by}; it does so soon."
        return ""

    def description(self) -> str:
        """Say what will happen."""
        return (
            "A queued run never begins. A running one stops within seconds: calls to Stripe that are under "
            "way end first, what was sent stays in the ledger, and what was planned stays pending."
        )

    def form_kwargs(self) -> dict[str, Any]:
        """Offer a pause to those who may pause."""
        may_pause = self.request.user.has_perm("sync.pause_reporting")
        return {"standstill": self._standstill() if may_pause else ""}

    def preview(self) -> Preview:
        """Say how far it is."""
        return Preview(sentences=[f"Run {run.pk} is {run.status}{_step_of(run)}." for run in self.rows])

    def act(self, form: forms.Form) -> Outcome:
        """Cancel it, and pause its scope where that was asked for."""
        run, why, now = self.rows[0], form.cleaned_data["why"], timezone.now()
        run = cancel_run(run_id=run.pk, why=why, who=self.who, now=now)
        pauses: list[Pause] = []
        warnings = []
        if form.cleaned_data.get("also_pause"):
            try:
                pauses = pause_scope(scope=Scope.stored(run.scope), why=why, who=self.who, now=now)
            except InvalidInput as error:
                warnings.append(str(error))
        over = run.status == ReportRun.Status.CANCELLED
        message = f"Run {run.pk} is cancelled." if over else f"Run {run.pk} was asked to stop."
        if pauses:
            message += f" Reporting of {self._standstill()} is paused."
        return Outcome(message=message, about=[run, *pauses], warnings=warnings)

    def _standstill(self) -> str:
        """Return what would be paused, for people, or "" where a pause makes no sense."""
        if not self.rows or self.rows[0].kind != ReportRun.Kind.REPORT:
            return ""
        try:
            targets = pausable(Scope.stored(self.rows[0].scope))
        except InvalidInput:
            return ""
        if len(targets) > NAMED:
            return f"the {len(targets)} customers of its subscriptions"
        return ", ".join(target.words for target in targets)


def _step_of(run: ReportRun) -> str:
    if not run.steps:
        return ""
    step = run.steps[-1]
    return f": {step['name']}, {step['done']:,}" + (f" of {step['total']:,}" if step["total"] else "")
