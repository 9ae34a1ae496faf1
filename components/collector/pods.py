"""The container that runs a collector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import naming
from components.collector.config import HEALTH_PORT, METRICS_PORT
from components.k8s import Container, Mount, Probe, Resources
from components.sizes import size_of


def memory_settings(resources: Resources) -> dict[str, str]:
    """Environment of a Go program that allocates much and keeps little: it collects at four times what it keeps, and
    more often as the memory limit comes near."""
    return {"GOGC": "300", "GOMEMLIMIT": f"{size_of(resources.memory_limit) * 8 // 10 // 2**20}MiB"}


def collector_container(
    resources: Resources,
    *,
    ports: Mapping[str, int] | None = None,
    mounts: Sequence[Mount] = (),
    pre_stop_sleep_s: int | None = None,
    pre_stop_port: int | None = None,
) -> Container:
    """A collector with its configuration in volume ``config`` and its passwords in volume ``auth``.

    Args:
        resources: Requests and limits; the garbage collector works harder as the memory limit comes near.
        ports: Further ports.
        mounts: Further volumes.
        pre_stop_sleep_s: Seconds for load balancers to stop sending before the collector is told to end.
        pre_stop_port: Or the port of its extension that says when it may end.
    """
    return Container(
        name="otelcol",
        image="otelcol",
        command=["/otelcol", "--config=/etc/otelcol/config.yaml"],
        resources=resources,
        ports={**(ports or {}), naming.METRICS_PORT: METRICS_PORT, "health": HEALTH_PORT},
        env=memory_settings(resources),
        mounts=[
            Mount(volume="config", path="/etc/otelcol"),
            Mount(volume="auth", path="/etc/otelcol-auth"),
            *mounts,
        ],
        startup=Probe(http="/", port=HEALTH_PORT, https=True, period_s=2, failures=60),
        liveness=Probe(http="/", port=HEALTH_PORT, https=True, period_s=10, failures=6),
        readiness=Probe(http="/", port=HEALTH_PORT, https=True, period_s=5, failures=2),
        pre_stop_sleep_s=pre_stop_sleep_s,
        pre_stop_port=pre_stop_port,
    )
