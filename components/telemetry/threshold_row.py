"""One threshold, as it stands in ``thresholds.yaml``."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from enum import Enum
from typing import Self

from pydantic import Field, model_validator

from components.rules import Severity
from components.telemetry.fields import Line, MetricName, Name, Row, not_allowed
from components.telemetry.rows import AlertName, Duration, LabelName, LayerField, Runbook, seconds, spoken

LANGUAGES = ("en", "ja")


class Comparison(Enum):
    """Comparisons, as PromQL writes them."""

    ABOVE = ">"
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="

    def holds(self, value: float, limit: float) -> bool:
        """Whether ``value`` is beyond ``limit``."""
        compare = {">": operator.gt, "<": operator.lt, "<=": operator.le, "==": operator.eq}[self.value]
        return bool(compare(value, limit))


class Inhibitor(Row):
    """An alert that makes another one superfluous.

    Attributes:
        alert: Its name.
        equal: Labels that have to be the same on both; empty: any alert of that name will do.
        reason: Why the other one then tells nothing new.
    """

    alert: AlertName
    equal: tuple[LabelName, ...]
    reason: Line


class Example(Row):
    """Series from which the alert's tests are made, in promtool's notation.

    Attributes:
        bad: Series -> values under which the alert fires.
        good: Series as close to them as possible, under which it never fires.
        fires_at: First evaluation at which it fires.
        interval: Distance of the values.
        labels: Labels of the firing alert that come from the series.
    """

    bad: Mapping[str, str] = Field(min_length=1)
    good: Mapping[str, str] = Field(min_length=1)
    fires_at: Duration
    interval: Duration = "10s"
    labels: Mapping[LabelName, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.bad == self.good:
            raise not_allowed("a `good` that differs from `bad`: one of them has to stay silent")
        return self


class Threshold(Row):
    """One threshold, and the alert that is made of it.

    Attributes:
        name: Identity, also of the simulator's fault that crosses it.
        alert: Name of its alert.
        layer: Layer whose requirement it is.
        metrics: OTLP names of the metrics it reads.
        value: PromQL of the value that is compared.
        comparison: How the value is compared.
        limit: The limit, in the value's unit.
        unit: UCUM unit of the value.
        hold: How long the value must be beyond the limit.
        priority: How urgent it is (requirement 6.2).
        owner: Team that is told.
        summary: One line for people; may use Prometheus' template language.
        description: The requirement in words, and what is at stake.
        summary_ja: The summary in Japanese.
        description_ja: The description in Japanese.
        reason: Why this limit and this priority.
        stated: Whether the requirement states the number; else it is our default.
        slo: Objective whose error budget it spends; its alerts are quiet while this one fires.
        inhibited_by: Alerts that make this one superfluous.
        runbook: Page of the alert.
        example: Series for its tests.
    """

    name: Name
    alert: AlertName
    layer: LayerField
    metrics: tuple[MetricName, ...] = Field(min_length=1)
    value: Line
    comparison: Comparison
    limit: float
    unit: str
    hold: Duration
    priority: Severity
    owner: Name
    summary: Line
    summary_ja: Line
    description: Line
    description_ja: Line
    reason: Line
    stated: bool
    slo: Name | None = None
    inhibited_by: tuple[Inhibitor, ...] = ()
    runbook: Runbook
    example: Example

    @property
    def hold_s(self) -> int:
        """`hold` in seconds."""
        return seconds(self.hold)

    def crossed(self, value: float) -> bool:
        """Whether ``value`` is beyond the limit (however long)."""
        return self.comparison.holds(value, self.limit)

    @property
    def expression(self) -> str:
        """PromQL that returns a series while the limit is crossed."""
        return f"{self.value} {self.comparison.value} {self.limit:.10g}"

    def spoken_limit(self, language: str = "en") -> str:
        """The limit as people read it."""
        return spoken(self.limit, self.unit, language)

    def worded(self) -> Self:
        """The same with ``{limit}`` and ``{hold}`` filled into its texts."""
        texts = {}
        for field, language in (
            ("summary", "en"),
            ("description", "en"),
            ("summary_ja", "ja"),
            ("description_ja", "ja"),
        ):
            text = str(getattr(self, field)).replace("{limit}", self.spoken_limit(language))
            texts[field] = text.replace("{hold}", spoken(self.hold_s, "s", language))
        return self.model_copy(update=texts)
