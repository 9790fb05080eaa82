"""A dialog about many rows asks the database as often as one about few."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.admin.dialogs.dialog import Place
from sync.domain.timeline import HOUR, floor_to
from tests.factories import FindingFactory, MeterFactory, UsageReportFactory
from tests.functional.pages import label, page, registered_dialogs
from tests.integration.test_admin_pages import fill

FEW, MANY = 2, 8
FOR_MANY = [name for name, dialog in registered_dialogs().items() if Place.SELECTION in dialog.places]


@pytest.fixture
def root(db, client, settings, sandbox_server, sandbox):
    """Return the browser of a superuser, and rows that every dialog makes sense for."""
    settings.SECURE_SSL_REDIRECT = False
    settings.STRIPE_KEY = "sk_test_queries_0001"
    settings.STRIPE_API_BASE = sandbox_server.stripe_url
    settings.OPENMETER_URL = sandbox_server.openmeter_url
    fill(0, MANY)
    meter = MeterFactory()
    begin = floor_to(timezone.now(), HOUR) - HOUR
    for _ in range(MANY):
        for status in ("held", "rejected", "unknown"):
            UsageReportFactory(status=status, slice_start=begin, closes_at=begin + 700 * HOUR)
        UsageReportFactory(status="late", slice_start=begin, enrolment__meter=meter)
        UsageReportFactory(status="held", slice_start=begin, closes_at=begin + 700 * HOUR, beside=2)
        FindingFactory()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.parametrize("name", FOR_MANY)
def test_takes_as_many_queries_for_many_rows_as_for_few(root, name):
    dialog = registered_dialogs()[name]
    model = next(model for model in admin.site._registry if label(model) == name.split("/")[0])
    rows = [row.pk for row in model._default_manager.order_by("pk") if not dialog.why_not(row)]
    assert len(rows) >= MANY

    def asked(count):
        chosen = ",".join(str(pk) for pk in rows[:count])
        with CaptureQueriesContext(connection) as queries:
            assert root.get(f"{page(model, dialog.name)}?ids={chosen}").status_code == 200
        return len(queries)

    asked(FEW)
    assert asked(MANY) == asked(FEW)
