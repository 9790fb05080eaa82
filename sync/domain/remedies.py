"""What a report's status and a finding mean, and what a person can do about it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explained:
    """What is the case, and what to do; `remedy` is empty where nobody has to do anything."""

    meaning: str
    remedy: str = ""


REPORTS: Mapping[str, Explained] = {
    "pending": Explained("Planned, and not sent yet: the next run sends it to Stripe."),
    "sending": Explained(
        "On its way to Stripe. If the process that sent it has died, the next run sends it again under the "
        "same identifier, which cannot bill it twice."
    ),
    "delivered": Explained("Stripe has it and bills it in the period that it falls into."),
    "unknown": Explained(
        "Nobody knows whether Stripe has it: the call was cut off, and it is too late to ask again safely.",
        "Look for its identifier in Stripe's logs. If it has not arrived, retry it, saying how you know; if "
        "it has, dismiss it: its usage then counts as told.",
    ),
    "rejected": Explained(
        "Stripe refused it, so it is not billed.",
        "Remove what Stripe names as the reason, then retry it: it is sent as a new revision with a new "
        "identifier. Dismiss it if it shall not be billed.",
    ),
    "superseded": Explained("A newer measurement took its place before it was sent."),
    "replaced": Explained("A new revision took its place; this one is not billed."),
    "held": Explained(
        "It looks wrong, so nothing was sent.",
        "Release it if it is right: the next run sends it to Stripe. Dismiss it if the measurement was "
        "wrong: the slice then stays at what Stripe was told. One that is released after its period has "
        "closed becomes late.",
    ),
    "late": Explained(
        "Its billing period has closed, so Stripe would put it on no invoice.",
        "Carry it forward: it is then billed in the period that is open now. Or dismiss it with a reason. "
        "Should its invoice turn out to be open still, it goes out by itself.",
    ),
    "carried": Explained("Its usage was carried forward into an open slice."),
    "dismissed": Explained("A person decided that it is never sent."),
}
"""By status of a ledger row."""

TRIED_AGAIN = Explained(
    "Nobody knows yet whether Stripe has it; it is sent again under the same identifier, which cannot bill "
    "it twice."
)
"""For an unknown one that still has a next attempt."""

HALF_CLOSED = Explained(
    "Several items bill this usage. The period of one has closed, so only the others still can; nothing was "
    "sent.",
    "Release it: Stripe then bills it by the items whose period is open. What the closed one misses needs an "
    "invoice item in Stripe. Dismiss it if nobody shall pay for it: it counts as told. If the invoice turns "
    "out to be open still, it goes out by itself.",
)
"""For a held one that waits for nothing but a closed period."""

ALREADY_BILLED = Explained(
    "Stripe holds usage of this slice that this console did not send: another tool reported it, or this "
    "console did, before its database was put back. Nothing was sent.",
    "Already billed counts what Stripe holds as told, and the rest is sent. Dismiss it if all of it is "
    "billed already, whatever the units. Release it to have it billed on top of what Stripe holds.",
)
"""For a held one of whose slice Stripe holds more than the ledger told it."""

FINDINGS: Mapping[str, str] = {
    "subject_never_seen": (
        "Find out under which key OpenMeter files this customer's usage, and link it. If the customer has "
        "not used anything yet, nothing is wrong."
    ),
    "subject_claimed_twice": (
        "Correct metadata.external_key of one of the two customers in Stripe, or move the subject here."
    ),
    "item_without_meter": "Move the subscription to a price with a billing meter in Stripe.",
    "meter_without_slug": (
        "Create the meter in OpenMeter, or enter the right slug on the meter's page; then sync with Stripe."
    ),
    "meter_unsupported": "Start a new definition of the meter, and move its prices to it.",
    "meter_refused": "Reactivate the meter in Stripe: the next sync resumes it.",
    "billed_twice": "Keep one of the items in Stripe and remove the others.",
    "legacy_price": "Move the subscriptions to a price with a billing meter in Stripe.",
    "usage_untaken": (
        "If it has to be billed, run Stripe setup for a further meter with filters that take it, or start a "
        "new definition of a meter. If events carry a wrong value, have them corrected in OpenMeter. If it "
        "is free of charge on purpose, let it stand: nothing else waits for it."
    ),
    "brake": "Look at the held reports: release those that are right, dismiss those that are not.",
    "already_billed": (
        "Find out who reported it: another tool, or this console before its database was put back. Choose "
        "Already billed on the held reports, or Start at on the enrolment; release them to bill them on top."
    ),
    "late": (
        "Carry the late reports forward into the periods that are open now, or dismiss them with a reason."
    ),
    "rejected": "Remove what Stripe names as the reason, then retry the refused reports.",
    "refused_unnamed": (
        "Compare what was sent shortly before with the usage that Stripe shows for the meter's customers: "
        "what is missing there was not billed. Then resolve this."
    ),
    "half_closed": (
        "Look at the held reports: release those that the open periods shall bill, dismiss the others."
    ),
    "invoice_gone": (
        "If the usage has to be paid, bill it in Stripe with an invoice item or a new invoice. Then resolve "
        "this."
    ),
    "not_invoiced": (
        "If the usage has to be paid, add an invoice item in Stripe, then resolve this. Next time, let "
        "Stripe make an invoice at once when a subscription is canceled at once."
    ),
    "swap_not_billed": (
        "If the usage has to be paid, add an invoice item in Stripe, then resolve this. Next time, change a "
        "price where a period begins, or shortly after everything was reported."
    ),
    "swap_repriced": (
        "Decide whether the customer shall pay the difference, or get it back: Stripe does neither by "
        "itself. Then resolve this."
    ),
    "swap_undated": (
        "Look in Stripe when the price changed, and whether what was reported about then is on an invoice. "
        "Give the key read access to events, so that changes are dated exactly. Then resolve this."
    ),
    "missing_at_stripe": (
        "Sync with Stripe and compare again: it may have refused the usage later. What stays missing is on "
        "no invoice: see the reports of these days, and add an invoice item in Stripe if it has to be paid."
    ),
    "surplus_at_stripe": (
        "Find out who else reports to this meter. What is billed twice is taken back in Stripe: with a meter "
        "event of less, while the invoice is open, or with a credit note."
    ),
    "invoice_differs": (
        "See the billing period, which says what was reported and when. Correct the amount in Stripe with an "
        "invoice item or a credit note, then resolve this."
    ),
    "measured_otherwise": (
        "The next comparison of days measures it again, unless a report of these hours waits for a person: "
        "decide on that one."
    ),
    "without_customer": (
        "Link the subject to its customer; what Stripe still takes is then billed. If nobody is to be billed "
        "for it, nothing is wrong."
    ),
    "without_subscription": (
        "Give the customer a subscription with a price on this meter, or see that it is used by nobody who "
        "does not pay."
    ),
    "not_billable": "Nothing has to be done, if that is how it was agreed with these customers.",
    "unknown_outcome": "Look in Stripe whether the report arrived; then retry or dismiss it.",
}
"""What to do, by kind of finding."""

COMES_BACK = frozenset(
    {
        "subject_never_seen",
        "subject_claimed_twice",
        "item_without_meter",
        "meter_without_slug",
        "meter_unsupported",
        "billed_twice",
        "legacy_price",
        "usage_untaken",
        "missing_at_stripe",
        "surplus_at_stripe",
        "measured_otherwise",
        "without_customer",
        "without_subscription",
        "not_billable",
    }
)
"""Kinds that are looked for again and again: resolved by hand, they come back while their cause persists."""


def explain_report(
    status: str, *, is_tried_again: bool, half_closed: bool = False, already_billed: bool = False
) -> Explained:
    """Return what a report's status means and what to do."""
    if status == "unknown" and is_tried_again:
        return TRIED_AGAIN
    if status == "held" and already_billed:
        return ALREADY_BILLED
    if status == "held" and half_closed:
        return HALF_CLOSED
    return REPORTS[status]
