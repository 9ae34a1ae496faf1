"""What dashboards show of many senders together, recorded: evaluated once a minute, and not for everybody who looks.

A panel that adds, counts or compares the senders of a layer would read a series of each of them, for every point and at
every refresh, and the read address would fetch those of both replicas. What is the same for all who look is therefore
recorded by service: a few series, however many senders there are. A metric that is added as data gets its records as it
gets its panels. Gauges of processes have none, since their panels show each process.

A minute is what lines over hours need. Alerts do not read these records: they keep the times of their promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from components.rules import Reads, Recording, RuleGroup
from components.telemetry.catalogue import METRICS, Metric
from components.telemetry.catalogue import metric as catalogued
from components.telemetry.layers import DATA, DEVICE, LAYERS, Layer
from components.telemetry.naming import Kind
from components.telemetry.schema import Comparison
from components.telemetry.thresholds import Threshold, thresholds_on

OFTEN, SELDOM = "5m", "1h"
"""Windows of histograms, and of what happens a few times an hour."""
CHARGE: Final = "hw.battery.charge"
WEAKEST: Final = 10
"""Devices with the least charge that are recorded one by one."""
OF_THE_WEAKEST: Final = (
    "device.delivery.delay",
    "device.network.latency",
    "device.stream.quality",
    "device.speech_recognition.accuracy",
    "device.connected",
)
"""What else is recorded of these."""
LOWEST: Final = "weakest"
"""Last part of the names of their records."""
SENDERS: Final = "obs:layer_senders:count"
"""Record of how many processes and devices sent metrics, by layer."""

_EVERY = "1m"
_COUNTED = "2m"
"""Window of a counter: two samples of a client that sends once a minute are in it."""
_SLOW_S = 3600
"""A histogram that reaches this far is of batch work."""
_CONNECTION = "{connection}"


def selector(metric: Metric, suffix: str = "", more: str = "") -> str:
    """What the metric's own service sends of it.

    Args:
        metric: A metric of the catalogue.
        suffix: Part of a histogram, such as ``_bucket``.
        more: Further matchers, each with a comma before it.
    """
    return f"{metric.prometheus}{suffix}{_of(metric, more)}"


def recorded(metric: Metric, operation: str, more: str = "") -> str:
    """What is recorded of it.

    Args:
        metric: A metric of the catalogue.
        operation: One of `operations`, or `LOWEST` of the charge and what is beside it.
        more: Further matchers, each with a comma before it.
    """
    return f"{_record(metric, operation)}{_of(metric, more)}"


def operations(metric: Metric) -> tuple[str, ...]:
    """What is recorded of a metric; the last part of the records' names."""
    if metric.kind is Kind.HISTOGRAM:
        return (f"rate{window(metric)}",)
    if metric.kind is Kind.COUNTER:
        return (f"increase{SELDOM}",) if metric.layer is DATA else (f"rate{_COUNTED}",)
    if metric.layer is not DEVICE:
        return ()
    if metric.labels:
        return ("sum",)
    return ("sum", "count") if metric.unit == _CONNECTION else (worst(metric), "median")


def window(metric: Metric) -> str:
    """Window over which a histogram is looked at."""
    return SELDOM if metric.buckets and metric.buckets[-1] >= _SLOW_S else OFTEN


def worst(metric: Metric) -> str:
    """Whether the smallest or the largest value is the worst: ``min`` or ``max``."""
    limited = own_thresholds(metric)
    return "min" if limited and limited[0].comparison is not Comparison.ABOVE else "max"


def own_thresholds(metric: Metric) -> tuple[Threshold, ...]:
    """Thresholds on the metric's own size."""
    return tuple(
        row
        for row in thresholds_on(metric.name)
        if row.metrics == (metric.name,) and row.unit == metric.unit and row.comparison is not Comparison.EQUAL
    )


def _rules(layer: Layer) -> Iterator[Recording]:
    for metric in METRICS:
        if metric.layer is layer:
            for operation in operations(metric):
                yield Recording(record=_record(metric, operation), expr=_expression(metric, operation))
    if layer is DEVICE:
        yield from _weakest()


def _expression(metric: Metric, operation: str) -> str:
    by = ", ".join(("layer", "job", *(("le",) if metric.kind is Kind.HISTOGRAM else metric.labels)))
    if metric.kind is Kind.HISTOGRAM:
        return f"sum by ({by}) (rate({selector(metric, '_bucket')}[{window(metric)}]))"
    if metric.kind is Kind.COUNTER:
        function, length = ("increase", SELDOM) if metric.layer is DATA else ("rate", _COUNTED)
        return f"sum by ({by}) ({function}({selector(metric)}[{length}]))"
    if operation == "median":
        return f"quantile by ({by}) (0.5, {selector(metric)})"
    return f"{operation} by ({by}) ({selector(metric)})"


def _weakest() -> Iterator[Recording]:
    """The devices with the least charge, with what a table shows of them."""
    charge = catalogued(CHARGE)
    weakest = _record(charge, LOWEST)
    yield Recording(record=weakest, expr=f"bottomk by (layer, job) ({WEAKEST}, {_of_each(charge)})")
    for metric in map(catalogued, OF_THE_WEAKEST):
        expr = f"{_of_each(metric)} and on (device_id) {weakest}"
        yield Recording(record=_record(metric, LOWEST), expr=expr)


def _of_each(metric: Metric) -> str:
    return f"min by (layer, job, device_id) ({selector(metric)})"


def _record(metric: Metric, operation: str) -> str:
    return f"obs:{metric.prometheus}{'_bucket' if metric.kind is Kind.HISTOGRAM else ''}:{operation}"


def _of(metric: Metric, more: str) -> str:
    return f'{{layer="{metric.layer.name}",job="{metric.service}"{more}}}'


# target_info: one series per sender.
_SENDERS: Final = Recording(record=SENDERS, expr='count by (layer) (target_info{layer!=""})')
SUMMARIES: tuple[RuleGroup, ...] = tuple(
    RuleGroup(name=f"summary-{name}", rules=rules, interval=_EVERY, reads=Reads.LAYERS)
    for name, rules in (("senders", (_SENDERS,)), *((layer.name, tuple(_rules(layer))) for layer in LAYERS))
)
"""A group for each layer, and one for the number of senders."""
