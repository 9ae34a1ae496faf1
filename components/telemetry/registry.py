"""The schema of ``registry/``: what the five layers may send, in the form of OpenTelemetry's registry.

Layers, signals, metrics, attributes with their types, budgets and reserved names each stand there once. What pods need
of it they read as plain data (`components.telemetry.file`); everything else has it from here. A mistake is a
`CatalogueError` with one line each. Names are reserved as the gate compares them (``collector/gate/reserved.go``).
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from components.telemetry.fields import (
    AttributeName,
    Line,
    MetricName,
    Name,
    Row,
    not_allowed,
    pattern,
    validation_errors,
)
from components.telemetry.file import REGISTRY_NAME, REGISTRY_PATH, CatalogueError, parse
from components.telemetry.naming import Kind

_WORDS = re.compile(r"[A-Za-z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_]")


def metric_reserved(name: str, patterns: Collection[str]) -> bool:
    """Whether a metric would get a reserved name in Prometheus, with whatever unit and suffix it adds."""
    spelled = "_".join(_WORDS.findall(name))
    return _matches(spelled, patterns) or any(pattern.startswith(f"{spelled}_") for pattern in patterns)


def service_reserved(name: str, patterns: Collection[str]) -> bool:
    """Whether a value of ``service.name`` is reserved."""
    return _matches(name.strip().lower(), patterns)


def label_reserved(key: str, labels: Collection[str]) -> bool:
    """Whether the key of a point's attribute would get a reserved label in Prometheus."""
    spelled = _NOT_IN_LABELS.sub("_", key)
    return key in labels or spelled in labels or spelled.startswith("__")


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)


SentName = Annotated[str, pattern(r"[A-Za-z][A-Za-z0-9_./-]*", "a name of OpenTelemetry: letters, digits and _./-")]
ServicePattern = Annotated[str, pattern(r"[a-z0-9._-]+\*?", "a name in small letters, perhaps with a star at its end")]
MetricPattern = Annotated[str, pattern(r"[A-Za-z][A-Za-z0-9_]*\*?", "a name as Prometheus spells it, or with a star")]
SignalName = Literal["metrics", "traces", "logs"]


