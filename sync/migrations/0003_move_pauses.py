"""What stood still on a meter stands still as a pause."""

from typing import Any

from django.db import migrations


def move_to_pauses(apps: Any, _editor: Any) -> None:
    """A paused meter has a pause that says the same."""
    meter, pause = apps.get_model("sync", "Meter"), apps.get_model("sync", "Pause")
    for row in meter.objects.filter(paused_at__isnull=False):
        kind = "refused" if row.paused_by_stripe else "meter"
        pause.objects.create(
            meter=row,
            by_stripe=row.paused_by_stripe,
            scope=f"{kind}:{row.stripe_id}",
            reason=row.pause_reason or "no reason given",
            paused_by="Stripe" if row.paused_by_stripe else "unknown",
            paused_at=row.paused_at,
        )


def move_back(apps: Any, _editor: Any) -> None:
    """A meter whose pause is in force says so itself."""
    for row in apps.get_model("sync", "Pause").objects.filter(resumed_at=None, meter__isnull=False):
        row.meter.paused_at, row.meter.pause_reason = row.paused_at, row.reason
        row.meter.paused_by_stripe = row.by_stripe
        row.meter.save()


class Migration(migrations.Migration):
    dependencies = [("sync", "0002_pause")]

    operations = [migrations.RunPython(move_to_pauses, move_back)]
