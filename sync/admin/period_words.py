"""What the page of a billing period says of it, in sentences."""

from collections.abc import Iterator

from sync.admin.formats import units
from sync.domain.remedies import Explained, explain_report
from sync.models import UsageReport
from sync.queries.period_story import PeriodStory

Status = UsageReport.Status

MEANS = {
    Status.DELIVERED: "Stripe has them.",
    Status.PENDING: "They are on their way, and go out by themselves.",
    Status.HELD: "They look wrong, or only some of their periods are open: a person has to decide.",
    Status.LATE: "Their period had closed before they were sent.",
    Status.REJECTED: "Stripe refused them.",
    Status.UNKNOWN: "Nobody knows whether Stripe has them.",
    Status.DISMISSED: "A person decided that they are never sent.",
    Status.CARRIED: "They were carried forward, and are billed in a later period.",
}
"""What the reports of a status are to the period's bill."""


def verdict(story: PeriodStory) -> list[str]:
    """Return why the period's usage is billed or not, the most telling sentence first."""
    if story.enrolment is None:
        return ["This item is not billed by what a meter counts, so nothing is reported for it."]
    return list(_sentences(story))


def answer_of(report: UsageReport) -> str:
    """Return how a report that was not delivered stands, in a sentence."""
    if report.decision or report.error:
        return report.decision or report.error
    return explained(report).meaning


def explained(report: UsageReport) -> Explained:
    """Return what a report's status means and what to do."""
    return explain_report(
        report.status,
        is_tried_again=report.next_attempt_at is not None,
        half_closed=report.half_closed,
        already_billed=report.beside is not None,
    )


def _sentences(story: PeriodStory) -> Iterator[str]:
    yield _measured(story)
    if story.taken_along > 0:
        yield f"{units(story.taken_along)} of them were carried forward from a period that had closed."
    if story.taken_along < 0:
        yield f"{units(-story.taken_along)} units that were billed too much before are taken off in this one."
    if story.is_coming:
        yield f"{units(story.is_coming)} units are on their way and go out by themselves."
    if story.waits:
        yield f"{units(story.waits)} units wait for a person: see the reports that are marked below."
    if story.given_up:
        yield f"{units(story.given_up)} units are not billed in this period, because a person decided so."
    if any(part.status == Status.DISMISSED and not part.units for part in story.parts):
        yield "Reports whose measurement was wrong were dismissed; they change nothing."
    yield from _invoice(story)


def _measured(story: PeriodStory) -> str:
    if not story.measured and not story.delivered:
        return "No usage was measured in this period so far."
    if story.measured == story.delivered:
        return f"All {units(story.measured)} units that were measured have been delivered to Stripe."
    return (
        f"{units(story.measured)} units were measured, {units(story.delivered)} of them have been delivered "
        "to Stripe."
    )


def _invoice(story: PeriodStory) -> Iterator[str]:
    period, missing = story.line.period, story.line.missing
    if period.billed_quantity is None:
        yield f"The invoice: {story.line.standing}."
    elif missing == 0:
        yield f"The final invoice bills {units(period.billed_quantity)} units, which is what was delivered."
    elif missing:
        word = "less" if missing > 0 else "more"
        yield (
            f"The final invoice bills {units(period.billed_quantity)} units, {units(abs(missing))} {word} "
            "than was delivered: look for a finding of this customer."
        )
