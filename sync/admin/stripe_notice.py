"""What Stripe told by webhook, and what was done about it."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.paginator import InfinitePaginator

from sync.admin.chips import BAD, GOOD, QUIET, WAITS, chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.filters import DaysFilter, OpenFilter
from sync.admin.formats import NOTHING, stripe_link, wrapped
from sync.admin.links import row_link
from sync.models import StripeNotice


class HandledFilter(OpenFilter):
    """All notices, unless only those are asked for that wait or are done."""

    title = "who works on it"
    ended = "handled_at"
    all_option = ["", "All"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer both kinds."""
        return [("open", "Waits"), ("over", "Done")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        chosen = {"open": True, "over": False}.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(handled_at__isnull=chosen)


@admin.register(StripeNotice)
class StripeNoticeAdmin(ReadOnlyAdmin):
    """Which events came, when, and what came of them."""

    list_display = ["event_id", "type", "object_id", "state", "outcome_shown", "created_at", "received_at"]
    list_filter = [HandledFilter, ("received_at", DaysFilter)]
    search_fields = ["=event_id", "=object_id", "=type"]
    search_help_text = "An event, the object it is about, or a type"
    when_empty = "Stripe has told nothing yet; Connections says whether its webhooks are set up."
    ordering = ["-received_at", "-id"]
    paginator = InfinitePaginator
    list_disable_select_all = True
    sortable_by = ("received_at",)
    hidden_while_empty = ("error", "meter_shown", "validation_start", "validation_end", "attempts")
    fields = [
        "event",
        "type",
        "object_kind",
        "object_id",
        "state",
        "outcome",
        "error",
        "attempts",
        "refused",
        "meter_shown",
        "validation_start",
        "validation_end",
        "created_at",
        "received_at",
        "next_attempt_at",
        "handled_at",
    ]
    list_select_related = ["meter"]
    readonly_fields = ["event", "state", "refused", "meter_shown"]

    @admin.display(description="event")
    def event(self, notice: StripeNotice) -> str | SafeString:
        """The event in Stripe's dashboard."""
        return stripe_link("event", notice.event_id)

    @admin.display(description="state")
    def state(self, notice: StripeNotice) -> SafeString:
        """Whether it was worked on."""
        if notice.handled_at is None:
            if notice.attempts:
                return chip("is tried again", tone=BAD, icon="replay")
            return chip("waits", tone=WAITS, icon="schedule")
        if notice.outcome.startswith("Ignored"):
            return chip("ignored", tone=QUIET, icon="do_not_disturb_on")
        return chip("done", tone=GOOD, icon="check_circle")

    @admin.display(description="what was done")
    def outcome_shown(self, notice: StripeNotice) -> str | SafeString:
        """What came of it, or why nothing has yet."""
        said = notice.outcome or notice.error
        return wrapped(said) if said else NOTHING

    @admin.display(description="meter")
    def meter_shown(self, notice: StripeNotice) -> str | SafeString:
        """Whose events Stripe refused."""
        return row_link(notice.meter, notice.meter and notice.meter.slug)

    @admin.display(description="what Stripe refused")
    def refused(self, notice: StripeNotice) -> str | SafeString:
        """The codes, how often, and the events that are named."""
        codes = notice.report.get("codes")
        if not codes:
            return NOTHING
        named = [
            (sample["code"], sample["message"], ", ".join(sample["names"]))
            for sample in notice.report.get("samples", [])
        ]
        return format_html(
            "{}{}",
            format_html_join("", "<p>{}: {}</p>", codes.items()),
            format_html_join("", "<p>{}: {} ({})</p>", named),
        )
