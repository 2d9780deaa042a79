"""The `qoe` program, as the stack runs it: with files for what is secret."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import postgres
from settings import ROOT, Settings, write_secret
from trouble import Trouble


def path() -> Path:
    """The built program."""
    named = os.environ.get("QOE")
    if named is None:
        raise Trouble("QOE does not say where the program is; run this by make")
    if not Path(named).is_file():
        raise Trouble(f"there is no {named}: run `make build`")
    return Path(named)


class Program:
    """The program and its secrets, for servers that run natively."""

    def __init__(self, settings: Settings) -> None:
        self.path = path()
        self.settings = settings
        self.secrets = settings.dir / "native/secrets"
        self.bus = f"nats://127.0.0.1:{settings.port('NATS_PORT')}"

    def write_secrets(self) -> None:
        values, port = self.settings.values, self.settings.port("POSTGRES_PORT")
        url = f"postgres://{postgres.USER}:{values['POSTGRES_PASSWORD']}@127.0.0.1:{port}/qoe\n"
        write_secret(self.secrets / "database.url", url)
        write_secret(self.secrets / "nats.login", f"qoe:{values['NATS_PASSWORD']}\n")

    @property
    def database(self) -> list[str]:
        return ["--database-file", str(self.secrets / "database.url")]

    @property
    def bus_and_login(self) -> list[str]:
        return ["--bus", self.bus, "--bus-credentials", str(self.secrets / "nats.login")]

    def run(self, args: list[str]) -> str:
        """Runs a command to its end, which must be good; gives what it printed."""
        told = subprocess.run(
            [str(self.path), *args, *self.database],
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            check=False,
            capture_output=True,
            text=True,
        )
        if told.returncode != 0:
            raise Trouble(f"qoe {args[0]} failed: {postgres.last_line(told.stderr)}")
        return told.stdout

    def migrate(self) -> str:
        return self.run(["migrate", "up", *self.bus_and_login])

    def write_tokens(self) -> None:
        """New tokens at each start: those of a database that was deleted are good for nothing."""
        for name, scope in TOKENS.items():
            write_secret(self.secrets / name, self.run(token_args(scope)))


TOKENS = {"probe.token": "ingest", "read.token": "read"}


def token_args(scope: str) -> list[str]:
    return ["token", "create", "--client-id", "*", "--scope", scope, "--ttl", "90d"]


def create_migration(name: str) -> None:
    """Makes the files of the next migration, for both stores."""
    if not name or not name.replace("_", "").isalnum() or not name.isascii() or name != name.lower():
        raise Trouble("say what it is for in small letters: make migrate-create NAME=client_notes")
    folder = ROOT / "crates/server/migrations"
    steps = [int(step.name.split("_")[0]) for step in (folder / "postgres").iterdir()]
    step = f"{max(steps) + 1}_{name}"
    for store in ("postgres", "sqlite"):
        made = folder / store / step
        made.mkdir()
        (made / "up.sql").write_text("-- Why, in a sentence.\n")
        (made / "down.sql").write_text("-- Takes it back; what only the new tables hold is lost.\n")
        print(f"made {made.relative_to(ROOT)}/up.sql and down.sql")
    print("now add it to STEPS in crates/server/src/store/{postgres,sqlite}/schema.rs")
