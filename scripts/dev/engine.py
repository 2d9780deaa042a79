"""Whether Docker is used: where an engine answers and knows Compose."""

from __future__ import annotations

import os
import shutil
import subprocess

from postgres import last_line
from trouble import Trouble


def choose() -> tuple[bool, str]:
    """Whether to use Docker, and why."""
    wanted = os.environ.get("DEV_MODE", "")
    if wanted not in ("", "docker", "native"):
        raise Trouble(f"DEV_MODE={wanted} is neither docker nor native")
    if wanted == "native":
        return False, "DEV_MODE=native says so"
    why_not = _why_not()
    if wanted == "docker" and why_not:
        raise Trouble(f"DEV_MODE=docker, but {why_not}: start Docker, or leave DEV_MODE away")
    return not why_not, why_not or "a Docker engine answers"


def _why_not() -> str:
    if shutil.which("docker") is None:
        return "there is no docker on PATH"
    for asked, without in (
        (["version", "--format", "{{.Server.Version}}"], "no Docker engine answers"),
        (["compose", "version"], "docker has no compose (the docker-compose-plugin)"),
    ):
        try:
            told = subprocess.run(
                ["docker", *asked], check=False, capture_output=True, text=True, timeout=20
            )
        except subprocess.TimeoutExpired:
            return f"{without} (docker {asked[0]} hangs)"
        if told.returncode != 0:
            return f"{without} ({last_line(told.stderr)[:100]})"
    return ""
