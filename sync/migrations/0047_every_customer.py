"""A comparison may ask Stripe about everybody."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0046_reconciliations"),
    ]

    operations = [
        migrations.AddField(
            model_name="reportrun",
            name="every_customer",
            field=models.BooleanField(default=False),
        ),
    ]
