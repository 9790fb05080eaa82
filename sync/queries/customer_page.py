"""One customer: whose usage it is, what is paid for, and how far it has been measured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from sync.models import Customer, Enrolment, Finding, Pause, Subject
from sync.queries.held_units import Asked
from sync.queries.item_usage import ItemUsage
from sync.queries.pauses import unpaused
from sync.queries.subscription_lines import SubscriptionLine, subscription_lines
from sync.queries.taken_along import units_taken_along

MOST = 20
"""Rows of each kind that the page shows; the lists have them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentLine:
    """A meter that the customer is on."""

    enrolment: Enrolment
    is_paused: bool
    usage: Sequence[tuple[ItemUsage, Decimal]]
    """The items that bill it, each with what was carried into its period from one that had closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPage:
    """What a customer's page shows beside the customer's own fields."""

    subjects: Sequence[Subject]
    subscriptions: Sequence[SubscriptionLine]
    enrolments: Sequence[EnrolmentLine]
    pauses: Sequence[Pause]
    findings: Sequence[Finding]
    """The open ones."""


def customer_page(customer: Customer, *, now: datetime) -> CustomerPage:
    """Return the page's parts; a constant number of queries."""
    subscriptions = list(customer.subscriptions.order_by("-created_at", "pk")[:MOST])
    lines = subscription_lines(subscriptions, now=now)
    usage = _with_taken_along([part for line in lines for part in line.items])
    going_on = set(unpaused(customer.enrolments.all()).values_list("pk", flat=True))
    return CustomerPage(
        subjects=list(customer.subjects.order_by("valid_to", "key", "pk")[:MOST]),
        subscriptions=lines,
        enrolments=[
            EnrolmentLine(
                enrolment=one,
                is_paused=one.pk not in going_on,
                usage=usage[one.pk],
            )
            for one in customer.enrolments.select_related("meter").order_by("meter__event_name")[:MOST]
        ],
        pauses=list(
            Pause.objects.filter(Q(customer=customer) | Q(customer=None, meter=None, resumed_at=None))
            .select_related("customer", "meter")
            .order_by("-paused_at", "-pk")[:MOST]
        ),
        findings=list(customer.findings.filter(resolved_at=None).order_by("-found_at", "-pk")[:MOST]),
    )


def _with_taken_along(items: Sequence[ItemUsage]) -> Mapping[int, list[tuple[ItemUsage, Decimal]]]:
    """Return by enrolment what it is billed for now, and what of that was carried along."""
    asked = [
        (part, Asked(part.enrolment.pk, part.span))
        for part in items
        if part.enrolment and part.span and part.units is not None
    ]
    found: dict[int, list[tuple[ItemUsage, Decimal]]] = defaultdict(list)
    along = units_taken_along([stretch for _part, stretch in asked])
    for (part, stretch), units in zip(asked, along, strict=True):
        found[stretch.enrolment_id].append((part, units))
    return found
