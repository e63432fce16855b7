"""Process housekeeping on Linux: nothing that was started here outlives its starter."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies.

    So none can escape `descendants` by being orphaned. OSError if the kernel refuses.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent_pid: int) -> None:
    """Have SIGINT sent to this process when its parent dies, also if it has died already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGINT)


def descendants(root_pid: int) -> set[int]:
    """The living children of a process, their children, and so on; zombies count as dead."""
    parent_of: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        # The command's name stands in brackets and may itself hold blanks and brackets.
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state not in ("Z", "X"):
            parent_of[int(entry.name)] = int(parent)
    found: set[int] = set()
    frontier = {root_pid}
    while frontier:
        frontier = {pid for pid, parent in parent_of.items() if parent in frontier} - found
        found |= frontier
    return found


def end_descendants(grace_s: float) -> None:
    """Wait `grace_s` for this process's descendants to end by themselves, then kill the rest."""
    deadline_s = time.monotonic() + grace_s
    while descendants(os.getpid()) and time.monotonic() < deadline_s:
        reap_children()
        time.sleep(0.05)
    # Killing a process may orphan others, which come to this one: again until none is left.
    while left := descendants(os.getpid()):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
        reap_children()


def reap_children() -> None:
    """Take note of every child that has ended, so that none stays a zombie."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
