"""What runs natively, in the order of its start."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from health import answers
from postgres import Postgres
from program import Program
from settings import ROOT, Settings, write_secret

TARGET_PATHS = ("/health", "/fixed/1mb.bin")


@dataclass(frozen=True)
class Service:
    """A program that is to run, and how it is told that it does."""

    name: str
    command: list[str]
    where: str
    what: str
    ready: Callable[[], bool]
    env: dict[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    as_user: dict[str, object] = field(default_factory=dict)
    cwd: Optional[Path] = None


def servers(settings: Settings, postgres: Postgres) -> list[Service]:
    """What the roles stand on."""
    monitor = settings.url("NATS_MONITOR_PORT")
    database = Service(
        "postgres",
        postgres.command(),
        f"postgres://qoe@127.0.0.1:{settings.port('POSTGRES_PORT')}/qoe",
        "the store",
        postgres.is_ready,
        # A fast shutdown: clients are not waited for.
        stop=signal.SIGINT,
        as_user=postgres.as_user,
        cwd=Path("/"),
    )
    bus = Service(
        "nats",
        [find_nats(settings), "-c", str(ROOT / "deploy/nats/nats.conf")],
        f"nats://127.0.0.1:{settings.port('NATS_PORT')}",
        f"the bus; monitoring: {monitor}",
        lambda: answers(f"{monitor}/healthz"),
        env={
            "NATS_HOST": "127.0.0.1",
            "NATS_PORT": settings.values["NATS_PORT"],
            "NATS_MONITOR_PORT": settings.values["NATS_MONITOR_PORT"],
            "NATS_STORE": str(settings.dir / "native/nats"),
            "NATS_PASSWORD": settings.values["NATS_PASSWORD"],
        },
    )
    return [database, bus]


def roles(settings: Settings, qoe: Program) -> list[Service]:
    """Our own servers, and what takes their traces."""
    collector = settings.url("OTLP_HTTP_PORT")
    listen = collector.removeprefix("http://")
    traces = Service(
        "traces",
        [str(qoe.path), "traces", "--listen", listen],
        collector,
        "traces, each drawn",
        lambda: answers(collector),
    )

    def role(name: str, what: str, more: list[str]) -> Service:
        url = settings.url(f"{name.upper()}_PORT")
        listen = ["--listen", url.removeprefix("http://")]
        command = [str(qoe.path), name, *listen, *qoe.database, *more]
        return Service(name, command, url, what, lambda: answers(f"{url}/-/ready"))

    traced = [*qoe.bus_and_login, "--otlp", collector]
    return [
        traces,
        role("ingest", "takes events: POST /v1/events", traced),
        role("aggregator", "counts them into windows", traced),
        role("diagnoser", "says what is wrong", []),
        role("api", "answers: GET /api/v1/windows …, with a token", []),
    ]


def measured(settings: Settings, qoe: Program) -> list[Service]:
    """The test target, and a probe that measures it."""

    def here(name: str) -> str:
        return f"127.0.0.1:{settings.port(name)}"

    home = settings.dir / "native/probe"
    home.mkdir(parents=True, exist_ok=True)
    authority = home / "ca.pem"
    # Each target makes an authority of its own; the probe is to trust this one.
    authority.unlink(missing_ok=True)
    listen = ["--http", here("TARGET_PORT"), "--https", here("TARGET_HTTPS_PORT")]
    listen += ["--dns", here("TARGET_DNS_PORT"), "--echo", here("TARGET_ECHO_PORT")]
    listen += ["--control", here("TARGET_CONTROL_PORT"), "--ca-out", str(authority)]
    url = settings.url("TARGET_PORT")
    target = Service(
        "target",
        [str(qoe.path), "target", *listen],
        url,
        f"what is measured; break it: PUT http://{here('TARGET_CONTROL_PORT')}/faults",
        lambda: authority.exists() and answers(f"{url}/health"),
    )
    measure = [str(qoe.path), "probe", "--client-id", "dev", "--interval", "5s"]
    measure += ["--ingest", settings.url("INGEST_PORT"), "--token-file", str(qoe.secrets / "probe.token")]
    measure += ["--resolver", here("TARGET_DNS_PORT"), "--ca-file", str(authority)]
    measure += ["--spool", str(home / "spool"), "--trace-share", "1", "--metrics", here("PROBE_PORT")]
    for path in TARGET_PATHS:
        measure += ["--target", f"https://target.test:{settings.port('TARGET_HTTPS_PORT')}{path}"]
    where = settings.url("PROBE_PORT")
    ready = f"{where}/-/healthy"
    what = "measures the target each 5 s, as client dev"
    probe = Service("probe", measure, where, what, lambda: answers(ready))
    return [target, probe]


def prometheus(settings: Settings, qoe: Program, program: str) -> Service:
    """A Prometheus that reads our metrics and knows our rules."""
    home = settings.dir / "native/prometheus"
    config = home / "config"
    shutil.rmtree(config, ignore_errors=True)
    (config / "targets").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/prometheus/prometheus.yml", config)
    shutil.copytree(ROOT / "deploy/prometheus/rules", config / "rules")
    write_secret(config / "scrape.token", (qoe.secrets / "read.token").read_text())
    targets = ""
    for role in ("ingest", "aggregator", "diagnoser", "api", "probe"):
        address = f"127.0.0.1:{settings.port(f'{role.upper()}_PORT')}"
        targets += f"- targets: ['{address}']\n  labels: {{role: {role}}}\n"
    (config / "targets/qoe.yml").write_text(targets)
    url = settings.url("PROMETHEUS_PORT")
    command = [program, f"--config.file={config / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={home / 'data'}", "--storage.tsdb.retention.time=7d"]
    command += [f"--web.listen-address={url.removeprefix('http://')}"]
    ready = f"{url}/-/ready"
    return Service("prometheus", command, url, "metrics, rules, alerts", lambda: answers(ready))


def find_nats(settings: Settings) -> str:
    """What `make servers` fetched, or what is on PATH."""
    fetched = settings.cache / "servers/bin/nats-server"
    return str(fetched) if fetched.is_file() else (shutil.which("nats-server") or "nats-server")


def find_prometheus(settings: Settings) -> Optional[str]:
    """What is on PATH, or what `make servers` fetched."""
    fetched = settings.cache / "prometheus/usr/bin/prometheus"
    return shutil.which("prometheus") or (str(fetched) if fetched.is_file() else None)


def missing(settings: Settings) -> list[str]:
    """What the Docker stack has and this one does without, each with what to do."""
    gone = []
    if find_prometheus(settings) is None:
        gone.append(
            "prometheus is not here and can't be fetched: install it (where that starts it too, stop it: it"
            " would take the port)"
        )
    gone.append("Grafana and Jaeger run in the Docker stack only; `qoe traces` stands in for Jaeger")
    return gone


def surroundings(service: Service, mark: dict[str, str]) -> dict[str, str]:
    """All that a service sees of the environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    return kept | mark | service.env
