"""The ledger: what was measured, what is meant to be billed, and what Stripe was told."""

from datetime import UTC, datetime

from django.db import models
from django.db.models import F, Q

from sync.domain.accounts import Counts
from sync.models.catalog import Meter
from sync.models.customers import Customer
from sync.models.expressions import Literal
from sync.models.fields import QuantityField
from sync.models.runs import ReportRun


class Enrolment(models.Model):
    """One customer on one meter: the unit that is planned and claimed; `Pause` says what stands still."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="enrolments")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="enrolments")
    report_from = models.DateTimeField(null=True, blank=True)
    """Usage before this is not ours to report; null means everything Stripe would still bill."""
    planned_through = models.DateTimeField(null=True, blank=True)
    """Every billable slice that ends at or before this has been measured at least once."""
    anew = models.PositiveIntegerField(default=0)
    """Goes up whenever something turns out to be billable that was not known to be: a plan made before that
    must not move the mark."""
    checked_at = models.DateTimeField(null=True, blank=True)
    """When it was compared with Stripe before its first delivery; null: nothing of it is sent before that."""
    lease_owner = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        default_permissions = ("view",)
        permissions = [("start_enrolment", "Can choose from when on usage is reported")]
        constraints = [
            models.UniqueConstraint(fields=["customer", "meter"], name="enrolment_once"),
            models.CheckConstraint(
                condition=Q(lease_owner="", lease_expires_at=None)
                | (~Q(lease_owner="") & Q(lease_expires_at__isnull=False)),
                name="lease_has_owner_and_end",
            ),
        ]

    def __str__(self) -> str:
        """Name customer and meter."""
        return f"{self.customer_id} on {self.meter_id}"

    def set_back(self, mark: datetime) -> None:
        """Count nothing as measured from the mark on; plans made before are refused. Saves nothing."""
        self.anew += 1
        if self.planned_through:
            self.planned_through = min(self.planned_through, mark)


class UsageReport(models.Model):
    """A ledger row: "the quantity of this enrolment in this slice is Q", with a revision number.

    `quantity` is what the slice comes to; `value` is what Stripe is told: the difference to earlier
    revisions in the delta style, the quantity itself in the set style.
    """

    class Status(models.TextChoices):
        """Where the row stands; `docs/ledger.md` draws the ways between them."""

        PENDING = "pending"
        SENDING = "sending"
        DELIVERED = "delivered"
        UNKNOWN = "unknown"
        REJECTED = "rejected", "Refused"
        SUPERSEDED = "superseded"
        REPLACED = "replaced"
        HELD = "held"
        LATE = "late"
        CARRIED = "carried"
        DISMISSED = "dismissed"

        @property
        def word(self) -> str:
            """What pages, messages and files call it."""
            return str(self.label).lower()

    WITHDRAWN = (Status.SUPERSEDED, Status.REPLACED)
    """Rows that a later revision took the place of, as if they had never been."""
    BLOCKING = (Status.SENDING, Status.UNKNOWN, Status.REJECTED, Status.HELD, Status.LATE)
    """A slice with one of these gets no further revision until it is settled."""
    UNSETTLED = (Status.PENDING, *BLOCKING)
    """A slice with one of these is measured in every run, however old it is."""

    enrolment = models.ForeignKey(Enrolment, on_delete=models.PROTECT, related_name="reports")
    slice_start = models.DateTimeField()
    slice_end = models.DateTimeField()
    revision = models.PositiveIntegerField()
    measured = QuantityField()
    carried = QuantityField(default=0)
    quantity = QuantityField()
    value = QuantityField()
    event_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    """When the billing period it falls into closes, as known when it was planned or last mirrored."""
    identifier = models.CharField(max_length=100, unique=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    key_series = models.PositiveIntegerField(default=0)
    """Part of the Idempotency-Key; raised after an answer that Stripe would otherwise repeat for 24 h."""
    maybe_arrived = models.BooleanField(default=False)
    """Whether some attempt may have reached Stripe without our learning of it."""
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    stripe_request_id = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    decision = models.TextField(blank=True)
    """The reason a person gave for releasing, dismissing or retrying it."""
    written_off = models.BooleanField(default=False)
    """A person decided that this usage, though measured, will not be billed: it counts for its slice."""
    half_closed = models.BooleanField(default=False)
    """It was held because one of several billing periods had closed; it goes out if that turns out open."""
    compared_at = models.DateTimeField(null=True, blank=True)
    """When Stripe was last asked what it holds of its slice."""
    beside = QuantityField(null=True, blank=True)
    """Units that Stripe held of its slice beside what this ledger told it: why it was held, or adopted."""
    run = models.ForeignKey(ReportRun, on_delete=models.PROTECT, related_name="reports")
    sent_by = models.ForeignKey(
        ReportRun, null=True, blank=True, on_delete=models.PROTECT, related_name="sent", db_index=False
    )
    """The run that sent it last, where that is not the one that planned it: most rows need no entry."""
    corrects = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="corrections"
    )
    created_at = models.DateTimeField()

    class Meta:
        verbose_name, verbose_name_plural = "report", "reports"
        ordering = ["enrolment", "slice_start", "revision"]
        default_permissions = ("view",)
        permissions = [
            ("release_usagereport", "Can release a held report"),
            ("dismiss_usagereport", "Can dismiss a report"),
            ("retry_usagereport", "Can retry a refused report"),
            ("carry_usagereport", "Can carry a late report forward"),
            ("compare_usagereport", "Can compare a report with Stripe's totals"),
            ("adopt_usagereport", "Can count what Stripe holds already as billed"),
        ]
        indexes = [
            models.Index(fields=["status", "next_attempt_at"], name="report_due"),
            models.Index(
                fields=["enrolment"],
                condition=Q(status__in=["pending", "sending", "unknown", "rejected", "held", "late"]),
                name="report_open",
            ),
            models.Index(fields=["slice_end"], name="report_slice_end"),
            models.Index(
                fields=["stripe_request_id"], condition=~Q(stripe_request_id=""), name="report_request"
            ),
            models.Index(
                fields=["sent_by"], condition=Q(sent_by__isnull=False), name="report_sent_by_another"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["enrolment", "slice_start", "revision"], name="report_revision_once"
            ),
            models.CheckConstraint(
                condition=Q(slice_end__gt=F("slice_start")), name="slice_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(event_at__gte=F("slice_start"), event_at__lt=F("slice_end")),
                name="event_lies_in_slice",
            ),
            models.CheckConstraint(condition=Q(revision__gte=1), name="revision_from_one"),
            models.CheckConstraint(
                condition=Q(status="delivered", delivered_at__isnull=False, first_sent_at__isnull=False)
                | (~Q(status="delivered") & Q(delivered_at=None)),
                name="delivered_iff_delivered_at",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["sending", "unknown"]) | Q(first_sent_at__isnull=False),
                name="sending_was_sent",
            ),
            models.CheckConstraint(
                condition=~Q(status="superseded") | Q(first_sent_at=None), name="superseded_was_never_sent"
            ),
            models.CheckConstraint(
                condition=Q(next_attempt_at=None) | Q(status__in=["pending", "unknown"]),
                name="only_waiting_rows_have_next_attempt",
            ),
            models.CheckConstraint(
                condition=Q(written_off=False) | Q(status="dismissed"), name="only_dismissed_is_written_off"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["dismissed", "replaced", "carried"]) | ~Q(decision=""),
                name="a_decision_has_a_reason",
            ),
        ]

    def __str__(self) -> str:
        """Name slice and revision."""
        return f"{self.identifier} ({self.status_word})"

    @property
    def page_name(self) -> str:
        """What its page is called: whose usage, of what, when."""
        start, end = self.slice_start.astimezone(UTC), self.slice_end.astimezone(UTC)
        until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
        of = f"{self.enrolment.customer.label}, {self.enrolment.meter.slug}"
        return f"{of}, {start:%Y-%m-%d %H:%M} to {until} UTC"

    @property
    def status_word(self) -> str:
        """How it stands, as people call it."""
        return self.Status(self.status).word

    @property
    def counts(self) -> Counts:
        """Return how it counts for its slice."""
        return how_it_counts(self.status, written_off=self.written_off, maybe_arrived=self.maybe_arrived)

    @property
    def sender(self) -> ReportRun | None:
        """The run that sent it last, or None: nothing was sent yet."""
        return (self.sent_by or self.run) if self.first_sent_at else None


def is_unsettled() -> Q:
    """Return the condition for rows that are not settled, written as the index of these is."""
    return Q(status__in=[Literal(status.value) for status in UsageReport.UNSETTLED])


def of_request(*request_ids: str) -> Q:
    """Return the condition for rows of these calls to Stripe, written so that their index is used."""
    return Q(stripe_request_id__in=request_ids) & ~Q(stripe_request_id=Literal(""))


def how_it_counts(status: str, *, written_off: bool, maybe_arrived: bool = False) -> Counts:
    """Return how a row of this status counts for its slice; `docs/decisions/0002` says why."""
    if status == UsageReport.Status.DISMISSED and written_off:
        return Counts.AS_ACCOUNTED if maybe_arrived else Counts.AS_WRITTEN_OFF
    if status == UsageReport.Status.CARRIED:
        # Another slice bills it.
        return Counts.AS_WRITTEN_OFF
    if status == UsageReport.Status.DISMISSED:
        return Counts.NOT
    return Counts.NOT if status in UsageReport.WITHDRAWN else Counts.AS_ACCOUNTED


class DeliveryAttempt(models.Model):
    """A call to Stripe that did not deliver its report. Append-only."""

    report = models.ForeignKey(UsageReport, on_delete=models.PROTECT, related_name="delivery_attempts")
    run = models.ForeignKey(ReportRun, on_delete=models.PROTECT, related_name="delivery_attempts")
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=30)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    code = models.CharField(max_length=100, blank=True)
    message = models.TextField(blank=True)
    stripe_request_id = models.CharField(max_length=255, blank=True)
    attempted_at = models.DateTimeField()

    class Meta:
        ordering = ["report", "number", "id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(
                fields=["stripe_request_id"], condition=~Q(stripe_request_id=""), name="attempt_request"
            ),
        ]

    def __str__(self) -> str:
        """Name report, number and outcome."""
        return f"{self.report_id} #{self.number}: {self.outcome}"


class CallBudget(models.Model):
    """When the next meter-event call may start: the rate limit that all workers share."""

    name = models.CharField(max_length=50, unique=True)
    next_call_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        """Name the budget."""
        return self.name
