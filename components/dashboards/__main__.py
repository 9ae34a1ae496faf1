"""``python -m components.dashboards``: writes ``docs/dashboards/<uid>.json`` and ``docs/dashboards.md``."""

from __future__ import annotations

from pathlib import Path

from components.dashboards import drilldowns
from components.dashboards.document import markdown
from components.dashboards.grafana import text
from components.dashboards.registry import DASHBOARDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
"""Folder of the documents."""


def files() -> dict[str, str]:
    """All files, by their path within `DOCS`."""
    dashboards = {**{registered.uid: text(registered) for registered in DASHBOARDS}, **drilldowns.texts()}
    return {"dashboards.md": markdown(), **{f"dashboards/{uid}.json": content for uid, content in dashboards.items()}}


def main() -> None:
    """Write them; files of dashboards that are gone are removed."""
    folder = DOCS / "dashboards"
    folder.mkdir(exist_ok=True)
    written = files()
    for path in folder.glob("*.json"):
        if f"dashboards/{path.name}" not in written:
            path.unlink()
    for name, content in written.items():
        (DOCS / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
