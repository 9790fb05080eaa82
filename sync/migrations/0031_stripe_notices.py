"""What Stripe tells by webhook is kept; who sees the console sees it."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations, models
import django.db.models.deletion

GROUPS = ("Billing viewer", "Billing operator", "Billing admin")


def let_see(apps: Any, editor: Any) -> None:
    """The console's groups may look at notices."""
    using = editor.connection.alias
    # Permissions are otherwise made after the last migration only.
    config = apps.get_app_config("sync")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=using)
    config.models_module = None
    permission = apps.get_model("auth", "Permission").objects.using(using)
    seen = permission.filter(content_type__app_label="sync", codename="view_stripenotice")
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=GROUPS):
        group.permissions.add(*seen)


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0022_invoices"),
    ]

    operations = [
        migrations.AlterField(
            model_name="finding",
            name="kind",
            field=models.CharField(
                choices=[
                    ("subject_never_seen", "No usage was ever seen under the customer's subjects"),
                    ("subject_claimed_twice", "Two customers claim one subject"),
                    ("item_without_meter", "A metered item has no meter"),
                    ("meter_without_slug", "A Stripe meter has no OpenMeter meter"),
                    ("meter_unsupported", "A meter cannot be reported"),
                    ("meter_refused", "Stripe refuses a meter's events"),
                    ("billed_twice", "Stripe bills the same usage twice"),
                    ("legacy_price", "A price uses Stripe's removed usage records"),
                    ("brake", "A change looks wrong and waits for a decision"),
                    ("late", "Usage arrived after its billing period closed"),
                    ("half_closed", "One of several billing periods closed before usage arrived"),
                    ("rejected", "Stripe refused a report"),
                    ("refused_unnamed", "Stripe refused events without naming them all"),
                    ("unknown_outcome", "Nobody knows whether Stripe received a report"),
                    ("invoice_gone", "An invoice with usage was voided or deleted"),
                    ("not_invoiced", "Stripe made no invoice for usage that was reported"),
                ],
                max_length=30,
            ),
        ),
        migrations.CreateModel(
            name="StripeNotice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("event_id", models.CharField(max_length=255, unique=True)),
                ("type", models.CharField(max_length=255)),
                ("object_id", models.CharField(blank=True, max_length=255)),
                ("object_kind", models.CharField(blank=True, max_length=255)),
                ("livemode", models.BooleanField()),
                ("created_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("next_attempt_at", models.DateTimeField(blank=True, null=True)),
                ("handled_at", models.DateTimeField(blank=True, null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("outcome", models.TextField(blank=True)),
                ("error", models.TextField(blank=True)),
                ("report", models.JSONField(blank=True, default=dict)),
                ("validation_start", models.DateTimeField(blank=True, null=True)),
                ("validation_end", models.DateTimeField(blank=True, null=True)),
                ("needs_comparison", models.BooleanField(default=False)),
                ("compared_at", models.DateTimeField(blank=True, null=True)),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to="sync.meter",
                    ),
                ),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
                "ordering": ["-received_at", "-id"],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_attempt_at__isnull", False)),
                        fields=["next_attempt_at"],
                        name="notice_due",
                    ),
                    models.Index(fields=["received_at"], name="notice_received"),
                    models.Index(
                        condition=models.Q(("compared_at", None), ("needs_comparison", True)),
                        fields=["meter"],
                        name="notice_to_compare",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("handled_at", None), ("next_attempt_at__isnull", False)),
                            models.Q(("handled_at__isnull", False), ("next_attempt_at", None)),
                            _connector="OR",
                        ),
                        name="notice_is_handled_or_due",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("compared_at", None), ("needs_comparison", True), _connector="OR"
                        ),
                        name="notice_compared_if_needed",
                    ),
                ],
            },
        ),
        migrations.RunPython(let_see, migrations.RunPython.noop),
    ]
