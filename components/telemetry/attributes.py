"""Resource attributes: what clients send, what the gateway keeps, what becomes a label, what makes a Kafka key; and the
classes of confidentiality of traces: who may read what.

They stand in ``registry/attributes.yaml``; the gateway drops what is not listed there.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.telemetry.file import explaining, registry_content
from components.telemetry.layers import LAYER_NAMES, Layer

LAYER = "layer"
SERVICE_NAME = "service.name"
SERVICE_INSTANCE_ID = "service.instance.id"
SERVICE_VERSION = "service.version"
DEVICE_ID = "device_id"
DATA_CLASSIFICATION = "data.classification"


@dataclass(frozen=True, kw_only=True)
class ResourceAttribute:
    """One resource attribute.

    Attributes:
        key: OTLP attribute key.
        description: What it holds.
        layers: Names of the layers that may send it; the gateway removes it from any other.
        required: Whether every resource of these layers carries it.
        promoted: Whether Prometheus makes it a label of every series (others are on ``target_info`` only).
    """

    key: str
    description: str
    layers: tuple[str, ...]
    required: bool = False
    promoted: bool = False


with explaining():
    _GROUPS = registry_content("attributes")["groups"]
    RESOURCE_ATTRIBUTES: tuple[ResourceAttribute, ...] = tuple(
        ResourceAttribute(
            key=row["id"],
            description=row["brief"],
            layers=tuple(group.get("layers") or LAYER_NAMES),
            required=row.get("required", False),
            promoted=row.get("label", False),
        )
        for group in _GROUPS
        if "resource" in group["at"]
        for row in group["attributes"]
    )
    DATA_CLASSES: tuple[str, ...] = next(
        tuple(row["members"]) for group in _GROUPS for row in group["attributes"] if row["id"] == DATA_CLASSIFICATION
    )
"""Values of ``data.classification``, least to most restricted."""

KEY_ATTRIBUTES: tuple[str, ...] = (DEVICE_ID, SERVICE_NAME)
"""Identity for the Kafka key of metrics and logs: the first that the resource has (requirement K3)."""

PROMOTED_ATTRIBUTES: tuple[str, ...] = tuple(
    resource_attribute.key for resource_attribute in RESOURCE_ATTRIBUTES if resource_attribute.promoted
)
"""For Prometheus' ``otlp.promote_resource_attributes``; ``job`` and ``instance`` come from the service attributes."""


def allowed_attributes(layer: Layer) -> tuple[str, ...]:
    """Keys of the resource attributes that the gateway keeps for ``layer``."""
    return tuple(
        resource_attribute.key for resource_attribute in RESOURCE_ATTRIBUTES if layer.name in resource_attribute.layers
    )


def required_attributes(layer: Layer) -> tuple[str, ...]:
    """Keys without which a resource of ``layer`` is incomplete."""
    return tuple(
        resource_attribute.key
        for resource_attribute in RESOURCE_ATTRIBUTES
        if resource_attribute.required and layer.name in resource_attribute.layers
    )


ALLOWED_ATTRIBUTES: tuple[str, ...] = tuple(resource_attribute.key for resource_attribute in RESOURCE_ATTRIBUTES)
"""Every key that the gateway keeps for at least one layer."""


ATTRIBUTE = DATA_CLASSIFICATION
"""Attribute of a span (or of its resource) that names its class."""
CLASSES: tuple[str, ...] = DATA_CLASSES
"""Ordered from open to restricted: who may read a class may read all before it."""
DEFAULT = CLASSES[-1]
"""Class of what names none, or one that does not exist."""


def readable(clearance: str) -> tuple[str, ...]:
    """Classes that somebody with a clearance may read.

    Raises:
        ValueError: There is no such class.
    """
    return CLASSES[: _rank(clearance) + 1]


def clearances(name: str) -> tuple[str, ...]:
    """Clearances that may read a class.

    Raises:
        ValueError: There is no such class.
    """
    return CLASSES[_rank(name) :]


def _rank(name: str) -> int:
    if name not in CLASSES:
        raise ValueError(f"class {name!r}: there is none of that name; allowed: {', '.join(CLASSES)}")
    return CLASSES.index(name)
