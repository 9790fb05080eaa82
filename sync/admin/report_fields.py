"""Fields of a report's page that are left out where they have nothing to say."""

from collections.abc import Callable, Mapping
from typing import Any

from sync.models import UsageReport

WHERE_IT_SAYS_SOMETHING: Mapping[str, Callable[[UsageReport], object]] = {
    "carried_units": lambda report: report.carried,
    "may_have_arrived": lambda report: report.maybe_arrived,
    "comes_from": lambda report: report.corrects_id,
    "goes_into": lambda report: report.status == UsageReport.Status.CARRIED,
    "next_attempt_at_shown": lambda report: report.next_attempt_at,
}
"""Name of a field → whether it says something of a report."""


def telling_fieldsets(fieldsets: Any, report: UsageReport | None) -> list[tuple[str, dict[str, Any]]]:
    """Return the fieldsets without what says nothing of this report."""
    silent = {name for name, says in WHERE_IT_SAYS_SOMETHING.items() if report and not says(report)}
    return [
        (title, {**options, "fields": [one for one in options["fields"] if _name_of(one) not in silent]})
        for title, options in fieldsets
    ]


def _name_of(field: Any) -> str:
    return field if isinstance(field, str) else str(field.__name__)
