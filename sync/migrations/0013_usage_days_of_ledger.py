"""Every day that the ledger has reports of waits to be added up: the next run does it."""

from datetime import UTC
from typing import Any

from django.db import migrations
from django.db.models.functions import TruncDate
from django.utils import timezone


def mark_all(apps: Any, _schema_editor: Any) -> None:
    UsageDay, UsageReport = apps.get_model("sync", "UsageDay"), apps.get_model("sync", "UsageReport")
    known = (
        UsageReport.objects.order_by()
        .annotate(day=TruncDate("slice_start", tzinfo=UTC))
        .values_list("enrolment__meter", "day")
        .distinct()
    )
    UsageDay.objects.bulk_create(
        [UsageDay(meter_id=meter, day=day, stale=True, summed_at=timezone.now()) for meter, day in known],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("sync", "0012_usage_day_stale")]

    operations = [migrations.RunPython(mark_all, migrations.RunPython.noop)]
