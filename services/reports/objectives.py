"""The service level objectives of ``thresholds.yaml``, as far as reports tell of them.

The file is read as plain data, as the lab's simulator does: its schema needs parts that the services' image leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.telemetry.file import content, explaining, text
from components.telemetry.rows import seconds, spoken
from services.reports.text import Text

_LIMIT = "{limit}"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One objective.

    Attributes:
        name: Identity; the label ``slo``.
        layer: Layer, or ``platform``.
        description: What counts as good.
        objective: Share of the events that has to be good.
        window_s: Over how many seconds it counts.
    """

    name: str
    layer: str
    description: Text
    objective: float
    window_s: int

    @property
    def budget(self) -> float:
        """Share of the events that may be bad."""
        return 1 - self.objective


def objectives(document: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Objectives of the parsed file.

    Raises:
        KeyError: A key is missing.
        TypeError: A value is of another kind.
    """
    limits = {row["slo"]: (float(row["limit"]), text(row["unit"])) for row in document["thresholds"] if row.get("slo")}
    return tuple(_objective(row, limits.get(row["name"])) for row in document["slos"])


def _objective(row: Mapping[str, Any], limit: tuple[float, str] | None) -> Objective:
    english, japanese = text(row["description"]), text(row["description_ja"])
    if limit is not None:
        english = english.replace(_LIMIT, spoken(*limit, "en"))
        japanese = japanese.replace(_LIMIT, spoken(*limit, "ja"))
    return Objective(
        name=text(row["name"]),
        layer=text(row["layer"]),
        description=Text(en=english, ja=japanese),
        objective=float(row["objective"]),
        window_s=seconds(text(row["window"])),
    )


with explaining():
    OBJECTIVES: tuple[Objective, ...] = objectives(content())
"""All objectives, in the order of the file."""


@dataclass(frozen=True, kw_only=True)
class Achieved:
    """How an objective was kept.

    Attributes:
        objective: It.
        bad: Share of the events that were bad; None where nothing is known.
        bad_minutes: Minutes in which more were bad than may be.
        minutes: Minutes that are known.
        left: Share of the error budget that is left over the objective's own window.
    """

    objective: Objective
    bad: float | None
    bad_minutes: float | None
    minutes: float | None
    left: float | None

    @property
    def good(self) -> float | None:
        """Share of the events that were good."""
        return None if self.bad is None else 1 - self.bad

    @property
    def kept(self) -> bool | None:
        """Whether it was kept; None where nothing is known."""
        return None if self.bad is None else self.bad <= self.objective.budget

    @property
    def burn(self) -> float | None:
        """Multiple of the speed that uses the budget up exactly at the end of the window."""
        return None if self.bad is None else self.bad / self.objective.budget

    def used(self, period_s: float) -> float | None:
        """Share of a whole window's budget that a period of this length used, at an even rate of events."""
        return None if self.burn is None else self.burn * period_s / self.objective.window_s

    @property
    def left_of_period(self) -> float | None:
        """Share of the period's own budget that was left."""
        return None if self.burn is None else 1 - self.burn
