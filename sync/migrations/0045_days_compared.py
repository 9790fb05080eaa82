"""Meters know when their days were last compared with OpenMeter."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0044_definition_that_replaces"),
    ]

    operations = [
        migrations.AddField(
            model_name="meter",
            name="days_compared_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
