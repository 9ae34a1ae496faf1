"""One objective and the speeds at which its error budget may be used, as they stand in ``thresholds.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from components.rules import Severity
from components.telemetry.fields import Line, Name, Row, not_allowed
from components.telemetry.rows import Duration, Place, Runbook, seconds, spoken

WINDOW = "{window}"
LIMIT = "{limit}"
BASE_WINDOW = "5m"
"""Window of the series from which all longer ones are averaged."""


def _windowed(value: str) -> str:
    if WINDOW not in value or "\n" in value:
        raise not_allowed(f"PromQL with the placeholder {WINDOW}, for example sum(rate(requests_total[{WINDOW}]))")
    return value


def _share(value: float) -> float:
    if not 0 < value < 1:
        raise not_allowed("a share between 0 and 1, for example 0.995")
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise not_allowed("a number above 0")
    return value


Indicator = Annotated[str, AfterValidator(_windowed)]


class BurnRate(Row):
    """A speed of use of an error budget.

    Attributes:
        name: What the objectives call it.
        factor: Multiple of the speed that uses the budget up exactly at the window's end.
        long: Window that says that it matters.
        short: Window that says that it still goes on.
    """

    name: Name
    factor: Annotated[float, AfterValidator(_positive)]
    long: Duration
    short: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not seconds(BASE_WINDOW) <= seconds(self.short) < seconds(self.long):
            raise not_allowed(f"a short window from {BASE_WINDOW} up to less than the long one")
        return self


class SloExample(Row):
    """Series from which the tests are made: growth per minute (``+60``) or a constant value (``0.2``).

    Attributes:
        healthy: While every event is good.
        failing: The same series while every event is bad.
    """

    healthy: Mapping[str, Annotated[str, Field(pattern=r"^\+?\d+(\.\d+)?$")]] = Field(min_length=1)
    failing: Mapping[str, Annotated[str, Field(pattern=r"^\+?\d+(\.\d+)?$")]] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_series(self) -> Self:
        if set(self.healthy) != set(self.failing):
            raise not_allowed("the same series under `healthy` and under `failing`")
        return self


class Slo(Row):
    """One service level objective.

    Attributes:
        name: Identity; the label ``slo``.
        layer: Layer, or ``platform``.
        description: What counts as good, in words.
        description_ja: The same in Japanese.
        objective: Share of the events that has to be good.
        window: Over which it counts.
        good: PromQL of the rate of good events, or None.
        bad: PromQL of the rate of bad events, or None.
        total: PromQL of the rate of all events.
        priorities: Name of a burn rate -> priority of the alert.
        owner: Team that is told.
        reason: Why this objective and these priorities.
        runbook: Page about what is measured.
        example: Series for its tests.
    """

    name: Name
    layer: Place
    description: Line
    description_ja: Line
    objective: Annotated[float, AfterValidator(_share)]
    window: Duration
    good: Indicator | None = None
    bad: Indicator | None = None
    total: Indicator
    priorities: Mapping[Name, Severity]
    owner: Name
    reason: Line
    runbook: Runbook
    example: SloExample

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.good is None) == (self.bad is None):
            raise not_allowed("either `good` or `bad`, not both and not neither")
        return self

    @property
    def budget(self) -> float:
        """Share of the events that may be bad."""
        return 1 - self.objective

    def limited(self, limit: float, unit: str) -> Self:
        """The same with ``{limit}`` filled in."""
        changed = {
            "description": self.description.replace(LIMIT, spoken(limit, unit, "en")),
            "description_ja": self.description_ja.replace(LIMIT, spoken(limit, unit, "ja")),
        }
        for field in ("good", "bad", "total"):
            text = getattr(self, field)
            changed[field] = text and text.replace(LIMIT, f"{limit:.10g}")
        return self.model_copy(update=changed)

    @property
    def limits(self) -> bool:
        """Whether ``{limit}`` has to be filled in."""
        return any(
            LIMIT in (text or "") for text in (self.description, self.description_ja, self.good, self.bad, self.total)
        )
