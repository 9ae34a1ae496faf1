"""Resource attributes: what clients send, what the gateway keeps, what becomes a label, what makes a Kafka key.

``service.namespace`` is left out on purpose: Prometheus would put it in front of the ``job`` label, which is to be
the service's name alone. Anything that names a person is left out too; the gateway drops what is not listed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.telemetry.layers import LAYERS, Layer

LAYER = "layer"
SERVICE_NAME = "service.name"
SERVICE_INSTANCE_ID = "service.instance.id"
SERVICE_VERSION = "service.version"
DEVICE_ID = "device_id"
DATA_CLASSIFICATION = "data.classification"

DATA_CLASSES: tuple[str, ...] = ("public", "internal", "confidential")
"""Values of ``data.classification``, least to most restricted."""


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


_EVERY = tuple(layer.name for layer in LAYERS)
_SERVERS = tuple(name for name in _EVERY if name != "device")

RESOURCE_ATTRIBUTES: tuple[ResourceAttribute, ...] = (
    ResourceAttribute(
        key=LAYER, description="layer of the observed system", layers=_EVERY, required=True, promoted=True
    ),
    ResourceAttribute(key=SERVICE_NAME, description="logical service; the `job` label", layers=_EVERY, required=True),
    ResourceAttribute(
        key=SERVICE_INSTANCE_ID,
        description="one process or device, unique within the service; the `instance` label",
        layers=_EVERY,
        required=True,
    ),
    ResourceAttribute(
        key=DEVICE_ID, description="inventory id of a wearable", layers=("device",), required=True, promoted=True
    ),
    ResourceAttribute(key=SERVICE_VERSION, description="version of the software", layers=_EVERY),
    ResourceAttribute(key="deployment.environment.name", description="environment, e.g. production", layers=_EVERY),
    ResourceAttribute(
        key=DATA_CLASSIFICATION,
        description=f"who may see the data: {', '.join(DATA_CLASSES)}",
        layers=_EVERY,
    ),
    ResourceAttribute(key="telemetry.sdk.name", description="OpenTelemetry SDK", layers=_EVERY),
    ResourceAttribute(key="telemetry.sdk.language", description="language of the SDK", layers=_EVERY),
    ResourceAttribute(key="telemetry.sdk.version", description="version of the SDK", layers=_EVERY),
    ResourceAttribute(key="device.model.identifier", description="hardware model", layers=("device",)),
    ResourceAttribute(key="os.version", description="version of the device's firmware", layers=("device",)),
    ResourceAttribute(key="host.name", description="host or node", layers=_SERVERS),
    ResourceAttribute(key="k8s.namespace.name", description="Kubernetes namespace", layers=_SERVERS),
    ResourceAttribute(key="k8s.pod.name", description="Kubernetes pod", layers=_SERVERS),
)

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
