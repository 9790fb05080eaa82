"""How far a full sync has come that is not finished yet."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0020_words_of_pages"),
    ]

    operations = [
        migrations.CreateModel(
            name="Listing",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=30, unique=True)),
                ("began_at", models.DateTimeField()),
                ("after", models.CharField(blank=True, max_length=255)),
                ("seen", models.PositiveIntegerField(default=0)),
                ("read_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["began_at", "id"],
                "default_permissions": (),
            },
        ),
    ]
