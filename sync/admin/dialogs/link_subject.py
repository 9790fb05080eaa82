"""Link…: a key that OpenMeter files usage under becomes a customer's."""

from datetime import datetime
from functools import cached_property
from typing import ClassVar

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sync.admin.dialogs.choose_first import ChooseFirst
from sync.admin.dialogs.customer_field import SCRIPTS, STYLES, CustomerField
from sync.admin.dialogs.dialog import DialogForm, Outcome, Place, Preview
from sync.admin.dialogs.subject_preview import preview_usage, why_unbilled
from sync.admin.links import report_usage_sentence
from sync.domain.timeline import HOUR, floor_to
from sync.models import Customer
from sync.operations.link_subject import LONGEST_KEY, link_begins, link_subject, next_hour, why_taken
from sync.operations.measure_subject import MeasuredSubject, measure_subject, unclaimed_keys
from sync.ports import SyncError
from sync.queries.billed_stretches import billed_stretches, open_periods_begin
from sync.wiring import connect

PERIOD, EVER, NEXT = "period", "ever", "next"
SINCE = (
    (PERIOD, "the beginning of the billing periods that are open now"),
    (EVER, "ever: what lies in closed periods waits for a decision as late"),
    (NEXT, "the next full hour"),
)
MOST_SUGGESTED = 30


class LinkChoice(DialogForm):
    """Asks which key, and from when on."""

    key = forms.CharField(
        label="Key",
        max_length=LONGEST_KEY,
        help_text="The subject that OpenMeter files the usage under, or will, letter by letter.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    since = forms.ChoiceField(
        label="Its usage is the customer's since", choices=SINCE, widget=UnfoldAdminSelectWidget
    )


class LinkCustomerChoice(LinkChoice):
    """Asks whose the key is, too."""

    customer = CustomerField(label="Customer", help_text="Type a name, an e-mail address or an id.")
    field_order = ("key", "customer", "since")

    class Media:
        """What searching a customer needs."""

        js = SCRIPTS
        css = STYLES


class LinkSubject(ChooseFirst):
    """For a customer whose usage nobody can find under the keys that are known."""

    name = "link"
    title = "Link a subject"
    button = "Link…"
    icon = "add_link"
    submit = "Link"
    permission = "sync.link_subject"
    holds_to_preview = True
    places = frozenset({Place.LIST})
    template = "sync/link_subject.html"
    choose_class: ClassVar[type[LinkChoice]] = LinkCustomerChoice
    choose = "Show what it bills"

    def description(self) -> str:
        """Say what will happen."""
        return (
            "OpenMeter's usage under the key becomes this customer's. Nothing that was reported before "
            "changes; what is found of the past is reported by the next run."
        )

    @cached_property
    def now(self) -> datetime:
        """When the question is asked."""
        return timezone.now()

    @property
    def customer(self) -> Customer:
        """Whose the key becomes."""
        customer: Customer = self.choice["customer"]
        return customer

    @cached_property
    def since(self) -> datetime | None:
        """From when on; None means since ever. Nothing changes hands that was somebody else's."""
        return link_begins(key=self.choice["key"], since=self._asked_since())

    def _asked_since(self) -> datetime | None:
        if self.choice["since"] == EVER:
            return None
        begin = None
        if self.choice["since"] == PERIOD:
            begin = open_periods_begin(billed_stretches(self.customer, now=self.now), now=self.now)
        return floor_to(begin, HOUR) if begin else next_hour(self.now)

    @cached_property
    def suggestions(self) -> list[str]:
        """Keys that OpenMeter has seen and that belong to nobody; none where it does not answer."""
        try:
            return unclaimed_keys(connect().openmeter, now=self.now)[:MOST_SUGGESTED]
        except SyncError as error:
            self.no_suggestions = str(error)
            return []

    no_suggestions = ""
    """Why no keys are suggested."""

    @cached_property
    def measured(self) -> MeasuredSubject:
        """What OpenMeter has of the key where the customer is billed."""
        return measure_subject(
            key=self.choice["key"].strip(),
            customer=self.customer,
            since=self.since,
            openmeter=connect().openmeter,
            now=self.now,
        )

    def preview_of_choice(self) -> Preview:
        """Show how much usage this is about, and what it costs."""
        if taken := why_taken(self.choice["key"], customer=self.customer):
            return Preview(nothing_to_do=taken)
        measured = self.measured
        begin = f"from {self.since:%Y-%m-%d %H:%M} UTC on" if self.since else "since ever"
        sentences = [f"Usage of {self.choice['key']} counts {begin}, and is billed to {self.customer}."]
        if measured.is_subscribed and not measured.was_seen:
            sentences.append(
                "OpenMeter has no usage of this key in that time. If the key is new, that is right, and its "
                "usage counts as soon as it comes; if it is not, it is spelt differently there."
            )
        return preview_usage(measured, [*sentences, *why_unbilled(measured, self.customer)])

    def act(self, form: forms.Form) -> Outcome:
        """Link it."""
        subject = link_subject(
            key=self.choice["key"],
            customer=self.customer,
            since=self.since,
            was_seen=self.measured.was_seen,
            why=form.cleaned_data["why"],
            now=self.now,
        )
        is_past = subject.valid_from is None or subject.valid_from <= self.now
        return Outcome(
            message=f"Linked {subject.key} to {self.customer.label}.",
            about=[subject, self.customer],
            next_step=report_usage_sentence(self.request) if is_past and self.measured.was_seen else "",
        )


class LinkCustomerSubject(LinkSubject):
    """The same on a customer's page."""

    places = frozenset({Place.OBJECT})
    choose_class = LinkChoice

    @classmethod
    def why_not(cls, row: Customer) -> str:
        """Only who is still in Stripe gets usage."""
        return f"{row} was deleted in Stripe." if row.deleted_at else ""

    @property
    def customer(self) -> Customer:
        """The page's customer."""
        customer: Customer = self.rows[0]
        return customer
