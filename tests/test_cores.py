"""No process of ours leaves its memory on a disk when it crashes: leads and keys would be in it."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.server import lead, until

UNLIMITED = ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh"]
WHOLE = {"serve", "receivers", "receiver", "work"}
PATTERN = Path("/proc/sys/kernel/core_pattern")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what its processes may leave")


def cores(folder):
    return sorted(path.name for path in folder.glob("core*"))


def may_dump():
    """Tell whether a crash would leave a core in the folder of its process, as far as the system goes."""
    name = PATTERN.read_text().strip()
    return name.startswith("core") and resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY


def test_no_process_may_leave_a_core(server):
    server.start(before=UNLIMITED if may_dump() else ())
    names = server.processes()
    assert set(names.values()) == WHOLE
    for pid, name in names.items():
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (line,) = (one for one in limits if one.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"], name


def test_a_collector_of_cores_gets_none_either():
    """It would whatever the limit is, were the process not marked."""
    asked = "import ctypes; from app.processes import leave_no_core; dumpable = ctypes.CDLL(None).prctl; "
    asked += "print(dumpable(3, 0, 0, 0, 0)); leave_no_core(); print(dumpable(3, 0, 0, 0, 0))"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1", "0"]


def test_a_crash_leaves_no_core(server, tmp_path):
    if not may_dump():
        pytest.skip("the system writes cores elsewhere, or this user may have none")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with subprocess.Popen([*UNLIMITED, "sleep", "60"], cwd=stranger) as other:
        assert until(lambda: b"sleep" in Path(f"/proc/{other.pid}/cmdline").read_bytes()[:6], seconds=5)
        other.send_signal(signal.SIGSEGV)
    assert cores(stranger), "the system writes none, so that nothing is shown"
    server.start(before=UNLIMITED)
    assert server.post(lead(1)).status_code == 202
    for victim in ("receiver", "work", "receivers", "serve"):
        pid = next(pid for pid, name in server.processes().items() if name == victim)
        os.kill(pid, signal.SIGSEGV)
        if victim == "serve":
            assert server.process.wait(10) == -signal.SIGSEGV
        else:
            back = lambda pid=pid: pid not in server.processes() and set(server.processes().values()) == WHOLE  # noqa: E731
            assert until(back, seconds=20), victim
    assert cores(server.folder) == []
