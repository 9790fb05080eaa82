"""A day whose reports changed says so, and is added up again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0011_groups")]

    operations = [
        migrations.AddField(model_name="usageday", name="stale", field=models.BooleanField(default=False)),
    ]
