"""Compare all sides…: a worker holds OpenMeter, the ledger, Stripe and its invoices against each other."""

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.admin.dialogs.dialog import Dialog, DialogForm, Outcome, Place, Preview
from sync.admin.dialogs.reason import ReasonField
from sync.admin.formats import when
from sync.enqueue import enqueue_run
from sync.models import ReportRun
from sync.operations.reconcile_usage import ReconcileRequest

Status = ReportRun.Status


class CompareForm(DialogForm):
    """Asks whose totals are read from Stripe, and why."""

    every_customer = forms.BooleanField(
        label="Ask Stripe about every customer",
        required=False,
        help_text="Also about those who used nothing and have no reports: a call for each of them, which "
        "finds what others report to Stripe.",
    )
    why = ReasonField()


class CompareSides(Dialog):
    """A person wants to know now whether all sides say the same."""

    name = "compare"
    title = "Compare all sides"
    button = "Compare all sides…"
    icon = "balance"
    submit = "Compare"
    permission = "sync.reconcile_usage"
    places = frozenset({Place.LIST})
    form_class = CompareForm

    def description(self) -> str:
        """Say what will happen."""
        return (
            "A worker reads from OpenMeter what was used and from Stripe what it holds, over 35 days, "
            "and holds both and the final invoices against the ledger. Nothing is planned or sent."
        )

    def preview(self) -> Preview:
        """Say when that was done last, or that it is being done."""
        runs = ReportRun.objects.filter(kind=ReportRun.Kind.RECONCILE)
        going_on = runs.filter(status__in=(Status.QUEUED, Status.RUNNING)).first()
        if going_on:
            return Preview(nothing_to_do=_link(going_on, "is doing this already; you can watch it."))
        last = runs.filter(status__in=(Status.SUCCEEDED, Status.PARTIAL)).first()
        if last is None:
            return Preview(sentences=["This was never done before."])
        return Preview(sentences=[_link(last, format_html("did this last, {}.", when(last.finished_at)))])

    def act(self, form: forms.Form) -> Outcome:
        """Queue it."""
        asked = ReconcileRequest(
            every_customer=form.cleaned_data["every_customer"],
            trigger=ReportRun.Trigger.ADMIN,
            requested_by=self.who,
        )
        run = enqueue_run(asked.as_run(now=timezone.now()))
        url = reverse("admin:sync_reportrun_change", args=(run.pk,))
        return Outcome(message=f"A comparison was asked for as run {run.pk}.", about=[run], url=url)


def _link(run: ReportRun, text: str) -> SafeString:
    url = reverse("admin:sync_reportrun_change", args=(run.pk,))
    return format_html('<a class="console-link" href="{}">Run {}</a> {}', url, run.pk, text)
