"""Stretches of a billing period in which usage is not billed, each with the reason."""

from collections.abc import Iterable
from dataclasses import dataclass

from sync.domain.timeline import Span, subtract


@dataclass(frozen=True, slots=True)
class Unbilled:
    """A stretch whose usage is on no invoice of this period, and why, as a sentence."""

    span: Span
    why: str


def unbilled_parts(period: Span, reasons: Iterable[Unbilled]) -> list[Unbilled]:
    """Return disjoint stretches inside the period, in order of time; of two reasons the first one counts."""
    found: list[Unbilled] = []
    for reason in reasons:
        inside = period.meet(reason.span)
        taken = sorted(one.span for one in found)
        found += [Unbilled(span, reason.why) for span in (subtract(inside, taken) if inside else [])]
    return sorted(found, key=lambda one: one.span)
