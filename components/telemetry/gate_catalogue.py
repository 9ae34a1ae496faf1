"""What the gate lets in, as the whole content of its catalogue file (schema: ``collector/README.md``).

A layer may send the metrics that its services have in the catalogue, those that SDKs send by default, and those of the
platform's own checks. A metric of both kinds may have the attributes of both.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from components.telemetry.attributes import LAYER, SERVICE_NAME, required_attributes
from components.telemetry.catalogue import METRICS, SERVICES
from components.telemetry.file import content
from components.telemetry.layers import LAYER_NAMES, LAYERS, Layer, Signal
from components.telemetry.naming import Kind
from components.telemetry.registry import REGISTRY, Attribute, SentMetric
from components.telemetry.services import TRACED_SERVICES

_ALWAYS_KEPT = (LAYER, SERVICE_NAME)
"""The gate keeps these of every resource; its file does not list them."""


def gate_catalogue(
    clients: Mapping[str, Sequence[str]], *, open_layers: Collection[str] = (), oldest_point: str | None = None
) -> dict[str, object]:
    """The gate's catalogue.

    Args:
        clients: User that signs in -> names of the layers that it may speak for.
        open_layers: Names of the layers whose unknown names pass as free text.
        oldest_point: How old a point of a metric may be, for example ``24h``; None: as old as a span or log record.

    Raises:
        ValueError: A layer does not exist.
    """
    for what, names in (
        *((f"client {user}", layers) for user, layers in clients.items()),
        ("open_layers", open_layers),
    ):
        for name in names:
            if name not in LAYER_NAMES:
                raise ValueError(f"{what}: layer is {name!r}, must be one of {', '.join(LAYER_NAMES)}")
    catalogue: dict[str, object] = {
        "clients": {user: list(layers) for user, layers in clients.items()},
        "attributes": {
            attribute.id: _typed(attribute) for attribute in attribute_types() if attribute.id not in _ALWAYS_KEPT
        },
        "layers": {layer.name: _layer(layer, layer.name in open_layers) for layer in LAYERS},
        "reserved": {
            "labels": list(REGISTRY.reserved.labels),
            "metrics": list(REGISTRY.reserved.metrics),
            "services": list(REGISTRY.reserved.services),
        },
        **({"limits": {"metrics_past": oldest_point}} if oldest_point else {}),
    }
    digest = hashlib.sha256(json.dumps(catalogue, sort_keys=True).encode()).hexdigest()
    return {"version": digest[:12], **catalogue}


def attribute_types() -> tuple[Attribute, ...]:
    """Every attribute with its type: those of the registry, and those of further services."""
    return (*REGISTRY.types.values(), *(attribute for _, attribute in _of_further_services()))


def service_names(layer: Layer) -> tuple[str, ...]:
    """Values of ``service.name`` that a layer may send."""
    sending = (name for name, own in SERVICES.items() if own is layer)
    traced = (service.name for service in TRACED_SERVICES if service.layer is layer)
    further = (str(service["name"]) for service in content()["services"] if service["layer"] == layer.name)
    return _once((*sending, *traced, *further, *REGISTRY.checks.services))


def keys_at(layer: Layer, place: str) -> tuple[str, ...]:
    """Keys of attributes that a layer may send.

    Args:
        layer: The layer.
        place: ``resource``, ``spans`` or ``logs``.
    """
    known = (
        attribute.id
        for group in REGISTRY.attributes.groups
        if place in group.at and group.sent_by(layer.name)
        for attribute in group.attributes
    )
    further = (attribute.id for name, attribute in _of_further_services() if name == layer.name)
    return _once((*known, *(() if place == "resource" else further)))


def sent_metrics(layer: Layer) -> tuple[SentMetric, ...]:
    """Metrics that a layer may send, each once."""
    metrics = {metric.name: metric for metric in (*REGISTRY.conventions.metrics, *REGISTRY.checks.metrics)}
    for metric in METRICS:
        if metric.layer is layer:
            shared = metrics[metric.name].attributes if metric.name in metrics else ()
            metrics[metric.name] = SentMetric(
                name=metric.name,
                unit=metric.unit,
                kind=Kind(metric.kind),
                attributes=_once((*metric.attributes, *shared)),
                description=metric.description,
            )
    return tuple(metrics.values())


def _layer(layer: Layer, is_open: bool) -> dict[str, object]:
    traces = layer.may_send(Signal.TRACES)
    return {
        "open": is_open,
        "signals": [signal.value for signal in Signal if layer.may_send(signal)],
        "services": list(service_names(layer)),
        "required": [key for key in required_attributes(layer) if key not in _ALWAYS_KEPT],
        "resource": [key for key in keys_at(layer, "resource") if key not in _ALWAYS_KEPT],
        "metrics": {metric.name: _metric(metric) for metric in sent_metrics(layer)},
        "spans": _keys(keys_at(layer, "spans")) if traces else [],
        "logs": _keys(keys_at(layer, "logs")),
        "budget": dataclasses.asdict(layer.budget),
    }


@functools.cache
def _keys(keys: tuple[str, ...]) -> list[str]:
    """Of equal keys, the same object: YAML writes it once and refers to it."""
    return list(keys)


@functools.cache
def _metric(metric: SentMetric) -> dict[str, object]:
    """Of a metric of several layers, the same object: YAML writes it once and refers to it."""
    unit = {} if metric.unit is None else {"unit": metric.unit}
    return {
        **unit,
        "kind": metric.kind.value,
        "description": metric.description,
        "attributes": list(metric.attributes),
    }


def _typed(attribute: Attribute) -> dict[str, Any]:
    values = {"values": list(attribute.members)} if attribute.members else {}
    bounds = {"minimum": attribute.minimum, "maximum": attribute.maximum}
    return {
        "type": attribute.type.value,
        **values,
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }


def _of_further_services() -> tuple[tuple[str, Attribute], ...]:
    """Layer and attribute, of those that ``services`` in ``thresholds.yaml`` define."""
    return tuple(
        (str(service["layer"]), Attribute.model_validate_json(json.dumps(attribute)))
        for service in content()["services"]
        for attribute in service.get("attributes", ())
    )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
