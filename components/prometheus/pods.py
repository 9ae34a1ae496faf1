"""The containers of a Prometheus pod."""

from __future__ import annotations

from components import naming
from components.k8s import Container, Mount, Probe, Resources
from components.prometheus.config import (
    CONFIG_DIRECTORY,
    DATA_DIRECTORY,
    SCRAPE_DIRECTORY,
    WEB_DIRECTORY,
    WEB_PORT,
    prometheus_command,
    ready_probe_command,
)
from components.prometheus.objects import objects_mount
from components.prometheus.thanos import GRPC_PORT, SIDECAR_HTTP_PORT, sidecar_command

SIDECAR_PORT_NAME = "sidecar"


def prometheus_container(
    resources: Resources, *, retention_time: str, retention_size: str, block_duration: str, shipped: bool
) -> Container:
    """Prometheus, with volumes ``config``, ``web``, ``scrape`` and ``data``."""
    return Container(
        name="prometheus",
        image="prometheus",
        command=prometheus_command(
            retention_time=retention_time,
            retention_size=retention_size,
            block_duration=block_duration,
            shipped=shipped,
        ),
        resources=resources,
        ports={naming.METRICS_PORT: WEB_PORT},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="scrape", path=SCRAPE_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
        ],
        # Reading a large write-ahead log takes minutes, during which it listens but is not ready.
        startup=Probe(command=ready_probe_command(), period_s=3, timeout_s=10, failures=400),
        liveness=Probe(tcp=WEB_PORT, period_s=15, failures=6),
        readiness=Probe(command=ready_probe_command(), period_s=15, timeout_s=10, failures=2),
        working_dir=DATA_DIRECTORY,
    )


def sidecar_container(resources: Resources, *, shipping: bool) -> Container:
    """The Thanos sidecar, with volumes ``web`` and ``data``, and ``objects`` where it ships blocks."""
    return Container(
        name="thanos-sidecar",
        image="thanos",
        command=sidecar_command(shipping=shipping),
        resources=resources,
        ports={"grpc": GRPC_PORT, SIDECAR_PORT_NAME: SIDECAR_HTTP_PORT},
        mounts=[
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
            *([objects_mount()] if shipping else []),
        ],
        startup=Probe(tcp=SIDECAR_HTTP_PORT, period_s=2, failures=60),
        liveness=Probe(tcp=SIDECAR_HTTP_PORT, period_s=15, failures=6),
        readiness=Probe(tcp=GRPC_PORT, period_s=10),
        working_dir=DATA_DIRECTORY,
    )
