"""Move open period…: a key becomes another customer's with all that was used since the open period began."""

from datetime import datetime
from functools import cached_property

from django import forms
from django.utils import timezone

from sync.admin.dialogs.choose_first import ChooseFirst
from sync.admin.dialogs.customer_field import SCRIPTS, STYLES, CustomerField
from sync.admin.dialogs.dialog import DialogForm, Outcome, Place, Preview
from sync.admin.dialogs.move_subject import OVER
from sync.admin.formats import amounts, from_to, units
from sync.admin.links import report_usage_sentence, row_url
from sync.domain.stake import Movement, stake_of
from sync.models import Customer, Subject
from sync.operations.move_open_period import move_open_period
from sync.operations.plan_open_move import InvoiceChange, OpenMove, plan_open_move
from sync.wiring import connect


class OpenPeriodChoice(DialogForm):
    """Asks who gets the key."""

    customer = CustomerField(
        label="New customer",
        help_text="Who pays for the open period and from then on: type a name, an e-mail address or an id.",
    )

    class Media:
        """What searching a customer needs."""

        js = SCRIPTS
        css = STYLES


class MoveOpenPeriod(ChooseFirst):
    """Somebody else pays for what was used under a key since the open billing period began."""

    name = "move_open_period"
    title = "Move a subject's open period"
    button = "Move open period…"
    icon = "swap_horizontal_circle"
    submit = "Move the open period"
    permission = "sync.move_open_period"
    holds_to_preview = True
    dangerous = True
    places = frozenset({Place.OBJECT})
    choose_class = OpenPeriodChoice
    choose = "Show what leaves one invoice and enters the other"

    @classmethod
    def why_not(cls, row: Subject) -> str:
        """Only what goes on can change hands."""
        return OVER if row.valid_to else ""

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Another customer pays for this key, with all that was used since the billing periods began that "
            "are open now. Closed periods never move."
        )

    @cached_property
    def now(self) -> datetime:
        """When the question is asked."""
        return timezone.now()

    @cached_property
    def plan(self) -> OpenMove:
        """What it comes to. Raises `SyncError`."""
        connections, customer = connect(), self.choice["customer"]
        return plan_open_move(
            subject=self.rows[0],
            customer=customer,
            source=connections.openmeter,
            brake_percent=connections.config.brake_percent,
            now=self.now,
        )

    def preview_of_choice(self) -> Preview:
        """Show meter by meter what leaves one invoice and enters the other, and from when on."""
        plan = self.plan
        key, old, new = plan.key.subject.key, plan.key.subject.customer, plan.key.customer
        at = f"{plan.start.at:%Y-%m-%d %H:%M} UTC"
        return Preview(
            sentences=[
                f"From {at} on {new.label} pays for usage under {key}, and {old.label} does not.",
                f"What was used before stays with {old.label}: {plan.start.because}.",
                *(
                    self._what_is_sent(plan, old)
                    if plan.changes
                    else [f"Nothing was used under {key} since."]
                ),
                *plan.unbilled,
                *_held(plan),
            ],
            headers=("meter", "invoice of", "used", "units", "amount"),
            rows=[_row(change, plan) for change in plan.changes],
            stake=stake_of(
                Movement(change.enrolment.meter.slug, change.units, change.amounts) for change in plan.changes
            ),
        )

    @staticmethod
    def _what_is_sent(plan: OpenMove, old: Customer) -> list[str]:
        return [
            f"What was sent for {old.label} is taken back, and sent for {plan.key.customer.label} instead, "
            "by the next run. The brake does not hold it, as you order it here."
        ]

    def act(self, form: forms.Form) -> Outcome:
        """Move it."""
        old, customer = self.rows[0], self.choice["customer"]
        moved = move_open_period(move=self.plan, why=form.cleaned_data["why"], who=self.who, now=self.now)
        about = {row.pk: row for row in (old, moved)}.values()
        return Outcome(
            message=(
                f"Moved {old.key} from {old.customer.label} to {customer.label}, with all that was used "
                f"since {self.plan.start.at:%Y-%m-%d %H:%M} UTC."
            ),
            about=[*about, old.customer, customer],
            next_step=report_usage_sentence(self.request) if self.plan.changes else "",
            url=row_url(moved),
        )


def _row(change: InvoiceChange, plan: OpenMove) -> tuple[object, ...]:
    verb = "leaves" if change.units < 0 else "enters"
    return (
        change.enrolment.meter.slug,
        f"{change.enrolment.customer.label} ({verb} it)",
        from_to(plan.start.at, plan.until),
        units(change.units),
        amounts(change.amounts),
    )


def _held(plan: OpenMove) -> list[str]:
    if not plan.held:
        return []
    count = "1 report" if plan.held == 1 else f"{plan.held} reports"
    return [
        f"{count} of {plan.key.customer.label} would be held, as they have more units than the meter's "
        "limit: release them under Reports."
    ]
