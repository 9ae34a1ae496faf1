"""The schema of ``thresholds.yaml``: its entries with types of every key; what reads it, and checks that they fit
together.
"""

from __future__ import annotations

import json
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PlainValidator, ValidationError, model_validator

from components.rules import Severity
from components.telemetry import layers
from components.telemetry.fields import (
    PLATFORM,
    AlertName,
    AttributeName,
    Duration,
    LabelName,
    Line,
    MetricName,
    Name,
    Row,
    Runbook,
    not_allowed,
    seconds,
    spoken,
    validation_errors,
)
from components.telemetry.file import REGISTRY_NAME
from components.telemetry.layers import Layer, Signal
from components.telemetry.registry import (
    REGISTRY,
    Attribute,
    MetricRow,
    label_reserved,
    metric_reserved,
    service_reserved,
)


# `layers` has this module explain a mistake in its file before it has any of its names: they are looked up when asked.
def _layer(value: object) -> Layer:
    if value not in layers.LAYER_NAMES:
        raise not_allowed(f"one of {', '.join(layers.LAYER_NAMES)}")
    return layers.layer(str(value))


def _layer_or_platform(value: str) -> str:
    if value not in (*layers.LAYER_NAMES, PLATFORM):
        raise not_allowed(f"one of {', '.join((*layers.LAYER_NAMES, PLATFORM))}")
    return value


LayerField = Annotated[Layer, PlainValidator(_layer)]
"""A layer, written as its name."""
Place = Annotated[str, AfterValidator(_layer_or_platform)]
"""Name of a layer, or `PLATFORM`."""


class Simulated(Row):
    """What the lab's simulator sends for a metric.

    Attributes:
        usual: Value in normal operation; of a counter, its growth per second.
        faulty: The same while the fault of a threshold that reads the metric is on; None: nothing changes.
        attributes: Values of the metric's attributes.
    """

    usual: float
    faulty: float | None = None
    attributes: Mapping[AttributeName, str] = Field(default_factory=dict)


class ServiceMetric(MetricRow):
    """One metric.

    Attributes:
        simulated: What the lab's simulator sends; None: nothing.
    """

    simulated: Simulated | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.simulated is not None and set(self.simulated.attributes) != set(self.attributes):
            raise not_allowed("a simulated value for each of the metric's attributes, and for nothing else")
        return self


class Traces(Row):
    """That a service sends traces.

    Attributes:
        latency_limit_ms: A span of it that lasts longer is slow: its trace is kept, and many of them raise an alert.
    """

    latency_limit_ms: int = Field(ge=1)


class Service(Row):
    """One service.

    Attributes:
        name: ``service.name``.
        layer: Layer that it sends as.
        description: What it does.
        attributes: Attributes that the registry does not have, with their types; they may stand on its metrics, and on
            the spans and logs of its layer.
        metrics: Metrics that it sends.
        traces: Set when it sends traces.
    """

    name: Name
    layer: LayerField
    description: Line
    attributes: tuple[Attribute, ...] = ()
    metrics: tuple[ServiceMetric, ...] = ()
    traces: Traces | None = None

    @model_validator(mode="after")
    def _sends(self) -> Self:
        if not self.metrics and self.traces is None:
            raise not_allowed("a service with metrics, traces or both")
        if self.traces is not None and not self.layer.may_send(Signal.TRACES):
            raise not_allowed(f"no traces: layer {self.layer.name} may not send any")
        return self


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
        slo: Objective whose error budget it spends; its alerts are quiet while this one fires, if this one tells of
            the whole and not of one screen or device.
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


class Document(Row):
    """The file.

    Attributes:
        owners: Team -> what it answers for.
        alerts_elsewhere: Alert of the platform's own rules that is named here -> its priority there.
        thresholds: Thresholds.
        burn_rates: Speeds at which an error budget may be used.
        slos: Objectives.
        services: Further services.
    """

    owners: Mapping[Name, Line]
    alerts_elsewhere: Mapping[AlertName, Severity]
    thresholds: tuple[Threshold, ...]
    burn_rates: tuple[BurnRate, ...]
    slos: tuple[Slo, ...]
    services: tuple[Service, ...]


_URGENCY = list(Severity)


def judge(content: object) -> Document | list[str]:
    """Read a parsed file.

    Args:
        content: What YAML made of it.

    Returns:
        The file with its texts filled in, or one line per mistake.
    """
    try:
        document = Document.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        return list(validation_errors(error, Document, content))
    return list(_incoherent(document)) or _worded(document)


def _worded(document: Document) -> Document:
    """The same with limits filled into texts and indicators."""
    limiting = {threshold.slo: threshold for threshold in document.thresholds if threshold.slo}
    return document.model_copy(
        update={
            "thresholds": tuple(threshold.worded() for threshold in document.thresholds),
            "slos": tuple(
                slo.limited(limiting[slo.name].limit, limiting[slo.name].unit) if slo.limits else slo
                for slo in document.slos
            ),
        }
    )


