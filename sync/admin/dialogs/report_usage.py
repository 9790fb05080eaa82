"""Report usage…: see what a run would send, confirm it, and watch a worker send exactly that."""

from dataclasses import replace

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview
from sync.admin.dialogs.plan_preview import preview_plan
from sync.admin.dialogs.sealed_preview import seal, unseal
from sync.admin.links import list_url
from sync.enqueue import enqueue_run
from sync.models import Customer, ReportRun, UsageReport
from sync.operations.preview_report import ReportPreview, preview_report
from sync.operations.report_request import ReportRequest
from sync.ports import InvalidInput
from sync.queries.planning import Scope
from sync.queries.waiting_reports import count_waiting, waiting_words
from sync.wiring import connect

TOO_OLD = "What you confirmed is out of date; this is the preview of now: look at it and confirm again."


class ReportUsage(Dialog):
    """A person sees the plan and confirms it; the run stops if it would send anything else."""

    name = "report"
    title = "Report usage"
    button = "Report usage…"
    icon = "send"
    submit = "Report"
    permission = "sync.report_usage"
    places = frozenset({Place.OBJECT, Place.SELECTION, Place.LIST})
    template = "sync/report_usage.html"
    sealed = ""
    """The preview that is shown, for the form to carry back."""
    plan: ReportPreview
    is_confirmed = False
    """Whether the preview is the one that came back from the person."""

    def scope(self) -> Scope:
        """Return what the chosen rows are; none means everything."""
        if not self.rows:
            return Scope()
        if isinstance(self.rows[0], Customer):
            return Scope(customer=self.rows[0].stripe_id)
        return Scope(subscriptions=tuple(row.stripe_id for row in self.rows))

    def description(self) -> str:
        """Say what will happen."""
        return (
            "A worker sends what is shown here to Stripe, which bills it. It plans once more before that and "
            "sends nothing if the units are not the ones that you confirmed."
        )

    def preview(self) -> Preview:
        """Show the plan; what comes back is what was shown, not a second plan."""
        scope, text = self.scope(), self.request.POST.get("preview", "")
        plan = unseal(text, scope=scope, who=self.who) if text else None
        self.is_confirmed = plan is not None
        if plan is None:
            connections = connect()
            plan = preview_report(
                scope=scope, source=connections.openmeter, rules=connections.rules, now=timezone.now()
            )
            text = seal(plan, scope=scope, who=self.who)
        self.plan, self.sealed = plan, text
        shown = _shown(plan, scope)
        if self.request.method == "POST" and not self.is_confirmed:
            shown = replace(shown, sentences=[TOO_OLD, *shown.sentences])
        return shown

    def act(self, form: forms.Form) -> Outcome:  # noqa: ARG002 - the reason goes into the log
        """Queue a run of what was confirmed, once."""
        if not self.is_confirmed:
            raise InvalidInput(TOO_OLD)
        twin = ReportRun.objects.filter(as_of=self.plan.as_of, requested_by=self.who).first()
        if twin:
            msg = f"You confirmed this already: run {twin.pk} carries it out."
            raise InvalidInput(msg)
        request = ReportRequest(
            scope=self.scope(),
            # What a person confirmed was planned from the mirror as it is.
            sync=False,
            as_of=self.plan.as_of,
            confirmed=self.plan.confirmed,
            shown=self.plan.shown,
            trigger=ReportRun.Trigger.ADMIN,
            requested_by=self.who,
        )
        run = enqueue_run(request.as_run(now=timezone.now()))
        return Outcome(
            message=f"Run {run.pk} was asked for.",
            about=[run],
            url=reverse("admin:sync_reportrun_change", args=(run.pk,)),
        )


class ReportEverything(ReportUsage):
    """The same for all customers, where no row can be chosen."""

    places = frozenset({Place.LIST})


class ReportCustomer(ReportUsage):
    """The same for one customer."""

    places = frozenset({Place.OBJECT})


def _shown(plan: ReportPreview, scope: Scope) -> Preview:
    if reason := _nothing_to_do(plan, scope):
        return Preview(sentences=[*plan.notes, *plan.errors], nothing_to_do=reason)
    return preview_plan(plan)


def _nothing_to_do(plan: ReportPreview, scope: Scope) -> str:
    if plan.nobody:
        return (
            "Nobody here is on a meter that the console reports: sync with Stripe, or run its set-up first."
        )
    if plan.standing:
        return "Everything that you chose is paused: nothing is reported until somebody resumes it."
    if plan.does_something:
        return ""
    if plan.errors:
        return "Nothing can be reported as it is; see above what stands in the way."
    if waiting := waiting_words(count_waiting(scope)):
        return format_html(
            "There is nothing new to send of what had closed by {} UTC. Not all of it is with Stripe: "
            '{} for a person. Decide on them under <a class="inward" href="{}">Reports</a>.',
            f"{plan.as_of:%H:%M}",
            waiting,
            list_url(UsageReport, waits="person"),
        )
    return (
        f"There is nothing to report: all that had closed by {plan.as_of:%H:%M} UTC was sent before, "
        "or a person decided not to send it."
    )
