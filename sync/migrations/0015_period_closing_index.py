"""Which periods close soon is asked on every visit, and of all that ever were."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0014_incident_claim")]

    operations = [
        migrations.AddIndex(
            model_name="billingperiod",
            index=models.Index(
                fields=["closes_at"], condition=models.Q(finalized_at=None), name="period_closing"
            ),
        ),
    ]
