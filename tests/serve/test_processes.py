from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from serve.processes import descendants

FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
"""

ORPHANS = """
import os, subprocess, sys
from serve.processes import adopt_orphans, descendants, end_descendants
adopt_orphans()
makes_an_orphan = (
    "import subprocess, sys;"
    "quiet = {'stdout': subprocess.DEVNULL, 'start_new_session': True};"
    "print(subprocess.Popen(['sleep', '600'], **quiet).pid, flush=True)"
)
told = subprocess.run([sys.executable, "-c", makes_an_orphan], stdout=subprocess.PIPE, check=True)
orphan = int(told.stdout)
assert orphan in descendants(os.getpid())
end_descendants(grace_s=0.1)
assert not descendants(os.getpid())
print(orphan)
"""

WAITS = """
import os, signal
from serve.processes import die_with_parent
signal.signal(signal.SIGINT, lambda *_: (os.write(1, b"bereft"), os._exit(0)))
die_with_parent(os.getppid())
os.write(1, b"ready ")
while True:
    signal.pause()
"""

PARENT = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {WAITS!r}], stdin=subprocess.DEVNULL)
input()
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_children_of_children_are_found() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert {child.pid, grandchild} <= descendants(os.getpid())
        assert descendants(child.pid) == {grandchild}
        child.communicate("\n")
    assert child.pid not in descendants(os.getpid())


def test_an_orphan_in_a_session_of_its_own_does_not_escape() -> None:
    orphan = int(run(ORPHANS))
    assert not Path(f"/proc/{orphan}").exists()


def test_a_process_whose_parent_dies_is_told() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(6) == b"ready "
        parent.kill()
        assert parent.stdout.read() == b"bereft"
