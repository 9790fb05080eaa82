"""Customers, as Stripe has them."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from sync.admin.chips import BAD, chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.link_subject import LinkCustomerSubject
from sync.admin.dialogs.pause_reporting import PauseReporting, ResumeReporting
from sync.admin.dialogs.report_usage import ReportCustomer
from sync.admin.dialogs.set_up_stripe import SubscribeCustomer
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.admin.formats import NOTHING, short_list, stripe_link, two_lines
from sync.models import Customer, Enrolment, Finding, Subject
from sync.queries.customer_page import customer_page
from sync.queries.silent_customers import silent_customers

OPEN = Finding.objects.filter(resolved_at=None)


class LinkedFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Customers who are billed by use, and whose usage nobody has ever seen."""

    title = "usage in OpenMeter"
    parameter_name = "linked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer the question that is asked often."""
        return [("never", "Never seen")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        never = self.value() == "never"
        return queryset.filter(pk__in=silent_customers().values("pk")) if never else queryset


class FindingsFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Customers whom something open is the matter with."""

    title = "findings"
    parameter_name = "findings"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer the question that is asked often."""
        return [("open", "With open findings")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        return queryset.filter(Exists(OPEN.filter(customer=OuterRef("pk")))) if self.value() else queryset


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    """Who pays."""

    dialogs = (
        SyncStripe,
        ReportCustomer,
        LinkCustomerSubject,
        SubscribeCustomer,
        PauseReporting,
        ResumeReporting,
    )

    list_display = ["who", "subject_keys", "meter_slugs", "open_findings", "in_stripe"]
    list_filter = [LinkedFilter, FindingsFilter, ("deleted_at", admin.EmptyFieldListFilter)]
    search_fields = ["stripe_id", "name", "email", "external_key", "subjects__key"]
    search_help_text = "Name, e-mail address, Stripe id, external key or subject"
    when_empty = "Customers come from Stripe: Sync with Stripe… reads them."
    ordering = ["name", "id"]
    fields = ["name", "email", "in_stripe", "external_key", "fetched_at", "deleted_at"]
    hidden_while_empty = ("external_key", "deleted_at")
    readonly_fields = ["in_stripe"]
    change_form_after_template = "sync/customer.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        """Load what the list shows of a whole page at once."""
        rows: QuerySet[Customer] = super().get_queryset(request)
        return rows.prefetch_related(
            Prefetch("subjects", Subject.objects.filter(valid_to=None), to_attr="current_subjects"),
            Prefetch("enrolments", Enrolment.objects.select_related("meter"), to_attr="known_enrolments"),
        ).annotate(open_count=Count("findings", filter=Q(findings__resolved_at=None), distinct=True))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add subjects, subscriptions, meters, pauses and findings."""
        context |= {"customer": context["original"]}
        context |= {"page": customer_page(context["original"], now=timezone.now())}
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description="customer", ordering="name")
    def who(self, customer: Customer) -> str:
        """The name, and the e-mail address below it."""
        gone = " (deleted in Stripe)" if customer.deleted_at else ""
        return two_lines(customer.label + gone, customer.email if customer.name else "")

    @admin.display(description="subjects")
    def subject_keys(self, customer: Any) -> str:
        """The keys that OpenMeter files its usage under now."""
        return short_list([subject.key for subject in customer.current_subjects])

    @admin.display(description="meters")
    def meter_slugs(self, customer: Any) -> str:
        """What it is billed for by use."""
        return short_list([enrolment.meter.slug for enrolment in customer.known_enrolments])

    @admin.display(description="open findings", ordering="open_count")
    def open_findings(self, customer: Any) -> str:
        """How many things somebody should look at."""
        return chip(str(customer.open_count), tone=BAD, icon="flag") if customer.open_count else NOTHING

    @admin.display(description="Stripe", ordering="stripe_id")
    def in_stripe(self, customer: Customer) -> str:
        """Its page in Stripe's dashboard."""
        return stripe_link("customer", customer.stripe_id)
