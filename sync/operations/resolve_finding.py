"""A person says that a finding needs nobody's attention any more."""

from datetime import datetime

from django.db import transaction

from sync.models import Finding
from sync.ports import InvalidInput
from sync.queries.finding_stakes import count_of


def resolve_finding(*, finding_id: int, why: str, who: str, now: datetime) -> Finding:
    """The finding is resolved; return it. What it is about stays as it is.

    One whose cause persists is found again by the next sync. Raises `InvalidInput` without a reason, for
    one that is resolved already, and while reports that it is about still wait: deciding on them resolves
    it.
    """
    if not why.strip():
        msg = "A finding is resolved for a reason: say why."
        raise InvalidInput(msg)
    with transaction.atomic():
        finding = Finding.objects.select_for_update(of=("self",)).filter(pk=finding_id).first()
        if finding is None or finding.resolved_at:
            msg = f"Finding {finding_id} is resolved already, or never was."
            raise InvalidInput(msg)
        if count := count_of(finding):
            left = "1 report still waits" if count == 1 else f"{count} reports still wait"
            msg = f"{left} for a decision. Release, retry or dismiss what waits: that resolves this finding."
            raise InvalidInput(msg)
        finding.resolved_at = now
        finding.resolution = f"Resolved by {who} at {now:%Y-%m-%d %H:%M:%S} UTC: {why.strip()}"
        finding.save(update_fields=["resolved_at", "resolution"])
    return finding
