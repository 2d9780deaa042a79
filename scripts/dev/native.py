"""The stack without containers: what `make dev`, `down`, `logs` and `clean` do then."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import postgres
import program
import services
import state
from health import is_free
from processes import Process, end, marked, wait_until
from settings import ROOT, Settings
from trouble import Trouble

# What listens natively, and who says so in a sentence.
LISTENERS = {
    "POSTGRES_PORT": "PostgreSQL",
    "NATS_PORT": "NATS",
    "NATS_MONITOR_PORT": "NATS' monitoring",
    "TARGET_PORT": "the test target",
    "TARGET_HTTPS_PORT": "the test target's HTTPS",
    "TARGET_DNS_PORT": "the test target's DNS",
    "TARGET_CONTROL_PORT": "the test target's control",
    "TARGET_ECHO_PORT": "the test target's echo",
    "INGEST_PORT": "ingest",
    "API_PORT": "api",
    "AGGREGATOR_PORT": "aggregator",
    "DIAGNOSER_PORT": "diagnoser",
    "PROBE_PORT": "the probe's metrics",
    "OTLP_HTTP_PORT": "the collector of traces",
    "PROMETHEUS_PORT": "Prometheus",
}


def up(settings: Settings) -> None:
    """Starts everything and returns when all of it works."""
    now = state.read(settings.dir)
    if now is not None and now.supervisor.alive and now.phase in ("starting", "up"):
        print("it runs already")
    else:
        if marked(settings.dir):
            print("ending what an earlier run left")
            down(settings)
        program.path()
        _fetch_servers(settings)
        postgres.find(settings)
        _check_ports(settings)
        _spawn(settings)
    _wait(settings)
    _show(settings)


def down(settings: Settings) -> None:
    """Ends everything, whatever became of the supervisor."""
    now = state.read(settings.dir)
    found = marked(settings.dir)
    if now is not None and now.supervisor.alive:
        # It stops its services itself, each with patience.
        end(now.supervisor, signal.SIGTERM, 120)
    if now is not None:
        for service in reversed(list(now.services.values())):
            process = Process(service["pid"], service["began"])
            end(process, signal.Signals(service["stop"]), 20)
    # What was started and not noted.
    for process in marked(settings.dir):
        end(process, signal.SIGTERM, 10)
    if not wait_until(lambda: not marked(settings.dir), 10):
        left = ", ".join(str(process.pid) for process in marked(settings.dir))
        raise Trouble(f"these processes do not end: {left}; kill -9 them")
    state.path(settings.dir).unlink(missing_ok=True)
    print("nothing runs any more" if found else "nothing was running")


def logs(settings: Settings) -> None:
    """Follows every log, until Ctrl-C."""
    files = sorted(str(path) for path in settings.logs.glob("*.log"))
    if not files:
        raise Trouble(f"there are no logs in {settings.logs} yet: run `make dev`")
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])


def clean(settings: Settings) -> None:
    """Deletes the databases and all that was kept, of this stack alone."""
    down(settings)
    for folder in (settings.dir / "native", settings.logs, postgres.home_of(settings)):
        shutil.rmtree(folder, ignore_errors=True)
    print(f"deleted what was kept below {settings.dir}; {settings.env_file} stays")


def migrate(settings: Settings, args: list[str]) -> None:
    """Runs `qoe migrate` on the stack's database."""
    qoe = program.Program(settings)
    if not (qoe.secrets / "database.url").exists():
        raise Trouble("there is no database yet: run `make dev`")
    print(qoe.run(["migrate", *args]).strip())
    if args[:1] == ["up"]:
        # Tables that came back are new ones.
        postgres.find(settings).let_grafana_read()


def _fetch_servers(settings: Settings) -> None:
    folder = settings.cache / "servers"
    command = [str(ROOT / "scripts/prometheus"), str(settings.cache / "prometheus")]
    # Without it is said at the end.
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    command = [str(ROOT / "scripts/servers"), str(folder)]
    fetched = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if fetched.returncode == 0:
        return
    # What the machine has will do as well.
    postgres.find(settings)
    if not os.access(services.find_nats(settings), os.X_OK):
        why = postgres.last_line(fetched.stderr)
        raise Trouble(
            f"NATS and PostgreSQL can't be fetched ({why}): connect to the network and try again, or"
            " install nats-server and PostgreSQL 15 or newer"
        )


def _check_ports(settings: Settings) -> None:
    listeners = dict(LISTENERS)
    if services.find_prometheus(settings) is None:
        del listeners["PROMETHEUS_PORT"]
    taken = [name for name in listeners if not is_free(settings.port(name))]
    if taken:
        those = ", ".join(f"{settings.port(name)} ({listeners[name]})" for name in taken)
        first = taken[0]
        raise Trouble(
            f"taken by other programs: port {those}; stop those, or choose others, such as"
            f" make dev {first}={settings.port(first) + 10_000}"
        )


def _spawn(settings: Settings) -> None:
    state.path(settings.dir).unlink(missing_ok=True)
    with open(settings.logs / "supervisor.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, str(ROOT / "scripts/dev"), "supervise"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ports as they were checked.
            env=os.environ | {name: settings.values[name] for name in LISTENERS},
            start_new_session=True,
        )


def _wait(settings: Settings) -> None:
    deadline = time.monotonic() + 600
    told: set[str] = set()
    while time.monotonic() < deadline:
        now = state.read(settings.dir)
        for name in now.services if now else ():
            if name not in told:
                print(f"starting {name}", flush=True)
                told.add(name)
        if now is not None and now.phase == "up":
            return
        if now is not None and not now.supervisor.alive:
            log = settings.logs / "supervisor.log"
            raise Trouble(now.trouble or f"the supervisor is gone; {log} says why")
        time.sleep(0.2)
    raise Trouble(f"it is not up after 10 minutes; {settings.logs} may say why")


def _show(settings: Settings) -> None:
    now = state.read(settings.dir)
    print()
    for name, service in now.services.items() if now else ():
        print(f"  {name:<11} {service['where']:<38} {service['what']}")
    print()
    for sentence in services.missing(settings):
        print(f"  without: {sentence}")
    print(f"  passwords: {settings.env_file}   tokens: {settings.dir / 'native/secrets'}")
    print(f"  logs: {settings.logs} (make logs)   stop: make down")
