"""Sync with Stripe…: a worker reads everything that the console mirrors."""

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview
from sync.admin.formats import when
from sync.enqueue import enqueue_run
from sync.models import ReportRun
from sync.queries.unfinished_sync import unfinished_sync

Status = ReportRun.Status


class SyncStripe(Dialog):
    """A person wants the mirror of Stripe to be up to date now."""

    name = "sync"
    title = "Sync with Stripe"
    button = "Sync with Stripe…"
    icon = "sync"
    submit = "Sync"
    permission = "sync.sync_stripe"
    places = frozenset({Place.LIST})

    def description(self) -> str:
        """Say what will happen."""
        return (
            "A worker reads meters, prices, customers and subscriptions from Stripe, ties meters to "
            "OpenMeter, and notes what stands in the way of billing. Nothing is changed or reported."
        )

    def preview(self) -> Preview:
        """Say when that was done last, or that it is being done."""
        syncs = ReportRun.objects.filter(kind=ReportRun.Kind.SYNC)
        going_on = syncs.filter(status__in=(Status.QUEUED, Status.RUNNING)).first()
        if going_on:
            return Preview(nothing_to_do=_link(going_on, "is doing this already; you can watch it."))
        how_far = unfinished_sync(now=timezone.now())
        goes_on = [f"{how_far} This one goes on there."] if how_far else []
        last = syncs.filter(status__in=(Status.SUCCEEDED, Status.PARTIAL)).first()
        if last is None:
            return Preview(sentences=["Stripe was never read to the end before.", *goes_on])
        return Preview(
            sentences=[_link(last, format_html("did this last, {}.", when(last.finished_at))), *goes_on]
        )

    def act(self, form: forms.Form) -> Outcome:  # noqa: ARG002 - the reason goes into the log
        """Queue it."""
        run = enqueue_run(
            ReportRun(
                kind=ReportRun.Kind.SYNC,
                trigger=ReportRun.Trigger.ADMIN,
                requested_by=self.who,
                queued_at=timezone.now(),
            )
        )
        url = reverse("admin:sync_reportrun_change", args=(run.pk,))
        return Outcome(message=f"Sync with Stripe was asked for as run {run.pk}.", about=[run], url=url)


def _link(run: ReportRun, text: str) -> str:
    url = reverse("admin:sync_reportrun_change", args=(run.pk,))
    return format_html('<a class="console-link" href="{}">Run {}</a> {}', url, run.pk, text)
