"""Runs that counted as full go on doing so; backwards, only what the older schema can hold is kept."""

from typing import Any

from django.db import migrations
from django.db.models import F
from django.utils import timezone


def keep_full_runs(apps: Any, schema_editor: Any) -> None:
    """Until the next run ends, nobody is told that there was none for a while."""
    runs = apps.get_model("sync", "ReportRun").objects.using(schema_editor.connection.alias)
    runs.filter(kind="report", dry_run=False, status__in=("succeeded", "partial")).update(is_full=True)


def drop_what_does_not_fit(apps: Any, schema_editor: Any) -> None:
    """Of each kind one incident stays open, and links that never held are gone."""
    alias = schema_editor.connection.alias
    apps.get_model("sync", "Subject").objects.using(alias).filter(valid_to=F("valid_from")).delete()
    seen: set[str] = set()
    for incident in apps.get_model("sync", "Incident").objects.using(alias).filter(ended_at=None):
        if incident.kind in seen:
            incident.ended_at = incident.end_told_at = timezone.now()
            incident.save(update_fields=["ended_at", "end_told_at"])
        seen.add(incident.kind)


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0017_what_is_told_apart"),
    ]

    operations = [migrations.RunPython(keep_full_runs, drop_what_does_not_fit)]