class AttributeType(StrEnum):
    """Types of values; what each allows, and what the gate does with it, says ``attributes.yaml``."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    VERSION = "version"
    ROUTE = "route"
    CODE = "code"
    ID = "id"
    TEXT = "text"


class Attribute(Row):
    """One attribute.

    Attributes:
        id: Its key.
        type: Type of its values.
        members: Values of an enum.
        minimum: Least number.
        maximum: Greatest number.
        required: Whether every resource of the layers that may send it has it.
        label: Whether Prometheus makes it a label of every series.
        brief: What it holds.
    """

    id: SentName
    type: AttributeType
    members: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    label: bool = False
    brief: Line

    @model_validator(mode="after")
    def _typed(self) -> Self:
        if (self.type is AttributeType.ENUM) != bool(self.members):
            raise not_allowed("members for an enum, and for nothing else")
        if self.type is not AttributeType.NUMBER and (self.minimum, self.maximum) != (None, None):
            raise not_allowed("minimum and maximum for a number, and for nothing else")
        return self


class Group(Row):
    """Attributes that belong together.

    Attributes:
        id: Name of the group.
        brief: What they are about.
        at: Where they may stand; on the points of a metric, those that it lists.
        layers: Layers that may send them; empty: all.
        attributes: The attributes.
    """

    id: SentName
    brief: Line
    at: tuple[Literal["resource", "spans", "logs"], ...]
    layers: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...]

    def sent_by(self, layer: str) -> bool:
        """Whether a layer may send these attributes."""
        return not self.layers or layer in self.layers


class Budget(Row):
    """How much a layer may create within half an hour.

    Attributes:
        series: Time series of the layer.
        client_series: Time series of one resource.
        span_names: Different names of spans; 0 where there are no traces.
    """

    series: int = Field(ge=1)
    client_series: int = Field(ge=1)
    span_names: int = Field(ge=0)


class LayerRow(Row):
    """One layer."""

    name: Name
    source: Annotated[str, pattern(r"L\d+", "the id of a requirement, such as L1")]
    description: Line
    signals: tuple[SignalName, ...] = Field(min_length=1)
    budget: Budget
    shares: dict[SignalName, Annotated[float, Field(gt=0, le=1)]]

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if set(self.shares) != set(self.signals):
            raise not_allowed("a share of every signal that is sent, and of no other")
        return self

    @model_validator(mode="after")
    def _names(self) -> Self:
        if ("traces" in self.signals) != (self.budget.span_names > 0):
            raise not_allowed("span_names above 0 where traces are sent, and 0 elsewhere")
        return self


class SentMetric(Row):
    """A metric that any service may send.

    Attributes:
        name: OTLP name.
        unit: UCUM unit; None: any.
        kind: Instrument.
        attributes: Keys of its points' attributes.
        description: What one value means.
    """

    name: SentName
    unit: str | None = None
    kind: Kind
    attributes: tuple[SentName, ...] = ()
    description: Line


class MetricRow(Row):
    """A metric of one service; the fields are those of `components.telemetry.catalogue.Metric`."""

    name: MetricName
    unit: str = Field(min_length=1)
    kind: Kind
    description: Line
    attributes: tuple[AttributeName, ...] = ()
    buckets: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _buckets(self) -> Self:
        if (self.kind is Kind.HISTOGRAM) != bool(self.buckets):
            raise not_allowed("buckets for a histogram, and for nothing else")
        return self


class Sender(Row):
    """A service with its metrics."""

    name: Name
    layer: str
    metrics: tuple[MetricRow, ...] = Field(min_length=1)


class LayersFile(Row):
    """``layers.yaml``."""

    layers: tuple[LayerRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        for signal in sorted({signal for layer in self.layers for signal in layer.shares}):
            sum_of_shares = sum(layer.shares.get(signal, 0.0) for layer in self.layers)
            if sum_of_shares > 1 + 1e-9:
                raise not_allowed(f"shares of {signal} that are at most 1 together; they are {sum_of_shares:g}")
        return self


class AttributesFile(Row):
    """``attributes.yaml``."""

    groups: tuple[Group, ...]


class MetricsFile(Row):
    """``metrics.yaml``."""

    services: tuple[Sender, ...]


class ConventionsFile(Row):
    """``conventions.yaml``."""

    metrics: tuple[SentMetric, ...]


class ChecksFile(Row):
    """``checks.yaml``."""

    services: tuple[Name, ...]
    metrics: tuple[SentMetric, ...]


class ReservedFile(Row):
    """``reserved.yaml``."""

    labels: tuple[AttributeName, ...]
    metrics: tuple[MetricPattern, ...]
    services: tuple[ServicePattern, ...]


class Registry(Row):
    """The whole registry, one field a file."""

    layers: LayersFile
    attributes: AttributesFile
    metrics: MetricsFile
    conventions: ConventionsFile
    checks: ChecksFile
    reserved: ReservedFile

    @functools.cached_property
    def types(self) -> Mapping[str, Attribute]:
        """Key -> attribute."""
        return {attribute.id: attribute for group in self.attributes.groups for attribute in group.attributes}


_FILES: Mapping[str, type[Row]] = {
    "layers": LayersFile,
    "attributes": AttributesFile,
    "metrics": MetricsFile,
    "conventions": ConventionsFile,
    "checks": ChecksFile,
    "reserved": ReservedFile,
}
_PAGE = "docs/ingest.md"


def read(folder: Path = REGISTRY_PATH) -> Registry:
    """Read the files of a folder.

    Raises:
        CatalogueError: They are wrong; one line per mistake: file, place, value, what is allowed.
    """
    files: dict[str, Any] = {}
    mistakes: list[str] = []
    for name, model in _FILES.items():
        path = f"{REGISTRY_NAME}/{name}.yaml"
        content = parse((folder / f"{name}.yaml").read_text(encoding="utf-8"), path)
        try:
            files[name] = model.model_validate_json(json.dumps(content, default=str))
        except ValidationError as error:
            mistakes += [f"{path}: {line}" for line in validation_errors(error, model, content, _PAGE)]
    if not mistakes:
        registry = Registry.model_construct(**files)
        mistakes = list(_contradictions(registry))
        if not mistakes:
            return registry
    raise CatalogueError("\n".join(mistakes))


def _contradictions(registry: Registry) -> Iterator[str]:
    """What no file alone shows to be wrong, one line each."""
    layers = [layer.name for layer in registry.layers.layers]
    yield from _twice("layers", "layers: name", layers)
    yield from _attributes(registry, layers)
    yield from _senders(registry, layers)
    for file, metrics in (("conventions", registry.conventions.metrics), ("checks", registry.checks.metrics)):
        yield from _twice(file, "metrics: name", (metric.name for metric in metrics))
        for metric in metrics:
            yield from _points(file, f"metrics[{metric.name}]", metric.name, metric.attributes, registry)
    for service in registry.checks.services:
        yield from _service("checks", f"services: {service}", service, registry)


def _attributes(registry: Registry, layers: Sequence[str]) -> Iterator[str]:
    groups = registry.attributes.groups
    yield from _twice("attributes", "groups: id", (group.id for group in groups))
    yield from _twice("attributes", "attributes: id", (row.id for group in groups for row in group.attributes))
    for group in groups:
        for layer in group.layers:
            if layer not in layers:
                yield _line(
                    "attributes", f"groups[{group.id}].layers is {layer!r}: allowed is one of {', '.join(layers)}"
                )
        for attribute in group.attributes:
            if (attribute.required or attribute.label) and "resource" not in group.at:
                yield _line(
                    "attributes",
                    f"groups[{group.id}].attributes[{attribute.id}] is required, or a label: allowed is that at "
                    "`resource`",
                )


def _senders(registry: Registry, layers: Sequence[str]) -> Iterator[str]:
    services = registry.metrics.services
    yield from _twice("metrics", "services: name", (sender.name for sender in services))
    yield from _twice("metrics", "metrics: name", (metric.name for sender in services for metric in sender.metrics))
    shared: dict[str, SentMetric | MetricRow] = {metric.name: metric for metric in registry.conventions.metrics}
    for sender in services:
        place = f"services[{sender.name}]"
        if sender.layer not in layers:
            yield _line("metrics", f"{place}.layer is {sender.layer!r}: allowed is one of {', '.join(layers)}")
        yield from _service("metrics", f"{place}.name", sender.name, registry)
        for metric in sender.metrics:
            where = f"{place}.metrics[{metric.name}]"
            yield from _points("metrics", where, metric.name, metric.attributes, registry)
            convention = shared.get(metric.name, metric)
            if (convention.unit or metric.unit, convention.kind) != (metric.unit, metric.kind):
                yield _line(
                    "metrics",
                    f"{where} has kind {metric.kind} and unit {metric.unit!r}: allowed is what conventions.yaml says, "
                    f"kind {convention.kind} and unit {convention.unit!r}",
                )


def _points(file: str, place: str, name: str, attributes: Iterable[str], registry: Registry) -> Iterator[str]:
    """A metric's name and the keys of its points."""
    if metric_reserved(name, registry.reserved.metrics):
        yield _line(file, f"{place}: the name is the platform's own: allowed is one that reserved.yaml does not list")
    for key in attributes:
        if key not in registry.types:
            yield _line(file, f"{place}.attributes: {key!r} has no type: allowed is an attribute of attributes.yaml")
        if label_reserved(key, registry.reserved.labels):
            yield _line(file, f"{place}.attributes: {key!r} is a label of the platform's: allowed is another key")


def _service(file: str, place: str, name: str, registry: Registry) -> Iterator[str]:
    if service_reserved(name, registry.reserved.services):
        yield _line(file, f"{place} is the platform's own: allowed is one that reserved.yaml does not list")


def _twice(file: str, what: str, values: Iterable[str]) -> Iterator[str]:
    for value, times in Counter(values).items():
        if times > 1:
            yield _line(file, f"{what} {value} occurs {times} times: allowed is once")


def _line(file: str, text: str) -> str:
    return f"{REGISTRY_NAME}/{file}.yaml: {text}; correct it"


REGISTRY: Registry = read()
"""The registry of this checkout."""
