"""Allow list per layer: attributes whose numbers are harmless, though they may resemble a phone number or an address.

The allow list exempts from the rules for numbers only. Secrets, mail addresses and names are looked for everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.telemetry.attributes import LAYER, SERVICE_NAME, SERVICE_VERSION
from components.telemetry.catalogue import METRICS

_EVERY = (
    LAYER,
    SERVICE_NAME,
    SERVICE_VERSION,
    "os.version",
    "telemetry.sdk.version",
    "device.model.identifier",
    "k8s.pod.name",
    "http.request.method",
    "http.response.status_code",
    "exception.type",
    "error.type",
    "event.sequence",
    "build.id",
    "artifact.hash",
)

_OF_LAYER: Mapping[str, tuple[str, ...]] = {
    "device": ("device.firmware.build", "frame.sequence"),
    "streaming": ("segment.id", "stream.id", "recording.id"),
    "business": ("work.id", "order.id", "work_event.id"),
    "data": ("etl.run.id", "report.id", "batch.id"),
    "analytics": ("analysis.job.id", "screen.id"),
}


def allowed_keys(layer: str) -> tuple[str, ...]:
    """Keys of attributes that the rules for numbers leave alone in telemetry of ``layer``.

    Raises:
        KeyError: The layer has no allow list.
    """
    measured = {key for metric in METRICS if metric.layer.name == layer for key in metric.attributes}
    return tuple(dict.fromkeys((*_EVERY, *_OF_LAYER[layer], *sorted(measured))))
