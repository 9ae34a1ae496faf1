"""How an Alertmanager runs: command line, gossip and web configuration, and how it is asked whether it is there.

The times of the gossip are chosen in docs/adr/0012: a member that is gone is noticed within some 6 s, and until then
the other one waits 5 s before it tells what the first should have told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.alerting.timings import PEER_TIMEOUT_S
from components.alertmanager.config import CONFIG_DIRECTORY
from components.alertmanager.receivers import Data
from components.k8s import TLS_MOUNT

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


def web_config(users: Mapping[str, str], tls_directory: str = TLS_MOUNT) -> Data:
    """Web configuration: TLS, and a bcrypt hash per user."""
    return {
        "tls_server_config": {
            "cert_file": f"{tls_directory}/tls.crt",
            "key_file": f"{tls_directory}/tls.key",
            "min_version": "TLS12",
        },
        "basic_auth_users": dict(sorted(users.items())),
    }


def client_config(
    *, username: str, password_file: str = f"{WEB_DIRECTORY}/client-password", tls_directory: str = TLS_MOUNT
) -> Data:
    """HTTP client configuration by which the probe asks Alertmanager on ``localhost``."""
    return {
        "basic_auth": {"username": username, "password_file": password_file},
        "tls_config": {"ca_file": f"{tls_directory}/ca.crt", "server_name": "localhost"},
    }
