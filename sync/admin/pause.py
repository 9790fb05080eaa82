"""Pauses: what stands still, or stood, and why."""

from django.contrib import admin
from django.utils.safestring import SafeString

from sync.admin.chips import BAD, QUIET, WAITS, chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.pause_reporting import PauseEverything, ResumeReporting
from sync.admin.filters import OpenFilter
from sync.admin.links import row_link
from sync.models import Pause


class InForceFilter(OpenFilter):
    """Pauses that are in force, unless others are asked for."""

    ended = "resumed_at"
    all_option = ["", "In force"]
    over = "Over"


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    """Who paused what, and when it went on."""

    dialogs = (PauseEverything, ResumeReporting)

    list_display = ["what", "state", "reason", "paused_by", "paused_at", "resumed_by", "resumed_at"]
    list_select_related = ["meter", "customer"]
    list_filter = [InForceFilter]
    search_fields = ["scope", "reason", "paused_by", "customer__name", "meter__event_name"]
    when_empty = "Nothing stands still, and nothing ever did."
    ordering = ["-paused_at", "-id"]
    fields = [
        "state",
        "of",
        "reason",
        "paused_by",
        "paused_at",
        "resumed_by",
        "resumed_at",
        "resume_reason",
    ]
    readonly_fields = ["state", "of"]

    @admin.display(ordering="scope", description="what stands still")
    def what(self, pause: Pause) -> str:
        """What it names, in words; the row's own link."""
        if pause.meter:
            return f"Meter {pause.meter.slug}"
        return (
            f"Customer {pause.customer.name or pause.customer.stripe_id}" if pause.customer else "Everything"
        )

    @admin.display(description="what stands still")
    def of(self, pause: Pause) -> str | SafeString:
        """What it names, with a link."""
        named = pause.meter or pause.customer
        return row_link(named, self.what(pause)) if named else "Everything"

    @admin.display(ordering="resumed_at", description="state")
    def state(self, pause: Pause) -> SafeString:
        """Whether it is in force, and whether a person can end it."""
        if pause.resumed_at:
            return chip("over", tone=QUIET, icon="play_circle")
        if pause.by_stripe:
            return chip("Stripe refuses", tone=BAD, icon="block")
        return chip("paused", tone=WAITS, icon="pause_circle")
