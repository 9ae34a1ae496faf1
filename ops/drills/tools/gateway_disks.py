"""What waits in the gateways' queues on disk, as they tell it themselves."""

from __future__ import annotations

from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from components.collector.config import METRICS_PORT
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.drills.gate_target import WORKLOAD

_SIZE: Final = "otelcol_exporter_queue_size"
_ON_DISK: Final = "-disk"
"""At the end of the name of an exporter behind a queue on disk."""


def on_disk(context: Context) -> dict[str, int]:
    """Pod of every gateway that is ready -> bytes in its queues on disk, of at most five seconds ago.

    Raises:
        OpsError: One does not answer.
    """
    auth = context.platform.scrape_credentials[WORKLOAD].pair
    return {pod.name: _bytes(context, pod.name, auth) for pod in context.kube.pods(WORKLOAD) if pod.ready}


def _bytes(context: Context, pod: str, auth: tuple[str, str]) -> int:
    try:
        with context.web.call("GET", f"{context.tunnels.url(pod, METRICS_PORT)}/metrics", auth=auth) as response:
            status, text = response.status_code, response.text
    except OpsError:
        # A pod of that name that came since is behind another tunnel.
        context.tunnels.drop(pod, METRICS_PORT)
        raise
    if status != 200:
        raise OpsError(f"the metrics of {pod} answered {status}")
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == _SIZE and sample.labels.get("exporter", "").endswith(_ON_DISK)
        )
    )