def _incoherent(document: Document) -> Iterator[str]:
    yield from _twice("thresholds", "name", (threshold.name for threshold in document.thresholds))
    yield from _twice("thresholds", "alert", (threshold.alert for threshold in document.thresholds))
    yield from _twice("burn_rates", "name", (burn_rate.name for burn_rate in document.burn_rates))
    yield from _twice("slos", "name", (slo.name for slo in document.slos))
    yield from _twice("services", "name", (service.name for service in document.services))
    names = (metric.name for service in document.services for metric in service.metrics)
    yield from _twice("services", "metrics.name", names)
    yield from _services(document)
    for threshold in document.thresholds:
        yield from _threshold(threshold, document)
    for slo in document.slos:
        yield from _slo(slo, document)


def _twice(section: str, key: str, values: Iterable[str]) -> Iterator[str]:
    for value, times in Counter(values).items():
        if times > 1:
            yield f"{section}: {key} {value} occurs {times} times: allowed is once; rename all but one"


def _services(document: Document) -> Iterator[str]:
    """That their attributes have one type each, and that no name is the platform's own."""
    reserved = REGISTRY.reserved
    own = [attribute.id for service in document.services for attribute in service.attributes]
    yield from _twice("services", "attributes.id", own)
    for service in document.services:
        place = f"services[{service.name}]"
        if service_reserved(service.name, reserved.services):
            yield f"{place}.name is {service.name!r}: allowed is none of the platform's own services; rename it"
        for attribute in service.attributes:
            if attribute.id in REGISTRY.types:
                yield (
                    f"{place}.attributes[{attribute.id}] is defined in {REGISTRY_NAME}/attributes.yaml: allowed is one "
                    "definition; remove this one"
                )
            if label_reserved(attribute.id, reserved.labels):
                yield f"{place}.attributes[{attribute.id}] is the platform's own label: allowed is another; rename it"
        for metric in service.metrics:
            where = f"{place}.metrics[{metric.name}]"
            if metric_reserved(metric.name, reserved.metrics):
                yield f"{where}.name is the platform's own: allowed is another name; rename it"
            for key in metric.attributes:
                if key not in own and key not in REGISTRY.types:
                    yield (
                        f"{where}.attributes has {key!r}, which has no type: allowed are those of {REGISTRY_NAME}/"
                        f"attributes.yaml and of `services`; add it to {place}.attributes"
                    )


def _owner(place: str, owner: str, document: Document) -> Iterator[str]:
    if owner not in document.owners:
        yield (
            f"{place}.owner is {owner!r}: allowed is one of {', '.join(document.owners)}; correct it, or add the team "
            "to `owners`"
        )


def _threshold(threshold: Threshold, document: Document) -> Iterator[str]:
    place = f"thresholds[{threshold.name}]"
    yield from _owner(place, threshold.owner, document)
    page = f"docs/runbooks/{threshold.alert}.md"
    if threshold.runbook != page:
        yield f"{place}.runbook is {threshold.runbook!r}: allowed is {page!r}; name the page after the alert"
    slos = [slo.name for slo in document.slos]
    if threshold.slo is not None and threshold.slo not in slos:
        yield f"{place}.slo is {threshold.slo!r}: allowed is one of {', '.join(slos)}; correct it, or remove the key"
    alerts = {known_threshold.alert: known_threshold.priority for known_threshold in document.thresholds} | dict(
        document.alerts_elsewhere
    )
    for position, inhibitor in enumerate(threshold.inhibited_by):
        where = f"{place}.inhibited_by[{position}].alert is {inhibitor.alert!r}"
        if inhibitor.alert not in alerts:
            yield f"{where}: allowed is an alert of this file or of `alerts_elsewhere`; correct it"
        elif inhibitor.alert == threshold.alert:
            yield f"{where}: allowed is another alert; an alert cannot make itself superfluous"
        elif _URGENCY.index(alerts[inhibitor.alert]) > _URGENCY.index(threshold.priority):
            yield (
                f"{where}, priority {alerts[inhibitor.alert]}: allowed is one that is at least as urgent as "
                f"{threshold.alert} ({threshold.priority}), else people would hear of it too late; remove it"
            )


def _slo(slo: Slo, document: Document) -> Iterator[str]:
    place = f"slos[{slo.name}]"
    yield from _owner(place, slo.owner, document)
    speeds = [burn_rate.name for burn_rate in document.burn_rates]
    if sorted(slo.priorities) != sorted(speeds):
        yield (
            f"{place}.priorities has the keys {', '.join(slo.priorities) or 'none'}: allowed is each of "
            f"{', '.join(speeds)}; give every burn rate a priority"
        )
    limiting = [threshold.name for threshold in document.thresholds if threshold.slo == slo.name]
    if slo.limits and len(limiting) != 1:
        yield (
            f"{place} uses {{limit}}, but {len(limiting)} thresholds name it ({', '.join(limiting) or 'none'}): "
            f"allowed is one; write `slo: {slo.name}` at the threshold that is meant"
        )
