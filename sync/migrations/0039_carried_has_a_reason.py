"""A report is carried forward for a reason, like every decision."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0038_carry_permission"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="usagereport",
            name="a_decision_has_a_reason",
        ),
        migrations.AddConstraint(
            model_name="usagereport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status__in", ["dismissed", "replaced", "carried"]), _negated=True),
                    models.Q(("decision", ""), _negated=True),
                    _connector="OR",
                ),
                name="a_decision_has_a_reason",
            ),
        ),
    ]
