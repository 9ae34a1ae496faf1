"""Short ways to write tables, and sections that several reports share."""

from __future__ import annotations

from collections.abc import Sequence

from services.reports.model import TEXTS, Cell, Table, Text, Tone, share, text_of, translate
from services.reports.queries import Achieved, Kpi

MOST_ROWS = 25


def cell(text: Text | str, tone: Tone = "") -> Cell:
    """A cell of words."""
    return Cell(text=text_of(text), tone=tone)


def figure(text: Text | str, tone: Tone = "") -> Cell:
    """A cell with a number."""
    return Cell(text=text_of(text), number=True, tone=tone)


def table(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    empty: str = "table.empty",
    note: Text | None = None,
    most: int = MOST_ROWS,
) -> Table:
    """A table whose title and headings are keys of `translate`; rows beyond ``most`` are counted in the note."""
    more = len(rows) - most
    notes = [note] if note else []
    if more > 0:
        notes.append(translate("table.more", count=str(more)))
    return Table(
        title=translate(title),
        head=tuple(translate(heading) for heading in head),
        rows=tuple(tuple(row) for row in rows[:most]),
        empty=translate(empty),
        note=Text(en=" ".join(text.en for text in notes), ja="".join(text.ja for text in notes)) if notes else None,
    )


def place(name: str) -> Text:
    """Name of a layer, or of the platform."""
    key = f"place.{name}"
    return translate(key) if key in TEXTS else text_of(name or "-")


def priority(name: str) -> Cell:
    """A priority with its colour."""
    tones: dict[str, Tone] = {"critical": "bad", "high": "bad", "medium": "warning"}
    known = name in ("critical", "high", "medium", "low")
    return cell(translate(f"priority.{name}") if known else (name or "-"), tones.get(name, ""))


def kpi_name(kpi: Kpi) -> Text:
    """Name of a figure; a further metric has its own."""
    return text_of(kpi.name) if kpi.further else translate(f"kpi.{kpi.name}")


def promise(kept: bool | None) -> Tone:
    """Colour of a promise that was kept or not."""
    return "" if kept is None else "good" if kept else "bad"


def achievement(achieved: Achieved) -> Cell:
    """Share of good events of an objective, or that it is not known."""
    if achieved.good is None:
        return figure(translate("unknown"), "warning")
    return figure(share(achieved.good), promise(achieved.kept))
