"""How an Alertmanager runs: command line, gossip and web configuration, how it is asked whether it is there, and the
containers of its pod.

The times of the gossip are chosen in docs/adr/0012: a member that is gone is noticed within some 6 s, and until then
the other one waits 5 s before it tells what the first should have told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from components import naming
from components.alerting.escalation import PEER_TIMEOUT_S
from components.alertmanager.config import CONFIG_DIRECTORY, SECRETS_DIRECTORY, PagedRoute
from components.alertmanager.receivers import AUTHORITY_FILE, AWS_FILE, Data, phone_file
from components.k8s import TLS_MOUNT, Container, Mount, Probe, Resources
from components.k8s.programs import Program, python_container
from services.incident_closer import Alertmanager, IncidentCloserSettings, Paged, Pager
from services.runtime.settings import Login, Tls

WEB_PORT = 9093
GOSSIP_PORT = 9094
WEB_DIRECTORY = "/etc/alertmanager-web"
DATA_DIRECTORY = "/alertmanager"
CLIENT_CONFIG = f"{WEB_DIRECTORY}/client.yml"
POD_ADDRESS = "POD_IP"
"""Environment variable with the pod's own address."""
START_DELAY_S = 45
"""A member that starts tells nothing for so long: Prometheus sends each alert again within 40 s, and an alert must not
be told before the one that keeps it quiet is here."""


def alertmanager_command(
    *,
    peers: Sequence[str],
    cluster: str,
    external_url: str,
    directory: str = DATA_DIRECTORY,
    start_delay_s: int = START_DELAY_S,
) -> list[str]:
    """Program and arguments.

    Args:
        peers: ``host:port`` of every member's gossip, its own among them.
        cluster: Name of the cluster: members of another one are not let in.
        external_url: Where people reach it.
        directory: Where silences and the log of notifications are kept.
        start_delay_s: Seconds after the start in which nothing is told.
    """
    return [
        "/bin/alertmanager",
        f"--config.file={CONFIG_DIRECTORY}/alertmanager.yml",
        f"--web.config.file={WEB_DIRECTORY}/web.yml",
        f"--web.listen-address=0.0.0.0:{WEB_PORT}",
        f"--web.external-url={external_url}",
        f"--storage.path={directory}",
        "--data.retention=120h",
        # What both members have told and silenced since is lost when both are killed at once.
        "--data.maintenance-interval=1m",
        f"--dispatch.start-delay={start_delay_s}s",
        f"--cluster.listen-address=0.0.0.0:{GOSSIP_PORT}",
        f"--cluster.advertise-address=$({POD_ADDRESS}):{GOSSIP_PORT}",
        *(f"--cluster.peer={peer}" for peer in peers),
        f"--cluster.label={cluster}",
        f"--cluster.tls-config={CONFIG_DIRECTORY}/gossip.yml",
        f"--cluster.peer-timeout={PEER_TIMEOUT_S}s",
        "--cluster.probe-interval=1s",
        "--cluster.probe-timeout=500ms",
        "--cluster.pushpull-interval=15s",
        "--cluster.reconnect-interval=5s",
        "--cluster.tcp-timeout=5s",
        # So that heartbeats, and failures for one contact, can be told apart.
        "--enable-feature=receiver-name-in-metrics",
        "--log.format=json",
    ]


def ready_probe_command() -> tuple[str, ...]:
    """Asks Alertmanager for its state; the password comes from a file, which an HTTP probe could not do."""
    return (
        "/bin/amtool",
        f"--alertmanager.url=https://localhost:{WEB_PORT}",
        f"--http.config.file={CLIENT_CONFIG}",
        "--no-version-check",
        "--timeout=5s",
        "cluster",
        "show",
    )


def gossip_config(server_name: str, tls_directory: str = TLS_MOUNT) -> Data:
    """TLS between the members: both sides show the workload's own certificate, no other one is let in.

    Args:
        server_name: Name in the certificate of every member.
        tls_directory: Folder of the certificate.
    """
    certificate = {"cert_file": f"{tls_directory}/tls.crt", "key_file": f"{tls_directory}/tls.key"}
    return {
        "tls_server_config": {
            **certificate,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": f"{tls_directory}/ca.crt",
            "client_allowed_sans": [server_name],
            "min_version": "TLS12",
        },
        "tls_client_config": {
            **certificate,
            "ca_file": f"{tls_directory}/ca.crt",
            "server_name": server_name,
            "min_version": "TLS12",
        },
    }


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
    program = Program(
        module="incident_closer",
        container=CLOSER,
        resources=resources,
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="receivers", path=SECRETS_DIRECTORY),
        ],
    )
    return python_container(
        program,
        settings_file=f"{CONFIG_DIRECTORY}/{CLOSER_FILE}",
        port=CLOSER_PORT,
        port_name=CLOSER_PORT_NAME,
        # It is ready whether or not the pager answers: a member must not leave its Service for that.
        ready_every_s=10,
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
