"""Meters know when their days were last compared with OpenMeter."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0043_go_live_rights"),
    ]

    operations = [
        migrations.AddField(
            model_name="meter",
            name="days_compared_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
