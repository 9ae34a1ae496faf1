"""The container of an Alertmanager pod."""

from __future__ import annotations

from collections.abc import Sequence

from components import naming
from components.alertmanager.config import CONFIG_DIRECTORY, SECRETS_DIRECTORY
from components.alertmanager.contacts import AWS_FILE
from components.alertmanager.process import (
    DATA_DIRECTORY,
    GOSSIP_PORT,
    POD_ADDRESS,
    START_DELAY_S,
    WEB_DIRECTORY,
    WEB_PORT,
    alertmanager_command,
    ready_probe_command,
)
from components.k8s import Container, Mount, Probe, Resources


def alertmanager_container(resources: Resources, *, peers: Sequence[str], cluster: str, external_url: str) -> Container:
    """Alertmanager, with volumes ``config``, ``web``, ``receivers`` and ``data``.

    Args:
        resources: Requests and limits.
        peers: ``host:port`` of every member's gossip.
        cluster: Name of the cluster.
        external_url: Where people reach it.
    """
    return Container(
        name="alertmanager",
        image="alertmanager",
        command=alertmanager_command(peers=peers, cluster=cluster, external_url=external_url),
        resources=resources,
        ports={naming.METRICS_PORT: WEB_PORT, "gossip": GOSSIP_PORT},
        env={
            "AWS_SHARED_CREDENTIALS_FILE": f"{SECRETS_DIRECTORY}/{AWS_FILE}",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        env_fields={POD_ADDRESS: "status.podIP"},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="receivers", path=SECRETS_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
        ],
        startup=Probe(command=ready_probe_command(), period_s=3, timeout_s=10, failures=40),
        liveness=Probe(tcp=WEB_PORT, period_s=15, failures=4),
        # Not before it tells alerts: a roll must never find both members waiting.
        readiness=Probe(
            command=ready_probe_command(), initial_delay_s=START_DELAY_S + 5, period_s=15, timeout_s=10, failures=2
        ),
        pre_stop_sleep_s=5,
        working_dir=DATA_DIRECTORY,
    )
