"""Find what keeps usage of living subscriptions from being billed right."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from django.db.models import Count, Exists, F, OuterRef

from sync.models import Finding, Meter, Price
from sync.operations.link_meters import MeterProblem
from sync.operations.record_findings import FoundIssue
from sync.queries.overlapping import overlapping_pairs
from sync.queries.silent_customers import living_items, silent_customers

Kind = Finding.Kind
CHUNK = 500


def find_item_obstacles() -> Iterator[FoundIssue]:
    """Yield metered items without a meter, items billed twice, and legacy prices in use."""
    lost = living_items().filter(price__usage_type="metered", meter=None)
    for item in lost.select_related("subscription", "price").iterator(CHUNK):
        yield FoundIssue(
            kind=Kind.ITEM_WITHOUT_METER,
            fingerprint=item.stripe_id,
            message=(
                f"Metered item {item.stripe_id} of subscription {item.subscription.stripe_id} has no meter, "
                "so its usage is not reported; move it to a price with a billing meter."
            ),
            customer_id=item.subscription.customer_id,
            item_id=item.pk,
        )
    legacy = Price.objects.filter(usage_type="metered", meter=None)
    for price in legacy.filter(Exists(living_items().filter(price=OuterRef("pk")))).iterator(CHUNK):
        yield FoundIssue(
            kind=Kind.LEGACY_PRICE,
            fingerprint=price.stripe_id,
            message=(
                f"Price {price} uses Stripe's usage records, which were removed in API 2025-03-31; move "
                "its subscriptions to a price with a billing meter."
            ),
        )
    yield from _billed_twice()
    yield from _billed_by_two_meters()


def find_meter_obstacles(unlinked: Mapping[int, MeterProblem]) -> Iterator[FoundIssue]:
    """Yield meters of living items that cannot be reported, with what to do."""
    for meter in Meter.objects.filter(Exists(living_items().filter(meter=OuterRef("pk")))):
        problem = unlinked.get(meter.pk)
        sentences = {Kind.METER_UNSUPPORTED: meter.unsupported}
        if problem and problem.kind is Kind.METER_WITHOUT_SLUG:
            sentences[problem.kind] = problem.sentence
        for kind, sentence in sentences.items():
            if sentence:
                yield FoundIssue(kind=kind, fingerprint=meter.stripe_id, message=sentence, meter_id=meter.pk)


def find_silent_customers() -> Iterator[FoundIssue]:
    """Yield customers with a metered item none of whose subjects ever appeared in OpenMeter."""
    for customer in silent_customers().prefetch_related("subjects").iterator(CHUNK):
        keys = ", ".join(subject.key for subject in customer.subjects.all()) or "no subject"
        yield FoundIssue(
            kind=Kind.SUBJECT_NEVER_SEEN,
            fingerprint=customer.stripe_id,
            message=(
                f"OpenMeter has never seen usage of {customer} (looked for: {keys}); check that events "
                "carry one of these subjects, or set the customer's metadata.external_key in Stripe."
            ),
            customer_id=customer.pk,
        )


def _billed_twice() -> Iterator[FoundIssue]:
    """Meter events name a customer, not a subscription: every item on the meter bills all of them."""
    doubled = (
        living_items()
        .filter(meter__isnull=False, meter=F("price__meter"))
        .order_by()
        .values(
            "meter_id",
            "meter__stripe_id",
            "meter__event_name",
            "subscription__customer_id",
            "subscription__customer__stripe_id",
        )
        .annotate(items=Count("pk"))
        .filter(items__gt=1)
    )
    for row in doubled.iterator(CHUNK):
        customer = row["subscription__customer__stripe_id"]
        yield FoundIssue(
            kind=Kind.BILLED_TWICE,
            fingerprint=f"{customer}:{row['meter__stripe_id']}",
            message=(
                f"Customer {customer} has {row['items']} living items on meter {row['meter__event_name']}, "
                "and Stripe bills the same usage on each of them; keep one."
            ),
            customer_id=row["subscription__customer_id"],
            meter_id=row["meter_id"],
        )


def _billed_by_two_meters() -> Iterator[FoundIssue]:
    """Yield customers with living items on meters that take the same usage: two definitions, mostly."""
    pairs = list(overlapping_pairs())
    if not pairs:
        return
    concerned = {meter.pk for pair in pairs for meter in pair}
    on_them = living_items().filter(meter__in=concerned, meter=F("price__meter")).order_by()
    columns = ("subscription__customer_id", "subscription__customer__stripe_id", "meter_id")
    meters_of: dict[tuple[int, str], set[int]] = defaultdict(set)
    for pk, customer, meter_id in on_them.values_list(*columns).distinct().iterator(CHUNK):
        meters_of[pk, customer].add(meter_id)
    for (pk, customer), meters in meters_of.items():
        for one, other in pairs:
            if {one.pk, other.pk} <= meters:
                yield FoundIssue(
                    kind=Kind.BILLED_TWICE,
                    fingerprint=f"{customer}:{one.stripe_id}:{other.stripe_id}",
                    message=(
                        f"Customer {customer} has living items on {one.event_name} and on "
                        f"{other.event_name}, which take the same usage of the OpenMeter meter "
                        f"{one.openmeter_slug}, so Stripe bills it twice; keep one."
                    ),
                    customer_id=pk,
                    meter_id=other.pk,
                )
