"""What the table of rights lets a group do is done when they do it, and never without a reason."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django_q.models import Schedule

from sync.admin.dialogs.dialog import Place
from sync.models import Customer
from tests.factories import (
    CustomerFactory,
    FindingFactory,
    MeterFactory,
    PauseFactory,
    ReportRunFactory,
    UsageReportFactory,
)
from tests.functional.pages import label, page, registered_dialogs
from tests.functional.test_access import ACTS, ADMIN, OPERATOR
from tests.functional.test_meter_pages import FORM
from tests.functional.test_sync_dialogs import SET_UP
from tests.office import carried_back, typed
from tests.world import HOUR, START

WHY = "Asked by finance."


@pytest.fixture
def something_to_do(world, office):
    """A business in which every dialog has something to do, and what each asks for beside the reason."""
    tokens = world.meter()
    world.subscriber(tokens)
    world.subscriber(tokens, "bob")
    world.subscriber(tokens, "cleo")
    world.sync()
    world.use_many([("ada", 10, START + HOUR / 2), ("bob", 10, START + HOUR / 2)])
    world.later(hours=2)
    world.report()
    # What a run has not measured yet, of whom nobody has paused.
    customer, paused, billed_before = Customer.objects.order_by("pk")
    world.use(customer.name, 10, START + 1.5 * HOUR)
    world.later(hours=1)
    hers, earlier = billed_before.enrolments.get(), START - 5 * HOUR
    UsageReportFactory(status="held", beside=3, enrolment=hers, slice_start=earlier)
    world.stripe(
        "POST",
        "/billing/meter_events",
        event_name="tokens",
        payload={"stripe_customer_id": billed_before.stripe_id, "value": 3},
        timestamp=int(earlier.timestamp()),
    )
    for status in ("held", "rejected", "unknown"):
        UsageReportFactory(status=status)
    # Of somebody whose open period has an hour that can take it along.
    late = {"status": "late", "slice_start": START - 72 * HOUR, "compared_at": START}
    UsageReportFactory(enrolment=customer.enrolments.get(), **late)
    FindingFactory()
    PauseFactory(customer=paused)
    PauseFactory(meter=MeterFactory())
    # Set-up is for usage that nothing bills yet.
    made = {"slug": "calls", "aggregation": "COUNT", "eventType": "calls"}
    assert world.openmeter_http.post("/api/v1/meters", json=made).is_success
    ReportRunFactory(status="queued")
    Schedule.objects.filter(name="Sync with Stripe").update(repeats=0)
    return {
        "link": {"key": "team-7", "since": "period", "customer": customer.pk},
        "move": {"customer": CustomerFactory().pk},
        "move_open_period": {"customer": customer.pk},
        "retry": {"looked": "on"},
        "redefine": FORM,
        "set_up": SET_UP | {"openmeter_meter": "calls"},
        "start_at": {"start": f"{START:%Y-%m-%d %H:%M}"},
    }


def address(name, dialog):
    """Return where a dialog is opened for the first row that it makes sense for, or for the whole list."""
    model = next(model for model in admin.site._registry if label(model) == name.split("/")[0])
    if Place.LIST in dialog.places:
        return page(model, dialog.name)
    sensible = (row for row in model._default_manager.order_by("pk") if not dialog.why_not(row))
    return page(model, dialog.name, next(sensible).pk)


@pytest.mark.parametrize("group", [OPERATOR, ADMIN])
def test_each_group_does_what_it_may(office, something_to_do, group):
    browser = office.browser("otto", group=group)
    for name, dialog in registered_dialogs().items():
        if group not in ACTS[name]:
            continue
        asked = something_to_do.get(dialog.name, {})
        with office.now(), transaction.atomic():
            url = address(name, dialog)
            shown = browser.get(url, asked)
            form = {**asked, **carried_back(shown), **typed(shown)}
            assert browser.post(url, {**form, "why": " "}).status_code == 200, name
            assert not LogEntry.objects.exists(), name
            answer = browser.post(url, {**form, "why": WHY})
            assert answer.status_code == 302, (name, answer.context["preview"].nothing_to_do)
            entries = list(LogEntry.objects.select_related("user"))
            assert entries, name
            for entry in entries:
                assert entry.user.username == "otto"
                assert entry.change_message.endswith(WHY), name
            transaction.set_rollback(True)
