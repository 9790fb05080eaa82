"""Runs: executions of reporting."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    FieldTextFilter,
)

from sync.admin.chips import report_chip, run_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.cancel_run import CancelRun
from sync.admin.dialogs.report_usage import ReportEverything
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.admin.export_columns import RUNS
from sync.admin.exports import ExportAdmin
from sync.admin.filters import DaysFilter
from sync.admin.formats import NOTHING, amounts
from sync.admin.run_words import KINDS, TRIGGERS, duration, outcome_words, scope_words
from sync.models import ReportRun
from sync.queries.run_page import GOES_ON, run_page

POLL_SECONDS = 2
"""How often the page of a run that goes on asks how far it is."""


@admin.register(ReportRun)
class ReportRunAdmin(ExportAdmin, ReadOnlyAdmin):
    """Who asked for what, and what came of it."""

    resource_classes = [RUNS]
    export_related = ()
    dialogs = (ReportEverything, SyncStripe, CancelRun)

    list_display = ["number", "state", "what", "asked_by", "queued_at", "took", "outcomes"]
    list_filter = [
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
        ("requested_by", FieldTextFilter),
        ("queued_at", DaysFilter),
        ("dry_run", BooleanRadioFilter),
    ]
    search_fields = ["requested_by", "error", "notes"]
    when_empty = "Report usage… shows what would be billed before anything is sent."
    ordering = ["-queued_at", "-id"]
    change_form_template = "sync/run.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the address that a run's page asks how far the run is."""
        progress = self.admin_site.admin_view(self.progress_view)
        return [
            path("<int:object_id>/progress/", progress, name="sync_reportrun_progress"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show how far the run is and what came of it."""
        run = self.get_object(request, object_id)
        known = {"title": f"Run {run.pk}", **_context(run)} if run else {}
        shown: HttpResponse = super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **known}
        )
        return shown

    def progress_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Return the part of the page that changes while the run goes on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_queryset(request).filter(pk=object_id).first()
        if run is None:
            raise Http404
        return TemplateResponse(request, "sync/run_progress.html", _context(run))

    @admin.display(description="run", ordering="id")
    def number(self, run: ReportRun) -> str:
        """Its number, by which people speak of it."""
        return f"Run {run.pk}"

    @admin.display(description="status", ordering="status")
    def state(self, run: ReportRun) -> SafeString:
        """How it stands."""
        return run_chip(run.status)

    @admin.display(ordering="kind")
    def what(self, run: ReportRun) -> str:
        """What is done, and for whom."""
        words = KINDS[run.kind]
        if run.kind == ReportRun.Kind.REPORT:
            words += f": {scope_words(run)}"
        return f"{words} (dry run)" if run.dry_run else words

    @admin.display(ordering="requested_by")
    def asked_by(self, run: ReportRun) -> str:
        """Who asked for it, and from where."""
        if run.trigger == ReportRun.Trigger.SCHEDULE:
            return "the schedule"
        return f"{run.requested_by or 'somebody'}, {TRIGGERS[run.trigger]}"

    @admin.display(description="duration")
    def took(self, run: ReportRun) -> str:
        """How long it took; nothing while it goes on, which its page shows."""
        if not (run.started_at and run.finished_at):
            return NOTHING
        return duration(run.finished_at - run.started_at)

    @admin.display(empty_value=NOTHING)
    def outcomes(self, run: ReportRun) -> str | SafeString:
        """What came of it, and how many runs like it the row stands for."""
        words = ", ".join(f"{count:,} {name}" for name, count in outcome_words(run, in_short=True))
        if not words and run.status not in GOES_ON:
            words = "nothing to do" if run.status == ReportRun.Status.SUCCEEDED else ""
        if not run.idle_runs:
            return words
        return format_html(
            '{} <span class="run-folded">and {} more with nothing to do</span>', words, f"{run.idle_runs:,}"
        )


def _context(run: ReportRun) -> dict[str, Any]:
    page = run_page(run=run, now=timezone.now())
    return {
        "page": page,
        "run": run,
        "chip": run_chip(run.status),
        "kind": KINDS[run.kind],
        "trigger": TRIGGERS[run.trigger],
        "counted": outcome_words(run),
        "took": duration(page.took),
        "steps": [(step, duration(step.took)) for step in page.steps],
        "report_links": [
            (lead, column, [(status, report_chip(status), count) for status, count in reports])
            for lead, column, reports in (
                ("The reports that it planned, as they stand now:", "run", page.reports),
                ("Planned by other runs and sent by this one:", "sent_by", page.sent_for_others),
            )
            if reports
        ],
        "confirmed_worth": amounts(page.confirmed_amounts),
        "announcement": _announcement(run),
        "poll_seconds": POLL_SECONDS,
    }


def _announcement(run: ReportRun) -> str:
    """Return what a screen reader says; it changes with each step, not with each number."""
    step = f": {run.steps[-1]['name']}" if run.status == ReportRun.Status.RUNNING and run.steps else ""
    return f"Run {run.pk} is {run.status}{step}."
