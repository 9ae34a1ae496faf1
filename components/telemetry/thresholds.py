"""The thresholds of the five layers and the objectives, read from ``thresholds.yaml``: alerts are made from them; and
whether the catalogue agrees with itself and with OpenTelemetry's naming rules.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from components.telemetry.attributes import ALLOWED_ATTRIBUTES, DEVICE_ID, KEY_ATTRIBUTES, PROMOTED_ATTRIBUTES
from components.telemetry.catalogue import METRICS, Metric
from components.telemetry.fields import PLATFORM
from components.telemetry.file import NAME, CatalogueError, content, parse, refusal
from components.telemetry.layers import LAYERS, TOPIC_OF_SIGNAL, Layer, Signal
from components.telemetry.naming import Kind
from components.telemetry.schema import BurnRate, Comparison, Document, Example, Inhibitor, Slo, Threshold, judge
from components.telemetry.topics import TOPICS

__all__ = [
    "BURN_RATES",
    "SLOS",
    "THRESHOLDS",
    "BurnRate",
    "CatalogueError",
    "Comparison",
    "Document",
    "Example",
    "Inhibitor",
    "Slo",
    "Threshold",
    "is_wide",
    "problems",
    "read",
    "series_in",
    "slo",
    "threshold",
    "thresholds_on",
]


def read(text: str) -> Document:
    """Read the text of such a file.

    Raises:
        CatalogueError: It is wrong; one line per mistake.
    """
    return _document(parse(text))


def _document(parsed: object) -> Document:
    outcome = judge(parsed)
    if isinstance(outcome, list):
        raise refusal(outcome)
    return outcome


DOCUMENT = _document(content())
"""The whole file."""
THRESHOLDS: tuple[Threshold, ...] = DOCUMENT.thresholds
"""All thresholds, in the order of the file: that of the layers."""
BURN_RATES: tuple[BurnRate, ...] = DOCUMENT.burn_rates
"""Speeds at which an error budget may be used, fastest first."""
SLOS: tuple[Slo, ...] = DOCUMENT.slos
"""All objectives."""


def threshold(name: str) -> Threshold:
    """Find a threshold by name.

    Raises:
        KeyError: There is no such threshold.
    """
    for candidate in THRESHOLDS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"threshold {name!r} does not exist: see {NAME}")


def is_wide(row: Threshold) -> bool:
    """Whether its value is one of each device, of which there are thousands."""
    return DEVICE_ID in row.value


def slo(name: str) -> Slo:
    """Find an objective by name.

    Raises:
        KeyError: There is no such objective.
    """
    for candidate in SLOS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"objective {name!r} does not exist: see {NAME}")


def thresholds_on(metric_name: str) -> tuple[Threshold, ...]:
    """Thresholds that read a metric, by its OTLP name."""
    return tuple(candidate for candidate in THRESHOLDS if metric_name in candidate.metrics)


_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_SERIES = re.compile(r"\b([a-z]+(?:_[a-z0-9]+)+)\b(?=[\[{ )]|$)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_FUNCTIONS = {"histogram_quantile"}


def problems(
    *,
    metrics: Iterable[Metric] = METRICS,
    thresholds: Iterable[Threshold] = THRESHOLDS,
    layers: Iterable[Layer] = LAYERS,
    slos: Iterable[Slo] = SLOS,
) -> list[str]:
    """All contradictions in the catalogue, one line each; empty when it is sound."""
    metrics, thresholds, layers = tuple(metrics), tuple(thresholds), tuple(layers)
    messages = [
        *_metric_problems(metrics),
        *_threshold_problems(metrics, thresholds),
        *_slo_problems(metrics, slos),
        *_layer_problems(layers),
    ]
    for key in (*PROMOTED_ATTRIBUTES, *KEY_ATTRIBUTES):
        if key not in ALLOWED_ATTRIBUTES:
            messages.append(f"attribute {key}: used as a label or key, but the gateway would drop it")
    return messages


def _repeated(values: Iterable[str]) -> list[str]:
    return [value for value, times in Counter(values).items() if times > 1]


def _metric_problems(metrics: tuple[Metric, ...]) -> Iterator[str]:
    for name in _repeated(metric.name for metric in metrics):
        yield f"metric {name}: listed twice"
    for name in _repeated(series for metric in metrics for series in metric.series):
        yield f"series {name}: two metrics share this name in Prometheus"
    layer_of: dict[str, Layer] = {}
    for metric in metrics:
        first = layer_of.setdefault(metric.service, metric.layer)
        if metric.layer is not first:
            yield f"service {metric.service}: sends as layer {first.name} and as layer {metric.layer.name}"
        if not _METRIC_NAME.fullmatch(metric.name):
            yield f"metric {metric.name}: must be lower-case words joined by dots"
        for key in metric.attributes:
            if not _ATTRIBUTE_NAME.fullmatch(key):
                yield f"metric {metric.name}: attribute {key} must be lower-case words joined by dots"
            if key in ALLOWED_ATTRIBUTES:
                yield f"metric {metric.name}: attribute {key} is a resource attribute"
        if not metric.layer.may_send(Signal.METRICS):
            yield f"metric {metric.name}: layer {metric.layer.name} may not send metrics"
        if (metric.kind is Kind.HISTOGRAM) != bool(metric.buckets):
            yield f"metric {metric.name}: a histogram, and only a histogram, has buckets"
        if list(metric.buckets) != sorted(set(metric.buckets)):
            yield f"metric {metric.name}: buckets must rise"


def _threshold_problems(metrics: tuple[Metric, ...], thresholds: tuple[Threshold, ...]) -> Iterator[str]:
    known = {metric.name: metric for metric in metrics}
    for name in _repeated(threshold.name for threshold in thresholds):
        yield f"threshold {name}: listed twice"
    for threshold in thresholds:
        read: set[str] = set()
        for name in threshold.metrics:
            if name not in known:
                yield (
                    f"threshold {threshold.name}: metric {name} is not in the catalogue: "
                    "name one of docs/telemetry.md, or add it under `services`"
                )
                continue
            metric = known[name]
            read |= set(metric.series)
            if metric.layer is not threshold.layer:
                yield (
                    f"threshold {threshold.name}: metric {name} belongs to layer {metric.layer.name}: "
                    f"allowed are metrics of layer {threshold.layer.name}; correct one of them"
                )
            if metric.kind is Kind.HISTOGRAM and threshold.limit not in metric.buckets:
                yield (
                    f"threshold {threshold.name}: limit {threshold.limit:g} is no bucket boundary of {name}: "
                    f"allowed is one of {', '.join(f'{bucket:g}' for bucket in metric.buckets)}"
                )
        for series in sorted(series_in(threshold.value) - read):
            yield (
                f"threshold {threshold.name}: its PromQL reads {series}, which its metrics do not have: "
                f"allowed are {', '.join(sorted(read)) or 'none'}; correct it, or add the metric to `metrics`"
            )


def _slo_problems(metrics: tuple[Metric, ...], slos: Iterable[Slo]) -> Iterator[str]:
    layer_of = {series: metric.layer.name for metric in metrics for series in metric.series}
    for slo in slos:
        if slo.layer == PLATFORM:
            continue  # Reads what the platform's parts say about themselves.
        for series in sorted(series_in(" ".join(text for text in (slo.good, slo.bad, slo.total) if text))):
            if series not in layer_of:
                yield (
                    f"objective {slo.name}: its PromQL reads {series}, which no metric of the catalogue has: "
                    "use series of docs/telemetry.md, or add the metric under `services`"
                )
            elif layer_of[series] != slo.layer:
                yield (
                    f"objective {slo.name}: {series} belongs to layer {layer_of[series]}, not to {slo.layer}: "
                    "correct one of them"
                )


def _layer_problems(layers: tuple[Layer, ...]) -> Iterator[str]:
    topics = {topic.name for topic in TOPICS}
    for signal, topic in TOPIC_OF_SIGNAL.items():
        if topic not in topics:
            yield f"signal {signal.value}: topic {topic} is not in components/telemetry/topics.py"
    for name in _repeated(layer.name for layer in layers):
        yield f"layer {name}: listed twice"


def series_in(promql: str) -> set[str]:
    """Names of the series that PromQL reads (label matchers and groupings left out)."""
    without_labels = re.sub(r"\{[^}]*\}", " ", _GROUPING.sub(" ", promql))
    return set(_SERIES.findall(without_labels)) - _FUNCTIONS
