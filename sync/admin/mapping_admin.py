"""Pages of mappings: their history says who changed what, old and new value, and why."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from simple_history.admin import SimpleHistoryAdmin

from sync.admin.console_admin import ConsoleAdmin


class MappingAdmin(SimpleHistoryAdmin, ConsoleAdmin):  # type: ignore[misc] # both ship no types
    """A page whose rows keep their history. Nothing is ever reverted: a mapping changes through dialogs."""

    object_history_template = "sync/mapping_history.html"

    def get_urls(self) -> list[URLPattern]:
        """Leave out the library's form for old versions: it saves them for whoever may look."""
        info = self.opts.app_label, self.opts.model_name
        form = "{}_{}_simple_history".format(*info)
        return [pattern for pattern in super().get_urls() if pattern.name != form]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the changes, and what people did and why."""
        entries = LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(self.model), object_id=str(object_id)
        )
        context = {"log_entries": entries.select_related("user").order_by("-action_time", "-id")}
        answer: HttpResponse = super().history_view(request, object_id, context | (extra_context or {}))
        return answer
