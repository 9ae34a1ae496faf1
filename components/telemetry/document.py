"""Writes the catalogue as Markdown: ``docs/telemetry.md``."""

from __future__ import annotations

from collections.abc import Iterator

from components.telemetry.attributes import KEY_ATTRIBUTES, RESOURCE_ATTRIBUTES
from components.telemetry.catalogue import METRICS
from components.telemetry.layers import LAYERS, Layer
from components.telemetry.markdown import table
from components.telemetry.thresholds import thresholds_on
from components.telemetry.topics import TOPICS


def markdown() -> str:
    """The whole document, ending in a line break."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Telemetry of the five layers"
    yield ""
    yield "Generated: do not edit. To refresh it: `python -m components.telemetry > docs/telemetry.md`."
    yield ""
    yield "## Layers"
    yield ""
    yield (
        "A signal that is not listed for its layer is dropped at the gateway and counted. "
        "The layer's name is also its user at the gateway."
    )
    yield ""
    yield from table(
        ("source", "`layer`", "what", "signals", "topics"),
        (
            (
                layer.source,
                f"`{layer.name}`",
                layer.description,
                _signals(layer),
                ", ".join(f"`{t}`" for t in layer.topics),
            )
            for layer in LAYERS
        ),
    )
    yield "## Topics"
    yield ""
    yield from table(
        ("topic", "partitions", "kept for", "records"),
        ((f"`{t.name}`", str(t.partitions), f"{t.retention_days} d", t.description) for t in TOPICS),
    )
    yield "## Resource attributes"
    yield ""
    yield (
        "The gateway keeps these and drops all others. Metrics and logs are keyed by the first of "
        f"{', '.join(f'`{key}`' for key in KEY_ATTRIBUTES)} that is there; traces by trace id. "
        "`service.name` becomes the label `job`, `service.instance.id` the label `instance`."
    )
    yield ""
    yield from table(
        ("attribute", "layers", "required", "label of every series", "what"),
        (
            (
                f"`{resource_attribute.key}`",
                "all" if len(resource_attribute.layers) == len(LAYERS) else ", ".join(resource_attribute.layers),
                "yes" if resource_attribute.required else "",
                "yes" if resource_attribute.promoted else "",
                resource_attribute.description,
            )
            for resource_attribute in RESOURCE_ATTRIBUTES
        ),
    )
    yield "## Metrics"
    yield ""
    yield "Their thresholds: [thresholds.md](thresholds.md)."
    for layer in LAYERS:
        yield ""
        yield f"### {layer.source}: {layer.name} ({layer.description})"
        yield ""
        yield from table(
            ("service", "metric", "unit", "instrument", "attributes", "in Prometheus", "threshold", "what"),
            (
                (
                    metric.service,
                    f"`{metric.name}`",
                    f"`{metric.unit}`",
                    metric.kind.value,
                    ", ".join(f"`{key}`" for key in metric.attributes),
                    f"`{metric.prometheus}`",
                    ", ".join(f"`{threshold.name}`" for threshold in thresholds_on(metric.name)),
                    metric.description,
                )
                for metric in METRICS
                if metric.layer is layer
            ),
            last=layer is LAYERS[-1],
        )


def _signals(layer: Layer) -> str:
    return ", ".join(sorted(signal.value for signal in layer.signals))
