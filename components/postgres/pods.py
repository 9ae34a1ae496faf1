"""The containers of a member: the server and its exporter."""

from __future__ import annotations

from components import naming
from components.k8s import Container, Mount, Probe, Resources
from components.postgres import process
from components.postgres.config import CONFIG_DIRECTORY, PORT, SECRETS_DIRECTORY, SOCKET_DIRECTORY, VOLUME_DIRECTORY

POD_INDEX = "apps.kubernetes.io/pod-index"
"""Label that a StatefulSet gives its pods."""
_STARTUP_PERIOD_S = 5
_STARTUP_TRIES = 360


def server(resources: Resources) -> Container:
    """The server. The first copy of the data, and the recovery after a crash, may take half an hour."""
    return Container(
        name="postgres",
        image="postgres",
        command=process.start_command(),
        resources=resources,
        ports={"postgres": PORT},
        env=process.environment(),
        env_labels={"POD_INDEX": POD_INDEX},
        env_fields={"POD_NAME": "metadata.name", "POD_IP": "status.podIP"},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="config", path="/etc/passwd", sub_path="passwd"),
            Mount(volume="access", path=SECRETS_DIRECTORY),
            Mount(volume="socket", path=SOCKET_DIRECTORY, writable=True),
            Mount(volume="data", path=VOLUME_DIRECTORY, writable=True),
        ],
        startup=Probe(command=process.ready_command(), period_s=_STARTUP_PERIOD_S, failures=_STARTUP_TRIES),
        readiness=Probe(command=process.ready_command(), period_s=10),
        liveness=Probe(command=process.alive_command(), period_s=20, failures=6),
    )


def exporter(resources: Resources) -> Container:
    """The exporter. It has none of the server's volumes: it reaches the server as any other client does."""
    return Container(
        name="postgres-exporter",
        image="postgres-exporter",
        command=process.exporter_command(),
        resources=resources,
        ports={naming.METRICS_PORT: process.EXPORTER_PORT},
        env=process.exporter_environment(),
        mounts=[
            Mount(volume="exporter", path=process.EXPORTER_DIRECTORY),
            Mount(volume="exporter-secrets", path=process.EXPORTER_SECRETS),
        ],
        startup=Probe(tcp=process.EXPORTER_PORT, period_s=2, failures=30),
        readiness=Probe(tcp=process.EXPORTER_PORT, period_s=5),
        liveness=Probe(tcp=process.EXPORTER_PORT, period_s=20, failures=6),
    )
