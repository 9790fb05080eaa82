"""Every item has had the price that is stored since it began: nobody kept an earlier one."""

from typing import Any

from django.db import migrations

BATCH = 1000


def keep_current(apps: Any, _schema_editor: Any) -> None:
    ItemPrice, SubscriptionItem = (apps.get_model("sync", name) for name in ("ItemPrice", "SubscriptionItem"))
    columns = ("pk", "price_id", "meter_id", "created_at", "deleted_at")
    rows = []
    for pk, price, meter, start, deleted_at in (
        SubscriptionItem.objects.order_by("pk").values_list(*columns).iterator()
    ):
        end = deleted_at if deleted_at and deleted_at > start else None
        rows.append(ItemPrice(item_id=pk, price_id=price, meter_id=meter, start=start, end=end))
        if len(rows) == BATCH:
            ItemPrice.objects.bulk_create(rows)
            rows.clear()
    ItemPrice.objects.bulk_create(rows)


class Migration(migrations.Migration):
    dependencies = [("sync", "0040_item_prices")]

    operations = [migrations.RunPython(keep_current, migrations.RunPython.noop)]
