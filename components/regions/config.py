"""Names, intervals and checks of the failover agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from components.contracts import AlertmanagerEndpoint
from components.k8s import DeploymentContext
from services.runtime.settings import is_host_port

WORKLOAD: Final = "failover-agent"
ALERTMANAGER_PASSWORD = "alertmanager-password"  # noqa: S105  (a file name)
POLL_INTERVAL_S: Final = 2
"""How often the lease is read: a region that lost it falls silent so soon."""
HEARTBEAT_INTERVAL_S: Final = 5
"""How often the region says that it lives."""
ISOLATED_S: Final = 20
"""How long neither witness nor any pager answers until the region falls silent by itself."""


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
        if not is_host_port(egress_target):
            raise ValueError(f"regions: egress_targets has {egress_target!r}: write host:port")
        if int(egress_target.rpartition(":")[2]) not in ports:
            allowed = ", ".join(map(str, sorted(ports)))
            raise ValueError(
                f"regions: egress_targets has {egress_target!r}, whose port is not open: it must be one of {allowed}"
            )
