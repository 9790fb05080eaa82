"""Every admin page opens, for staff only, and asks the database as often for many rows as for few."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sync.admin.formats import units
from sync.models import Meter
from tests.factories import (
    NOW,
    BillingPeriodFactory,
    CustomerFactory,
    DeliveryAttemptFactory,
    DifferenceFactory,
    EnrolmentFactory,
    FindingFactory,
    IncidentFactory,
    MeterFactory,
    PauseFactory,
    ReconciledDayFactory,
    ReconciliationFactory,
    ReportRunFactory,
    StripeAccountFactory,
    StripeNoticeFactory,
    SubjectFactory,
    SubscriptionItemFactory,
    SubscriptionPauseFactory,
    UsageDayFactory,
    UsageReportFactory,
)
from tests.sandbox_client import NO_TLS

OURS = [model for model in admin.site._registry if model.__module__.startswith("sync.")]


def url_of(model, page, *args: int):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def fill(first, last):
    """Add one of everything for each number."""
    StripeAccountFactory()
    run = ReportRunFactory()
    for number in range(first, last):
        fill_one(number, run)


def fill_one(number, run):
    customer = CustomerFactory(stripe_id=f"cus_fill{number}")
    SubjectFactory(customer=customer)
    meter = MeterFactory(openmeter_slug="")
    item = SubscriptionItemFactory(subscription__customer=customer, price__meter=meter)
    SubscriptionPauseFactory(subscription=item.subscription)
    period = BillingPeriodFactory(item=item)
    kept = ReconciliationFactory()
    ReconciledDayFactory(reconciliation=kept, meter=meter)
    DifferenceFactory(reconciliation=kept, meter=meter, customer=customer)
    DifferenceFactory(reconciliation=kept, meter=meter, customer=customer, period=period, day=None)
    report = UsageReportFactory(enrolment=EnrolmentFactory(customer=customer, meter=meter), run=run)
    PauseFactory(customer=customer)
    IncidentFactory(ended_at=NOW)
    StripeNoticeFactory(meter=meter, report={"codes": {"no_meter": 1}})
    DeliveryAttemptFactory(report=report)
    FindingFactory(customer=customer, meter=meter, item=item)
    UsageDayFactory(meter=meter)


@pytest.fixture
def staff(db, client, settings):
    """Return the browser of a superuser."""
    settings.SECURE_SSL_REDIRECT = False
    client.force_login(get_user_model().objects.create_superuser("ada", "ada@example.com", "a password"))
    return client


def queries_for(client, url):
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
    assert answer.status_code == 200
    return len(queries)


@pytest.mark.django_db
@pytest.mark.parametrize("model", OURS)
class TestPages:
    def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(self, staff, model):
        fill(0, 2)
        url = url_of(model, "changelist")
        queries_for(staff, url)  # what is cached once per process
        few = queries_for(staff, url)
        fill(2, 20)
        assert queries_for(staff, url) == few

    def test_a_list_can_be_searched(self, staff, model):
        fill(0, 2)
        assert staff.get(url_of(model, "changelist"), {"q": "1"}).status_code == 200

    def test_a_row_opens_and_takes_as_many_queries_among_many_as_among_few(self, staff, model):
        fill(0, 2)
        url = url_of(model, "change", model.objects.first().pk)
        queries_for(staff, url)
        few = queries_for(staff, url)
        fill(2, 20)
        assert queries_for(staff, url) == few

    def test_nobody_looks_without_logging_in(self, client, settings, model):
        settings.SECURE_SSL_REDIRECT = False
        fill(0, 1)
        for url in (url_of(model, "changelist"), url_of(model, "change", model.objects.first().pk)):
            answer = client.get(url)
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))

    def test_who_is_not_staff_sees_nothing(self, client, settings, model):
        settings.SECURE_SSL_REDIRECT = False
        client.force_login(get_user_model().objects.create_user("eve", "eve@example.com", "a password"))
        assert client.get(url_of(model, "changelist")).status_code == 302


@pytest.mark.django_db
class TestMeterPage:
    FIELDS = {
        "openmeter_slug": "tokens_total",
        "filters": '{"model": ["gpt-5"]}',
        "scale": "0.001",
        "decimals": "3",
        "settle_seconds": "300",
        "max_units_per_slice": "1000000",
        "why": "The new price list.",
    }

    @pytest.fixture(autouse=True)
    def openmeter(self, connections, config, settings):
        """Let OpenMeter measure tokens, and the most at a time."""
        settings.OPENMETER_URL, settings.STRIPE_KEY = config.openmeter_url, config.stripe_key
        settings.STRIPE_API_BASE = config.stripe_api_base
        group_by = {"model": "$.model"}
        for slug, aggregation in (("tokens_total", "SUM"), ("peak", "MAX")):
            body = {"slug": slug, "aggregation": aggregation, "eventType": "x", "valueProperty": "$.n"}
            answer = httpx.post(
                f"{config.openmeter_url}/api/v1/meters", json=body | {"groupBy": group_by}, verify=NO_TLS
            )
            assert answer.is_success
        return connections.openmeter

    @pytest.fixture
    def meter(self):
        return Meter.objects.create(
            stripe_id="mtr_1",
            event_name="ai_tokens",
            formula="sum",
            openmeter_slug="other",
            openmeter_id="01H",
            aggregation="COUNT",
            fetched_at=NOW,
        )

    def save(self, staff, meter, **changes: Any):
        return staff.post(url_of(Meter, "change", meter.pk), self.FIELDS | changes)

    def test_saves_what_is_the_consoles_own(self, staff, meter):
        assert self.save(staff, meter).status_code == 302
        meter.refresh_from_db()
        assert meter.filters == {"model": ["gpt-5"]}
        assert (meter.scale, meter.decimals, meter.settle_seconds) == (Decimal("0.001"), 3, 300)
        assert meter.max_units_per_slice == 1_000_000

    def test_keeps_why_in_the_history_and_in_the_log(self, staff, meter):
        self.save(staff, meter)
        change = meter.history.latest()
        assert (change.history_user.username, change.history_change_reason) == ("ada", "The new price list.")
        said = LogEntry.objects.get().get_change_message()
        assert said.startswith("Changed OpenMeter slug, Filters, Scale, Decimals, Settle time in seconds")
        assert said.endswith("The new price list.")

    def test_changes_nothing_without_a_reason(self, staff, meter):
        answer = self.save(staff, meter, why=" ")
        assert "why" in answer.context["adminform"].form.errors
        assert not meter.history.exclude(history_type="+").exists()
        meter.refresh_from_db()
        assert meter.openmeter_slug == "other"

    def test_a_new_slug_is_tied_to_what_openmeter_has_under_it(self, staff, meter, openmeter):
        self.save(staff, meter)
        meter.refresh_from_db()
        (source,) = [one for one in openmeter.meters() if one.slug == "tokens_total"]
        assert (meter.openmeter_slug, meter.openmeter_id) == ("tokens_total", source.id)
        assert meter.aggregation == "SUM"
        self.save(staff, meter, openmeter_slug="")
        meter.refresh_from_db()
        assert (meter.openmeter_id, meter.aggregation) == ("", "")

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (
                {"openmeter_slug": "tokenz"},
                "OpenMeter has no meter tokenz. It has: tokens_total (SUM), peak (MAX, cannot be billed).",
            ),
            ({"openmeter_slug": "peak"}, "aggregates by MAX"),
            ({"filters": '{"colour": ["red"]}'}, "does not group by colour (it groups by: model)"),
        ],
    )
    def test_a_slug_that_openmeter_cannot_measure_by_is_refused(self, staff, meter, change, sentence):
        answer = self.save(staff, meter, **change)
        assert sentence in answer.context["adminform"].form.errors["openmeter_slug"][0]
        meter.refresh_from_db()
        assert (meter.openmeter_slug, meter.openmeter_id) == ("other", "01H")

    def test_usage_that_another_meter_bills_is_refused(self, staff, meter):
        other = Meter.objects.create(
            stripe_id="mtr_2",
            event_name="ai_other",
            formula="sum",
            openmeter_slug="tokens_total",
            filters={"model": ["gpt-4"]},
            fetched_at=NOW,
        )
        answer = self.save(staff, meter, filters="")
        (sentence,) = answer.context["adminform"].form.errors["filters"]
        assert "ai_other takes model is gpt-4" in sentence
        assert self.save(staff, meter, filters="model: gpt-5, gpt-6").status_code == 302
        meter.refresh_from_db()
        assert meter.filters == {"model": ["gpt-5", "gpt-6"]}
        answer = staff.get(url_of(Meter, "change", meter.pk))
        assert answer.context["adminform"].form["filters"].value() == "model: gpt-5, gpt-6"
        Meter.objects.filter(pk=meter.pk).update(replaces=other)
        assert self.save(staff, meter, filters="").status_code == 302

    def test_says_that_openmeter_does_not_answer_where_it_has_to_be_asked(self, staff, meter, sandbox):
        sandbox.fault("openmeter", status=503, times=10)
        answer = self.save(staff, meter)
        (sentence,) = answer.context["adminform"].form.non_field_errors()
        assert "nobody knows whether OpenMeter has tokens_total, and nothing was saved" in sentence
        assert self.save(staff, meter, openmeter_slug="other", filters="{}").status_code == 302
        meter.refresh_from_db()
        assert meter.decimals == 3

    def test_a_settle_time_that_misses_the_invoice_is_refused_with_the_numbers(self, staff, meter):
        answer = self.save(staff, meter, settle_seconds="2401")
        (sentence,) = answer.context["adminform"].form.errors["settle_seconds"]
        for part in ("reporting interval (5 min)", "final 60 min after", "Enter at most 2,400 seconds"):
            assert part in sentence
        assert self.save(staff, meter, settle_seconds="2400").status_code == 302

    def test_the_same_slug_stays_tied(self, staff, meter):
        self.save(staff, meter, openmeter_slug="other", filters="{}")
        meter.refresh_from_db()
        assert (meter.openmeter_id, meter.aggregation) == ("01H", "COUNT")

    def test_leaves_stripes_side_alone(self, staff, meter):
        self.save(staff, meter, event_name="mine", formula="count", active="")
        meter.refresh_from_db()
        assert (meter.event_name, meter.formula, meter.active) == ("ai_tokens", "sum", True)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("scale", "0"), ("scale", "-1"), ("filters", '{"model": "gpt-5"}'), ("filters", "[1]")],
    )
    def test_refuses_what_cannot_be_measured(self, staff, meter, field, value):
        answer = self.save(staff, meter, **{field: value})
        assert answer.status_code == 200
        assert field in answer.context["adminform"].form.errors

    def test_the_definition_is_frozen_once_something_was_reported(self, staff):
        fill(0, 1)
        meter = Meter.objects.get()
        assert self.save(staff, meter).status_code == 302
        meter.refresh_from_db()
        assert (meter.openmeter_slug, meter.filters, meter.scale, meter.decimals) == ("", {}, 1, 6)
        assert (meter.settle_seconds, meter.max_units_per_slice) == (300, 1_000_000)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (Decimal("1234567.500000"), "1,234,567.5"),
        (Decimal("-0.25"), "-0.25"),
        (Decimal(0), "0"),
        (Decimal("1E+3"), "1,000"),
        (Decimal("0.000000000001"), "0.000000000001"),
        (None, "–"),
    ],
)
def test_units_are_written_for_people(quantity, text):
    assert units(quantity) == text
