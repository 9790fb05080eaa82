"""Choose the OpenMeter meter that is to measure something, from those that there are."""

from collections.abc import Collection, Sequence

from sync.domain.meters import why_not_additive
from sync.ports import InvalidInput, SourceMeter, UsageSource

MOST_NAMED = 20


def choose_source(openmeter: UsageSource, *, slug: str, filters: Collection[str] = ()) -> SourceMeter:
    """Return OpenMeter's meter of this slug, which can be billed and groups by every key of `filters`.

    Raises `InvalidInput`, with the meters that there are, where there is none; any other `SyncError` where
    OpenMeter does not answer.
    """
    sources = openmeter.meters()
    source = next((one for one in sources if one.slug == slug), None)
    if source is None:
        message = f"OpenMeter has no meter {slug}. {named(sources)}"
        raise InvalidInput(message)
    if problem := why_not_additive(source.aggregation):
        message = f"OpenMeter meter {slug} {problem}."
        raise InvalidInput(message)
    check_keys(source, filters)
    return source


def check_keys(source: SourceMeter, filters: Collection[str]) -> None:
    """Raise `InvalidInput` where usage is filtered by something that OpenMeter does not group it by."""
    if unknown := sorted(set(filters) - set(source.group_by)):
        known = ", ".join(source.group_by) or "nothing"
        message = (
            f"OpenMeter's meter {source.slug} does not group by {', '.join(unknown)} (it groups by: {known})."
        )
        raise InvalidInput(message)


def named(sources: Sequence[SourceMeter]) -> str:
    """Return the sentence that says which meters OpenMeter has, and which of them can be billed."""
    if not sources:
        return "It has no meter yet: create one there first."
    ordered = sorted(sources, key=lambda one: (bool(why_not_additive(one.aggregation)), one.slug))
    words = [f"{one.slug} ({_measures(one)})" for one in ordered[:MOST_NAMED]]
    more = f" and {len(ordered) - MOST_NAMED} more" if len(ordered) > MOST_NAMED else ""
    return f"It has: {', '.join(words)}{more}."


def _measures(source: SourceMeter) -> str:
    cannot = ", cannot be billed" if why_not_additive(source.aggregation) else ""
    return f"{source.aggregation}{cannot}"
