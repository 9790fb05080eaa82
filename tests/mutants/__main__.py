"""Apply each fault to a copy of the sources, run its tests there, and say which were caught."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
COPIED = ("billing_console", "sync", "templates", "tests", "manage.py", "pyproject.toml", "docs")
LIMIT_SECONDS = 300
"""How long the tests of one fault may take; all of them together, without any fault, three times as long."""


def main() -> int:
    """Print a line for each fault; return 1 if one was not caught, or the tests fail without any."""
    chosen = [fault for fault in FAULTS if not sys.argv[1:] or fault.name in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            _copy(ROOT / name, copy / name)
        tests = sorted({test for fault in chosen for test in fault.tests})
        if not _pass(copy, tests, limit=3 * LIMIT_SECONDS):
            print("The tests fail without any fault; nothing is proved.")
            return 1
        missed = [fault for fault in chosen if not _is_caught(copy, fault)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults were caught.")
    return 1 if missed else 0


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def _is_caught(copy: Path, fault: Fault) -> bool:
    with _broken(copy / fault.file, fault):
        caught = not _pass(copy, fault.tests)
    print(f"{'caught' if caught else 'MISSED':7} {fault.name}: {fault.harm}", flush=True)
    return caught


@contextmanager
def _broken(path: Path, fault: Fault) -> Iterator[None]:
    sound = path.read_text()
    path.write_text(sound.replace(fault.old, fault.new))
    try:
        yield
    finally:
        path.write_text(sound)


def _pass(copy: Path, tests: Sequence[str], *, limit: int = LIMIT_SECONDS) -> bool:
    """Whether these tests pass in the copy; hanging is failing. A test that is not there is an error."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=os.environ | {"IGNORE_DOTENV": "1"},
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in {0, 1}:
        # Neither passed nor failed: collected nothing, or a fault that is no Python any more.
        sys.exit(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
