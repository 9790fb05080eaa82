"""Subjects: the keys that OpenMeter files usage under."""

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from sync.admin.chips import GOOD, QUIET, WAITS, chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.link_subject import LinkSubject
from sync.admin.dialogs.move_open_period import MoveOpenPeriod
from sync.admin.dialogs.move_subject import EndSubject, MoveSubject
from sync.admin.filters import OpenFilter
from sync.admin.formats import when
from sync.admin.links import row_link
from sync.admin.mapping_admin import MappingAdmin
from sync.models import Subject


class CurrentFilter(OpenFilter):
    """Links that hold, unless others are asked for."""

    title = "validity"
    parameter_name = "held"
    ended = "valid_to"
    all_option = ["", "Linked now"]
    over = "Ended"


@admin.register(Subject)
class SubjectAdmin(MappingAdmin, ReadOnlyAdmin):
    """Whose usage is filed under which key, and since when."""

    dialogs = (LinkSubject, MoveSubject, MoveOpenPeriod, EndSubject)

    list_display = ["key", "customer_shown", "since", "until", "state"]
    list_select_related = ["customer"]
    list_filter = [CurrentFilter, ("customer", AutocompleteSelectFilter)]
    search_fields = ["key", "customer__stripe_id", "customer__name"]
    search_help_text = "A key, or a customer's name or id"
    when_empty = "A sync gives every customer a key; Link… adds those that it cannot know."
    ordering = ["key", "id"]
    fields = ["key", "customer_shown", "since", "until", "state"]
    readonly_fields = ["customer_shown", "since", "until", "state"]

    @admin.display(description="customer", ordering="customer__name")
    def customer_shown(self, subject: Subject) -> str:
        """Who pays for what is used under the key."""
        return row_link(subject.customer, subject.customer.label)

    @admin.display(description="since", ordering="valid_from")
    def since(self, subject: Subject) -> str:
        """From when on the usage is theirs."""
        return when(subject.valid_from) if subject.valid_from else "ever"

    @admin.display(description="until", ordering="valid_to")
    def until(self, subject: Subject) -> str:
        """From when on it is no longer theirs."""
        return when(subject.valid_to) if subject.valid_to else "further notice"

    @admin.display(description="in OpenMeter", ordering="seen_at")
    def state(self, subject: Subject) -> SafeString:
        """Whether there ever was usage under this key."""
        if subject.never_held:
            return chip("never began", tone=QUIET, icon="link_off")
        if subject.valid_to:
            return chip("ended", tone=QUIET, icon="link_off")
        if subject.seen_at:
            return chip("seen", tone=GOOD, icon="check_circle")
        return chip("never seen", tone=WAITS, icon="visibility_off")
