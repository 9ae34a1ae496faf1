"""The settings file of the failover agent, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any, Final

from components.contracts import AlertmanagerEndpoint, ObjectStorage
from components.k8s import TLS_MOUNT, DeploymentContext

WORKLOAD: Final = "failover-agent"
AUTH_FOLDER: Final = "/etc/failover-agent-auth"
KEY_ID, SECRET_KEY, AUTHORITY = "witness-access-key-id", "witness-secret-access-key", "witness-authority.crt"
ALERTMANAGER_PASSWORD, SCRAPE_PASSWORD = "alertmanager-password", "scrape-password"
POLL_INTERVAL_S: Final = 2
"""How often the lease is read: a region that lost it falls silent so soon."""
HEARTBEAT_INTERVAL_S: Final = 5
"""How often the region says that it lives."""
ISOLATED_S: Final = 20
"""How long neither witness nor any pager answers until the region falls silent by itself."""


class Standing(StrEnum):
    """What a region is in its stack."""

    PRIMARY = auto()
    STANDBY = auto()


@dataclass(frozen=True, kw_only=True)
class FailoverAgentConfig:
    """What the settings file depends on.

    Attributes:
        region: This region.
        leads: Whether it is active while nobody has written a lease.
        peer: The other region, or None where there is none.
        witness: The bucket in neither region.
        private_witness: Whether the witness has an authority of its own.
        alertmanagers: Base URL of each Alertmanager, by its own address.
        alertmanager: How they are logged in to.
        egress_targets: ``host:port`` of the pagers.
        fingerprints: What both regions have to agree on -> SHA-256 of what this one has.
        port: Port that it serves.
        scraper: User that reads the metrics.
    """

    region: str
    leads: bool
    peer: str | None
    witness: ObjectStorage
    private_witness: bool
    alertmanagers: Sequence[str]
    alertmanager: AlertmanagerEndpoint
    egress_targets: Sequence[str]
    fingerprints: Mapping[str, str]
    port: int
    scraper: str


def failover_agent_config(settings: FailoverAgentConfig) -> dict[str, Any]:
    """The settings file of ``services.failover_agent``."""
    return {
        "region": settings.region,
        "role": str(Standing.PRIMARY if settings.leads else Standing.STANDBY),
        "peer": settings.peer,
        "witness": {
            "endpoint": settings.witness.endpoint,
            "region": settings.witness.region,
            "bucket": settings.witness.bucket,
            "access_key_id_file": f"{AUTH_FOLDER}/{KEY_ID}",
            "secret_access_key_file": f"{AUTH_FOLDER}/{SECRET_KEY}",
            "ca_file": f"{AUTH_FOLDER}/{AUTHORITY}" if settings.private_witness else None,
        },
        "alertmanagers": {
            "urls": list(settings.alertmanagers),
            "server_name": settings.alertmanager.server_name,
            "ca_file": f"{TLS_MOUNT}/ca.crt",
            "user": settings.alertmanager.operator.username,
            "password_file": f"{AUTH_FOLDER}/{ALERTMANAGER_PASSWORD}",
        },
        "egress_targets": list(settings.egress_targets),
        "fingerprints": dict(settings.fingerprints),
        "listen": f"0.0.0.0:{settings.port}",
        "tls": {"cert_file": f"{TLS_MOUNT}/tls.crt", "key_file": f"{TLS_MOUNT}/tls.key"},
        "metrics": {"user": settings.scraper, "password_file": f"{AUTH_FOLDER}/{SCRAPE_PASSWORD}"},
        "poll_interval_s": POLL_INTERVAL_S,
        "heartbeat_interval_s": HEARTBEAT_INTERVAL_S,
        "isolated_s": ISOLATED_S,
    }


def alertmanager_workload(alertmanager: AlertmanagerEndpoint) -> str:
    """Workload whose pods the members are."""
    return alertmanager.members[0].rpartition("-")[0]


def alertmanager_urls(context: DeploymentContext, alertmanager: AlertmanagerEndpoint) -> list[str]:
    """Base URL of every member, each by its own address: a silence must arrive although gossip is cut."""
    return [
        f"https://{context.pod_host(workload, int(index))}:{alertmanager.port}"
        for workload, _, index in (member.rpartition("-") for member in alertmanager.members)
    ]


def check_egress_targets(egress_targets: Sequence[str], ports: Sequence[int]) -> None:
    """Check that pagers are named, and that each could be reached.

    Args:
        egress_targets: ``host:port`` of each.
        ports: Ports that are open towards them.

    Raises:
        ValueError: There is none, one is not ``host:port``, or its port is not open.
    """
    if not egress_targets:
        raise ValueError(
            "regions: egress_targets is empty: name host:port of the pagers, else a region that is cut off stays active"
        )
    for egress_target in egress_targets:
        host, _, port = egress_target.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"regions: egress_targets has {egress_target!r}: write host:port")
        if int(port) not in ports:
            allowed = ", ".join(map(str, sorted(ports)))
            raise ValueError(
                f"regions: egress_targets has {egress_target!r}, whose port is not open: it must be one of {allowed}"
            )
