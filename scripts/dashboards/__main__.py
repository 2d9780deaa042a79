"""Writes the dashboards: python3 scripts/dashboards [FOLDER]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cells
import found

ALL = (
    cells.overview,
    cells.stages,
    cells.errors,
    cells.throughput,
    found.incidents,
    found.fleet,
    found.platform,
)


def main() -> None:
    """One file each, named for the dashboard's uid."""
    default = Path(__file__).resolve().parents[2] / "deploy/grafana/dashboards"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    for make in ALL:
        dashboard = make()
        text = json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{dashboard['uid']}.json").write_text(text)


if __name__ == "__main__":
    main()
