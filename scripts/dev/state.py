"""What the supervisor tells others about itself: a file, replaced as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Process


@dataclass
class State:
    """`phase` is starting, up, failed or stopping; `trouble` says why it failed."""

    supervisor: Process
    phase: str = "starting"
    trouble: str = ""
    # By name, in the order of their start: the process, the signal that ends it, how often started.
    services: dict[str, dict[str, Any]] = field(default_factory=dict)


def path(folder: Path) -> Path:
    """Where it is."""
    return folder / "state.json"


def write(folder: Path, state: State) -> None:
    """Replaces the file."""
    text = json.dumps(
        {
            "supervisor": state.supervisor.as_dict(),
            "phase": state.phase,
            "trouble": state.trouble,
            "services": state.services,
        },
        indent=1,
    )
    new = path(folder).with_suffix(".new")
    new.write_text(text)
    os.replace(new, path(folder))


def read(folder: Path) -> State | None:
    """The state, or None where there is none, or none that can be read."""
    try:
        told = json.loads(path(folder).read_text())
        return State(Process(**told["supervisor"]), told["phase"], told["trouble"], told["services"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
