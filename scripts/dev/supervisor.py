"""Starts the services in their order, starts again what ends, and ends all of them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import postgres
import program
import services
import state
from processes import MARK, Process, end
from services import Service
from settings import Settings
from trouble import Trouble

# How long a service may take to come up on a busy machine, seconds.
PATIENCE = 120.0
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
# Who ended as often before it ever worked will not work the next time.
MOST_STARTS = 4
# Who ran as long as this begins anew with the first wait.
WELL_AFTER = 60.0
BIGGEST_LOG = 16 << 20


@dataclass
class Running:
    """A service and its process; `again_at` is when one that ended is started again."""

    service: Service
    child: "subprocess.Popen[bytes]"
    began: float
    wait: float = FIRST_WAIT
    again_at: float = 0.0
    starts: int = 1


class Supervisor:
    """The services of one stack, of which the last started is the first stopped."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.running: dict[str, Running] = {}
        self.state = state.State(Process.of(os.getpid()))
        self.stopping = False

    def run(self) -> int:
        """Until it is told to stop. Only one at a time holds the lock, whatever became of others."""
        lock = open(self.settings.dir / "lock", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another supervisor is at work")
            return 1
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(which, lambda *_: setattr(self, "stopping", True))
        try:
            self._write()
            self._start_all()
            self.state.phase = "up"
            self._write()
            say("everything is up")
            while not self.stopping:
                self._watch()
        except Trouble as trouble:
            self.state.phase, self.state.trouble = "failed", str(trouble)
            say(str(trouble))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is to be left running
            self.state.phase, self.state.trouble = "failed", f"the supervisor broke: {error!r}"
            say(self.state.trouble)
        self._stop_all()
        return 0 if self.state.phase == "stopping" else 1

    def _start_all(self) -> None:
        database = postgres.find(self.settings)
        database.make()
        qoe = program.Program(self.settings)
        qoe.write_secrets()
        self._start_and_wait(services.servers(self.settings, database))
        database.prepare()
        say(qoe.migrate().strip())
        database.let_grafana_read()
        qoe.write_tokens()
        self._start_and_wait(services.roles(self.settings, qoe))
        for service in services.measured(self.settings, qoe):
            self._start_and_wait([service])
        prometheus = services.find_prometheus(self.settings)
        if prometheus:
            self._start_and_wait([services.prometheus(self.settings, qoe, prometheus)])

    def _start_and_wait(self, those: list[Service]) -> None:
        for service in those:
            self.running[service.name] = Running(service, self._start(service), time.monotonic())
            self._write()
        deadline = time.monotonic() + PATIENCE
        waiting = list(those)
        while waiting:
            self._watch()
            if self.stopping:
                raise Trouble("told to stop before everything was up")
            waiting = [service for service in waiting if not service.ready()]
            for service in waiting:
                late = time.monotonic() > deadline
                if late or self.running[service.name].starts > MOST_STARTS:
                    log = self.settings.logs / f"{service.name}.log"
                    said = postgres.last_line(log.read_text(errors="replace")[-4000:])
                    raise Trouble(f"{service.name} does not come up; {log} ends with: {said}")

    def _start(self, service: Service) -> "subprocess.Popen[bytes]":
        mark = {MARK: str(self.settings.dir)}
        with open(log_of(self.settings.logs, service.name), "ab") as log:
            try:
                return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
                    service.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=services.surroundings(service, mark),
                    cwd=service.cwd or self.settings.dir,
                    # A group of its own: it is ended as a whole, and no terminal reaches it.
                    start_new_session=True,
                    **service.as_user,
                )
            except OSError as error:
                raise Trouble(f"{service.name} can't be started: {error}") from error

    def _watch(self) -> None:
        """Starts again what ended, each time after a longer wait."""
        time.sleep(0.1)
        now = time.monotonic()
        for name, running in self.running.items():
            if self.stopping:
                return
            if running.again_at:
                if now >= running.again_at:
                    running.child, running.began = self._start(running.service), now
                    running.again_at, running.starts = 0.0, running.starts + 1
                    self._write()
            elif running.child.poll() is not None:
                if now - running.began > WELL_AFTER:
                    running.wait = FIRST_WAIT
                ended = running.child.returncode
                say(f"{name} ended with {ended}; it is started again in {running.wait} s")
                running.again_at = now + running.wait
                running.wait = min(running.wait * 2, LONGEST_WAIT)

    def _stop_all(self) -> None:
        if self.state.phase != "failed":
            self.state.phase = "stopping"
        self._write()
        for name, running in reversed(self.running.items()):
            say(f"stopping {name}")
            end(Process.of(running.child.pid), running.service.stop, 20)
            running.child.poll()
        say("everything is stopped")

    def _write(self) -> None:
        for name, running in self.running.items():
            self.state.services[name] = {
                **Process.of(running.child.pid).as_dict(),
                "stop": int(running.service.stop),
                "starts": running.starts,
                "where": running.service.where,
                "what": running.service.what,
            }
        state.write(self.settings.dir, self.state)


def log_of(folder: Path, name: str) -> Path:
    """A service's log; what was there is put aside where it has grown big."""
    log = folder / f"{name}.log"
    if log.exists() and log.stat().st_size > BIGGEST_LOG:
        os.replace(log, log.with_suffix(".log.1"))
    return log


def say(text: str) -> None:
    """A line of the supervisor's log."""
    print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), text, flush=True)
