"""Processes of the stack: whether they live, and how they are ended.

Each has a name for the stack in its environment, so that all of them are found even where the
supervisor was killed before it could note one."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

# Not QOE_*: those are settings of the program.
MARK = "DEV_STACK_OF"


@dataclass(frozen=True)
class Process:
    """A process id, and when it began: ids are used again."""

    pid: int
    began: str

    @staticmethod
    def of(pid: int) -> Process:
        return Process(pid, _began(pid) or "")

    @property
    def alive(self) -> bool:
        began = _began(self.pid)
        return began is not None and (not self.began or began == self.began)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def _began(pid: int) -> str | None:
    """When it began, in whatever unit; None where it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    return None if stat[0] in "ZX" else stat[19]


def marked(stack: Path) -> list[Process]:
    """Every process of the stack but this one (Linux; elsewhere none is found)."""
    mark = f"{MARK}={stack}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            surroundings = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in surroundings and int(entry.name) != os.getpid():
            found.append(Process.of(int(entry.name)))
    return [process for process in found if process.alive]


def end(process: Process, how: signal.Signals, patience: float) -> None:
    """Asks a process to end, and kills it with its group where it has not in time."""
    _send(process, how)
    if not wait_until(lambda: not process.alive, patience):
        _send(process, signal.SIGKILL, group=True)
        wait_until(lambda: not process.alive, 5)


def _send(process: Process, what: signal.Signals, group: bool = False) -> None:
    if not process.alive:
        return
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, what)
        else:
            os.kill(process.pid, what)
    except (ProcessLookupError, PermissionError):
        pass


def wait_until(done: Callable[[], bool], patience: float) -> bool:
    """Whether it came to be in time, seconds."""
    deadline = time.monotonic() + patience
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
