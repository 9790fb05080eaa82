"""How reporting stands, as plain data for probes and commands; it names no customer."""

from datetime import datetime
from typing import Any

from sync.queries.reporting_health import ReportingHealth


def health_facts(health: ReportingHealth) -> dict[str, Any]:
    """Return what `/healthz`, `/readyz` and `check_reporting` all say. Instants are ISO, UTC."""
    return {
        "status": "ok" if health.is_well else "problem",
        "problems": [
            {"kind": problem.kind.value, "sentence": problem.sentence} for problem in health.problems
        ],
        "checked_at": _iso(health.checked_at),
        "in_use": health.in_use,
        "last_full_run_at": _iso(health.last_full_run_at),
        "next_run_at": _iso(health.next_run_at),
        "oldest_undelivered_end": _iso(health.oldest_undelivered_end),
        "worker_alive": health.worker_alive,
        "worker_seen_at": _iso(health.worker_seen_at),
        "everything_is_paused": health.paused is not None,
    }


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds") if instant else None
