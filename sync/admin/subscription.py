"""Subscriptions, as Stripe has them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.views import ChangeList

from sync.admin.charts import usage_chart
from sync.admin.chips import SUBSCRIPTIONS, subscription_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.report_usage import ReportUsage
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.admin.formats import NOTHING, amounts, days, stripe_link, two_lines, when
from sync.admin.links import row_link
from sync.models import BillingPeriod, Subscription
from sync.queries.subscription_lines import subscription_lines
from sync.queries.subscription_page import subscription_page


class StatusFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Subscriptions by Stripe's status."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer every status that Stripe gives."""
        return [(status, word) for status, (word, _tone, _icon) in SUBSCRIPTIONS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        return queryset.filter(status=self.value()) if self.value() else queryset


class ClosesFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Subscriptions with a billing period whose invoice becomes final soon."""

    title = "period closes"
    parameter_name = "closes"
    spans = (("hour", "Within an hour", 1), ("day", "Within a day", 24), ("week", "Within a week", 168))

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer some spans."""
        return [(name, title) for name, title, _hours in self.spans]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        hours = {name: hours for name, _title, hours in self.spans}.get(self.value() or "")
        if not hours:
            return queryset
        now = timezone.now()
        closing = BillingPeriod.objects.filter(
            item__subscription=OuterRef("pk"), closes_at__gt=now, closes_at__lte=now + timedelta(hours=hours)
        )
        return queryset.filter(Exists(closing.filter(finalized_at=None)))


class SubscriptionList(ChangeList):  # type: ignore[misc] # unfold ships no types
    """Knows what the subscriptions of its page come to so far."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Ask for all rows of the page at once."""
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        for row, line in zip(rows, subscription_lines(rows, now=timezone.now()), strict=True):
            row.line = line
        self.result_list = rows


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    """Who is subscribed, since when and until when."""

    dialogs = (SyncStripe, ReportUsage)

    list_display = ["who", "state", "period", "closes", "so_far"]
    list_select_related = ["customer"]
    list_filter = [StatusFilter, ClosesFilter]
    search_fields = ["stripe_id", "customer__stripe_id", "customer__name", "customer__email"]
    search_help_text = "Customer's name or e-mail address, or a Stripe id"
    when_empty = "Subscriptions come from Stripe: Sync with Stripe… reads them."
    ordering = ["-created_at", "id"]
    fields = [
        "in_stripe",
        "customer_link",
        "state",
        "start_date",
        "trial_end",
        "cancel_at",
        "ended_at",
        "fetched_at",
    ]
    hidden_while_empty = ("trial_end", "cancel_at", "ended_at")
    readonly_fields = ["in_stripe", "customer_link", "state"]
    change_form_before_template = "sync/subscription.html"
    change_form_after_template = "sync/subscription_periods.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        """Return the list that adds up its page."""
        return SubscriptionList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add items, prices, periods, and this period's usage by day."""
        page = subscription_page(context["original"], now=timezone.now())
        parts = [(part, usage_chart(part.days) if part.days else None) for part in page.items]
        context |= {"subscription": context["original"], "page": page, "parts": parts}
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description="subscription", ordering="customer__name")
    def who(self, subscription: Subscription) -> str:
        """The customer's name, and the subscription's id below it."""
        return two_lines(subscription.customer.label, subscription.stripe_id)

    @admin.display(description="customer")
    def customer_link(self, subscription: Subscription) -> str:
        """Who pays."""
        return row_link(subscription.customer)

    @admin.display(description="status", ordering="status")
    def state(self, subscription: Subscription) -> str:
        """How it stands in Stripe."""
        return subscription_chip(subscription.status)

    @admin.display(description="current period")
    def period(self, subscription: Any) -> str:
        """The days of its current billing period."""
        span = subscription.line.span
        if not span:
            return NOTHING
        return days(span.start, span.end)

    @admin.display(description="closes")
    def closes(self, subscription: Any) -> str:
        """When the period's invoice becomes final."""
        return when(subscription.line.closes_at)

    @admin.display(description="estimated so far")
    def so_far(self, subscription: Any) -> str:
        """What this period's usage costs by the prices' tiers, before taxes and discounts."""
        return format_html('<span class="amount">{}</span>', amounts(subscription.line.amounts))

    @admin.display(description="Stripe")
    def in_stripe(self, subscription: Subscription) -> str:
        """Its page in Stripe's dashboard."""
        return stripe_link("subscription", subscription.stripe_id)
