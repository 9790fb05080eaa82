"""Which process a worker is, and whether it is still alive."""

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from sync.models import Enrolment

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Process:
    """A process that no other one can be mistaken for: `home` names this boot and process namespace."""

    home: str
    pid: int
    started: str


def worker_name() -> str:
    """Return a name for a worker that no other worker has: where it runs, and which process it is."""
    own = _process(os.getpid())
    place = f"{own.home}/{own.pid}/{own.started}" if own else f"elsewhere/{os.getpid()}/0"
    return f"{socket.gethostname()[:30]}/{place}/{uuid.uuid4().hex[:8]}"


def free_dead_workers_enrolments() -> int:
    """Leases of processes of this machine that have ended are given up; return how many.

    Other machines' leases, and those where the kernel tells nothing, run out by themselves.
    """
    freed = 0
    owners = Enrolment.objects.exclude(lease_owner="").values_list("lease_owner", flat=True).distinct()
    for owner in owners:
        if _is_dead(owner):
            freed += Enrolment.objects.filter(lease_owner=owner).update(lease_owner="", lease_expires_at=None)
    return freed


def _is_dead(owner: str) -> bool:
    """Whether the owner certainly is a process of this boot and namespace that no longer runs."""
    own = _process(os.getpid())
    parts = owner.split("/")
    if own is None or len(parts) != 5 or parts[1] != own.home or not parts[2].isdigit():
        return False
    there = _process(int(parts[2]))
    return there is None or there.started != parts[3]


def _process(pid: int) -> _Process | None:
    """Return what the kernel says about a process, or None if there is none (or no Linux)."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = (PROC / "self/ns/pid").readlink().name.strip("pid:[]")
        # Fields after the command's closing bracket; the 22nd of all is the start in clock ticks.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended, only its parent has not looked yet.
    return None if fields[0] == "Z" else _Process(f"{boot}-{namespace}", pid, fields[19])
