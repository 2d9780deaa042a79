"""The stack in containers: docker-compose.yml, with the secrets that it mounts."""

from __future__ import annotations

import os
import shutil
import subprocess

import postgres
import program
from health import answers
from processes import wait_until
from settings import PORTS, ROOT, SECRETS, Settings, write_secret
from trouble import Trouble

ROLES = ("ingest", "aggregator", "diagnoser", "api")
# Who root's containers run as.
NOBODY = 65532


class Compose:
    """Docker Compose, with everything the file asks for in its environment."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secrets = settings.dir / "docker/secrets"
        root = os.geteuid() == 0
        self.owner = (NOBODY, NOBODY) if root else (os.getuid(), os.getgid())
        uid, gid = (str(part) for part in self.owner)
        places = {"DEV_SECRETS": str(self.secrets), "DEV_UID": uid, "DEV_GID": gid}
        values = {name: settings.values[name] for name in (*PORTS, *SECRETS)}
        self.env = os.environ | values | places

    def up(self) -> None:
        """Builds the image, starts the servers, makes tables, streams, tokens, then all else."""
        values = self.settings.values
        url = f"postgres://qoe:{values['POSTGRES_PASSWORD']}@postgres:5432/qoe?sslmode=disable\n"
        self._secret("database.url", url)
        self._secret("nats.login", f"qoe:{values['NATS_PASSWORD']}\n")
        for name in program.TOKENS:
            if not (self.secrets / name).exists():
                self._secret(name, "")
        self._run(["build"])
        self._run(["up", "--detach", "--wait", "postgres", "nats"])
        self._run(["run", "--rm", "--no-TTY", "migrate"])
        self._let_grafana_read()
        for name, scope in program.TOKENS.items():
            args = [*program.token_args(scope), "--database-file", "/run/secrets/database.url"]
            self._secret(name, self._run(["run", "--rm", "--no-TTY", "migrate", *args]))
        self._run(["--profile", "*", "up", "--detach"])
        self._wait()
        self._show()

    def down(self) -> None:
        self._run(["--profile", "*", "down", "--remove-orphans"])
        print("nothing runs any more")

    def clean(self) -> None:
        self._run(["--profile", "*", "down", "--remove-orphans", "--volumes"])
        shutil.rmtree(self.settings.dir / "docker", ignore_errors=True)
        print(f"deleted the containers and their volumes; {self.settings.env_file} stays")

    def logs(self) -> None:
        os.chdir(ROOT)
        command = ["docker", "compose", "--profile", "*", "logs", "--follow", "--tail", "20"]
        os.execvpe("docker", command, self.env)

    def migrate(self, args: list[str]) -> None:
        files = ["--database-file", "/run/secrets/database.url"]
        print(self._run(["run", "--rm", "--no-TTY", "migrate", "migrate", *args, *files]).strip())
        if args[:1] == ["up"]:
            self._let_grafana_read()

    def _let_grafana_read(self) -> None:
        """Through the server's own socket: nothing secret is on a command line."""
        psql = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "qoe", "-d", "qoe"]
        script = postgres.reader_script(self.settings)
        self._run(["exec", "--no-TTY", "postgres", *psql], script)

    def _secret(self, name: str, text: str) -> None:
        """For us and for the group that containers are given, and nobody else."""
        write_secret(self.secrets / name, text, 0o440)
        if os.geteuid() == 0:
            os.chown(self.secrets / name, *self.owner)

    def _run(self, args: list[str], script: str = "") -> str:
        """Runs Compose to its end, which must be good; gives what it printed."""
        told = subprocess.run(
            ["docker", "compose", *args],
            cwd=ROOT,
            env=self.env,
            input=script,
            check=False,
            capture_output=True,
            text=True,
        )
        if told.returncode != 0:
            raise Trouble(self._why(args, told.stderr))
        return told.stdout

    def _why(self, args: list[str], said: str) -> str:
        logs = ["docker", "compose", "logs", "--no-log-prefix", "--tail", "40", "postgres", "migrate"]
        told = subprocess.run(logs, cwd=ROOT, env=self.env, check=False, capture_output=True, text=True)
        all_said = said + told.stdout + told.stderr
        if "password authentication failed" in all_said:
            return postgres.wrong_password(self.settings, "the volume qoe-dev_postgres")
        if "incompatible with server" in all_said or "PostgreSQL data in" in all_said:
            return (
                "the volume qoe-dev_postgres was made by another PostgreSQL major version: `make clean`"
                " deletes it, pg_upgrade keeps what is in it"
            )
        if "port is already allocated" in all_said or "address already in use" in all_said:
            return f"a port is taken: {postgres.last_line(said)}; choose another, such as POSTGRES_PORT=15432"
        return f"docker compose {args[0]} failed: {postgres.last_line(said)}"

    def _wait(self) -> None:
        for role in ROLES:
            ready = f"{self.settings.url(f'{role.upper()}_PORT')}/-/ready"
            if not wait_until(lambda: answers(ready), 120):
                raise Trouble(f"{role} is not ready in 120 s: docker compose -p qoe-dev logs {role}")

    def _show(self) -> None:
        here = self.settings.url
        rows = {role: here(f"{role.upper()}_PORT") for role in ROLES}
        rows |= {"target": here("TARGET_PORT"), "prometheus": here("PROMETHEUS_PORT")}
        rows |= {"grafana": f"{here('GRAFANA_PORT')}  (user admin)", "jaeger": here("JAEGER_PORT")}
        print("\n" + "\n".join(f"  {name:<11} {where}" for name, where in rows.items()))
        print(f"\n  passwords: {self.settings.env_file}   tokens: {self.secrets}")
        print("  logs: make logs   stop: make down")
