"""Where things are, which ports are used, and the secrets of .env."""

from __future__ import annotations

import os
import re
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from trouble import Trouble

ROOT = Path(__file__).resolve().parents[2]

# What can be set, in the environment or in .env, and what holds otherwise.
PORTS = {
    "POSTGRES_PORT": 5432,
    "NATS_PORT": 4222,
    "NATS_MONITOR_PORT": 8222,
    "PROMETHEUS_PORT": 9090,
    "GRAFANA_PORT": 3000,
    "JAEGER_PORT": 16686,
    "OTLP_GRPC_PORT": 4317,
    "OTLP_HTTP_PORT": 4318,
    "TARGET_PORT": 8080,
    "TARGET_HTTPS_PORT": 8471,
    "TARGET_DNS_PORT": 8472,
    "TARGET_CONTROL_PORT": 8473,
    "TARGET_ECHO_PORT": 8474,
    "INGEST_PORT": 8460,
    "API_PORT": 8461,
    "AGGREGATOR_PORT": 8462,
    "DIAGNOSER_PORT": 8463,
    "PROBE_PORT": 8464,
}
SECRETS = ("POSTGRES_PASSWORD", "NATS_PASSWORD", "READER_PASSWORD", "GRAFANA_ADMIN_PASSWORD")
# Written by us for Docker Compose, which has no other way to know.
PLACES = ("DEV_SECRETS", "DEV_UID", "DEV_GID")

# They stand in a URL and in the file of NATS, where a word that begins with a digit is a number.
GOOD_SECRET = re.compile(r"[A-Za-z][A-Za-z0-9]{15,}")


@dataclass(frozen=True)
class Settings:
    """One stack: its folder, its ports, its secrets."""

    dir: Path
    cache: Path
    env_file: Path
    values: dict[str, str]

    def port(self, name: str) -> int:
        return int(self.values[name])

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port(name)}"

    @property
    def logs(self) -> Path:
        return self.dir / "logs"


def load() -> Settings:
    """The settings; makes .env where there is none."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(os.environ.get("CACHE") or f"{home}/qoe-build")
    folder = Path(os.environ.get("DEV_DIR") or cache / "dev").absolute()
    env_file = Path(os.environ.get("DEV_ENV") or ROOT / ".env").absolute()
    for made in (folder, folder / "logs"):
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not env_file.exists():
        _make(env_file)
        print(f"made {env_file} (0600) with passwords of its own")
    values = {name: str(port) for name, port in PORTS.items()} | _read(env_file)
    values |= {name: os.environ[name] for name in PORTS if os.environ.get(name)}
    _check(values, env_file)
    return Settings(folder, cache, env_file, values)


def _make(env_file: Path) -> None:
    letters = string.ascii_letters
    text = "# Made by `make dev`. Ports can be set here too: .env.example lists them.\n"
    for name in SECRETS:
        rest = "".join(secrets.choice(letters + string.digits) for _ in range(31))
        text += f"{name}={secrets.choice(letters)}{rest}\n"
    write_secret(env_file, text)


def _read(env_file: Path) -> dict[str, str]:
    if env_file.stat().st_mode & 0o077:
        raise Trouble(f"others can read {env_file}, which holds passwords: chmod 600 {env_file}")
    values = {}
    for number, line in enumerate(env_file.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        # The value is not shown: it may be a password.
        if not equals:
            raise Trouble(f"{env_file}:{number}: that is no NAME=VALUE; mend or delete the line")
        if name not in PORTS and name not in SECRETS and name not in PLACES:
            raise Trouble(f"{env_file}:{number}: nobody knows {name}; .env.example lists the names")
        values[name] = value.strip()
    return values


def _check(values: dict[str, str], env_file: Path) -> None:
    for name in SECRETS:
        if not values.get(name):
            raise Trouble(f"{env_file} has no {name}: add it, or delete the file to have all made anew")
        if not GOOD_SECRET.fullmatch(values[name]):
            raise Trouble(
                f"{name} in {env_file} will not do: 16 letters and digits or more, a letter first"
            )
    users: dict[str, str] = {}
    for name in PORTS:
        port = values[name]
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise Trouble(f"{name}={port} is no port; set one from 1 to 65535")
        if port in users:
            raise Trouble(f"{name} and {users[port]} are both {port}; set one of them to another port")
        users[port] = name


def write_secret(path: Path, text: str, mode: int = 0o600) -> None:
    """Writes a file that nobody else can read, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # In place: a container that has the file mounted goes on seeing it.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
