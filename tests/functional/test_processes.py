"""Processes that the console starts end with it, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.console import ROOT

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone"),
]

DEMO_LIKE = """
import sys, time
from pathlib import Path
from sync.management.demo_processes import Processes
with Processes(home=Path("."), log=Path(sys.argv[1]), env={}) as processes:
    processes.start("sandbox", "run_sandbox", "--port", sys.argv[2])
    print(processes._running["sandbox"].pid, flush=True)
    time.sleep(60)
"""
CHILD = """
import os, signal, sys, time
from sync.management.parent_death import die_with_parent
die_with_parent(signal.SIGTERM, parent=int(sys.argv[1]) or os.getppid())
print("alive", flush=True)
time.sleep(60)
"""


def is_gone(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] == "Z"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(ready) -> None:
    end = time.monotonic() + 15
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestKilledDemo:
    def test_leaves_no_process_behind(self, tmp_path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        demo = subprocess.Popen(
            [sys.executable, "-c", DEMO_LIKE, str(tmp_path / "log"), str(port)],
            cwd=ROOT,
            env=os.environ | {"IGNORE_DOTENV": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        child = int(demo.stdout.readline())
        wait_until(lambda: answers(port))
        demo.kill()
        demo.communicate()
        wait_until(lambda: is_gone(child))


class TestDieWithParent:
    def test_ends_a_process_whose_parent_is_gone_already(self):
        run = subprocess.run(
            [sys.executable, "-c", CHILD, "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (run.returncode, run.stdout) == (-signal.SIGTERM, "")
