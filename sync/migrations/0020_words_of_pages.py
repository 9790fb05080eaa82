from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0019_permissions_of_their_own"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="reportrun",
            options={
                "default_permissions": ("view",),
                "ordering": ["-queued_at", "-id"],
                "permissions": [
                    ("report_usage", "Can report usage to Stripe"),
                    ("sync_stripe", "Can sync with Stripe"),
                    ("cancel_reportrun", "Can cancel a run"),
                ],
                "verbose_name": "run",
                "verbose_name_plural": "runs",
            },
        ),
        migrations.AlterModelOptions(
            name="stripeaccount",
            options={
                "default_permissions": ("view",),
                "verbose_name": "connection",
                "verbose_name_plural": "connections",
            },
        ),
        migrations.AlterModelOptions(
            name="usagereport",
            options={
                "default_permissions": ("view",),
                "ordering": ["enrolment", "slice_start", "revision"],
                "permissions": [
                    ("release_usagereport", "Can release a held report"),
                    ("dismiss_usagereport", "Can dismiss a report"),
                    ("retry_usagereport", "Can retry a refused report"),
                ],
                "verbose_name": "report",
                "verbose_name_plural": "reports",
            },
        ),
        migrations.AlterField(
            model_name="usagereport",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("sending", "Sending"),
                    ("delivered", "Delivered"),
                    ("unknown", "Unknown"),
                    ("rejected", "Refused"),
                    ("superseded", "Superseded"),
                    ("replaced", "Replaced"),
                    ("held", "Held"),
                    ("late", "Late"),
                    ("carried", "Carried"),
                    ("dismissed", "Dismissed"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
    ]
