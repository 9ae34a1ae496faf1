"""The containers of an Alertmanager pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from components import naming
from components.alertmanager.config import CONFIG_DIRECTORY, SECRETS_DIRECTORY, PagedRoute
from components.alertmanager.contacts import AUTHORITY_FILE, AWS_FILE, phone_file
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
from components.k8s import TLS_MOUNT, Container, Mount, Probe, Resources
from services.incident_closer.settings import Alertmanager, IncidentCloserSettings, Paged, Pager
from services.runtime.settings import Login, Tls

CLOSER = "incident-closer"
"""Container, and job of its metrics."""
CLOSER_PORT, CLOSER_PORT_NAME = 9095, "closer"
CLOSER_PASSWORD_FILE = "closer-password"  # noqa: S105  (a file name)
CLOSER_FILE = "incident-closer.yml"


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


def closer_container(resources: Resources) -> Container:
    """What closes the pager's incidents of muted alerts, with the volumes of Alertmanager.

    Args:
        resources: Requests and limits.
    """
    return Container(
        name=CLOSER,
        image="services",
        command=["/usr/bin/python3", "-m", "services.incident_closer", "--config", f"{CONFIG_DIRECTORY}/{CLOSER_FILE}"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={CLOSER_PORT_NAME: CLOSER_PORT},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="receivers", path=SECRETS_DIRECTORY),
        ],
        startup=Probe(http="/healthz", port=CLOSER_PORT, https=True, period_s=3, failures=40),
        # It is ready whether or not the pager answers: a member must not leave its Service for that.
        readiness=Probe(http="/healthz", port=CLOSER_PORT, https=True, period_s=10),
        liveness=Probe(http="/healthz", port=CLOSER_PORT, https=True, period_s=20, failures=6),
    )


def closer_settings(
    pager_url: str,
    receivers: Mapping[str, PagedRoute],
    *,
    user: str,
    scraper: str,
    private_authority: bool,
    alertmanager_url: str = f"https://localhost:{WEB_PORT}",
    listen: str = f"0.0.0.0:{CLOSER_PORT}",
    auth_directory: str = WEB_DIRECTORY,
    tls_directory: str = TLS_MOUNT,
    secrets_directory: str = SECRETS_DIRECTORY,
) -> IncidentCloserSettings:
    """The settings of ``services.incident_closer``.

    Args:
        pager_url: Where the pager takes events.
        receivers: Receiver that rings a phone -> its route.
        user: Login name at Alertmanager.
        scraper: User that reads the metrics.
        private_authority: Whether the pager's certificate is signed by an authority that is not public.
        alertmanager_url: The Alertmanager beside it.
        listen: Where it answers whether it works.
        auth_directory: Folder with both passwords.
        tls_directory: Folder of the pod's certificate.
        secrets_directory: Folder with the routing keys.
    """
    return IncidentCloserSettings(
        listen=listen,
        tls=Tls(cert_file=Path(f"{tls_directory}/tls.crt"), key_file=Path(f"{tls_directory}/tls.key")),
        metrics=Login(user=scraper, password_file=Path(f"{auth_directory}/{CLOSER_PASSWORD_FILE}")),
        alertmanager=Alertmanager(
            url=alertmanager_url,
            ca_file=Path(f"{tls_directory}/ca.crt"),
            user=user,
            password_file=Path(f"{auth_directory}/client-password"),
        ),
        pager=Pager(
            url=pager_url, ca_file=Path(f"{secrets_directory}/{AUTHORITY_FILE}") if private_authority else None
        ),
        receivers={
            name: Paged(route=route.key, key_file=Path(f"{secrets_directory}/{phone_file(route.contact)}"))
            for name, route in receivers.items()
        },
    )
