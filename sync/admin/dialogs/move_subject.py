"""Move… and End…: a key becomes another customer's, or nobody's, from the next hour on."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

from django import forms
from django.utils import timezone

from sync.admin.dialogs.choose_first import ChooseFirst
from sync.admin.dialogs.customer_field import SCRIPTS, STYLES, CustomerField
from sync.admin.dialogs.dialog import Dialog, DialogForm, Outcome, Place, Preview
from sync.admin.dialogs.subject_preview import movements, why_unbilled, worth_of
from sync.admin.formats import amounts, from_to, units
from sync.admin.links import row_url
from sync.domain.stake import stake_of
from sync.models import Customer, Subject
from sync.operations.link_subject import next_hour
from sync.operations.measure_subject import MeasuredSubject, measure_subject
from sync.operations.move_subject import end_subject, move_subject
from sync.wiring import connect

OVER = "This link is over: whoever holds the key now can be moved instead."
HEADERS = ("stays with", "meter", "billed stretch", "units so far", "amount")
UNKNOWN = "Nothing was used under it lately where it is billed, so nobody can say what will be from then on."


class MoveChoice(DialogForm):
    """Asks who gets the key."""

    customer = CustomerField(
        label="New customer", help_text="Who pays from then on: type a name, an e-mail address or an id."
    )

    class Media:
        """What searching a customer needs."""

        js = SCRIPTS
        css = STYLES


def measure_kept(subject: Subject, *, now: datetime) -> MeasuredSubject:
    """Return what a key used so far where its customer is billed."""
    return measure_subject(
        key=subject.key,
        customer=subject.customer,
        since=subject.valid_from,
        openmeter=connect().openmeter,
        now=now,
    )


def preview_kept(subject: Subject, *, goes_to: str, sentences: Sequence[str], now: datetime) -> Preview:
    """Return what stays with a key's customer: as much as that will go elsewhere from then on."""
    measured = measure_kept(subject, now=now)
    used = [one for one in measured.usage if one.units]
    worth = worth_of(used)
    outlook = (
        f"What will be used from then on, nobody knows. At stake is what was used in the last five weeks: "
        f"as much again {goes_to}."
    )
    return Preview(
        sentences=[*sentences, *measured.obstacles, outlook if used else UNKNOWN],
        headers=HEADERS,
        rows=[
            (
                subject.customer.label,
                one.enrolment.meter.slug,
                from_to(one.span.start, one.span.end),
                units(one.units),
                amounts(money),
            )
            for one, money in zip(used, worth, strict=True)
        ],
        stake=stake_of(movements(used, worth)),
    )


class MoveSubject(ChooseFirst):
    """Somebody else pays for what is used under a key."""

    name = "move"
    title = "Move a subject"
    button = "Move…"
    icon = "swap_horiz"
    submit = "Move"
    permission = "sync.move_subject"
    holds_to_preview = True
    places = frozenset({Place.OBJECT})
    choose_class = MoveChoice
    choose = "Show what stays and what moves"

    @classmethod
    def why_not(cls, row: Subject) -> str:
        """Only what goes on can change hands."""
        return OVER if row.valid_to else ""

    def description(self) -> str:
        """Say what will happen."""
        return "From the next full hour on another customer pays for this key. What was used before stays."

    @cached_property
    def now(self) -> datetime:
        """When the question is asked."""
        return timezone.now()

    def preview_of_choice(self) -> Preview:
        """Show what the old customer keeps, and who pays from when on."""
        subject: Subject = self.rows[0]
        customer: Customer = self.choice["customer"]
        if customer.pk == subject.customer_id:
            return Preview(nothing_to_do=f"The key {subject.key} belongs to {customer} already.")
        at = max(next_hour(self.now), subject.valid_from or next_hour(self.now))
        then = measure_subject(
            key=subject.key, customer=customer, since=at, openmeter=connect().openmeter, now=self.now
        )
        return preview_kept(
            subject,
            goes_to=f"would be billed to {customer.label} instead of {subject.customer.label}",
            sentences=[
                f"From {at:%Y-%m-%d %H:%M} UTC on {customer.label} pays for usage under {subject.key}.",
                f"What was used before stays with {subject.customer.label}.",
                *why_unbilled(then, customer),
                *then.obstacles,
            ],
            now=self.now,
        )

    def act(self, form: forms.Form) -> Outcome:
        """Move it."""
        old, customer = self.rows[0], self.choice["customer"]
        moved = move_subject(subject_id=old.pk, customer=customer, why=form.cleaned_data["why"], now=self.now)
        about = {row.pk: row for row in (old, moved.subject)}.values()
        return Outcome(
            message=(
                f"Moved {old.key} from {old.customer.label} to {customer.label}, "
                f"from {moved.at:%Y-%m-%d %H:%M} UTC on."
            ),
            about=[*about, old.customer, customer],
            url=row_url(moved.subject),
        )


class EndSubject(Dialog):
    """Nobody pays any more for what is used under a key."""

    name = "end"
    title = "End a link"
    button = "End…"
    icon = "link_off"
    submit = "End"
    permission = "sync.end_subject"
    holds_to_preview = True
    places = frozenset({Place.OBJECT})
    dangerous = True

    @classmethod
    def why_not(cls, row: Subject) -> str:
        """Only what goes on can end."""
        return "This link is over already." if row.valid_to else ""

    def description(self) -> str:
        """Say what will happen."""
        return (
            "From the next full hour on usage under this key is billed to nobody, until it is linked again. "
            "What was used before stays."
        )

    @cached_property
    def now(self) -> datetime:
        """When the question is asked."""
        return timezone.now()

    def preview(self) -> Preview:
        """Show what stays."""
        now, subject = self.now, self.rows[0]
        at = max(next_hour(now), subject.valid_from or next_hour(now))
        sentence = f"{subject.key} belongs to nobody from {at:%Y-%m-%d %H:%M} UTC on."
        if subject.valid_from == at:
            sentence += " The link has not begun, so nothing is ever billed by it."
        return preview_kept(
            subject,
            goes_to="would be billed to nobody",
            sentences=[f"{sentence} No sync gives it back; Link… does."],
            now=now,
        )

    def act(self, form: forms.Form) -> Outcome:
        """End it."""
        why = form.cleaned_data["why"]
        ended = end_subject(subject_id=self.rows[0].pk, why=why, now=self.now)
        return Outcome(
            message=f"{ended.subject.key} belongs to nobody from {ended.at:%Y-%m-%d %H:%M} UTC on.",
            about=[ended.subject, ended.subject.customer],
            url=row_url(ended.subject.customer),
        )
