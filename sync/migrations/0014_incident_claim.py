from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0013_usage_days_of_ledger")]

    operations = [
        migrations.AddField(
            model_name="incident",
            name="claimed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
