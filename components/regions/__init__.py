"""The failover agent's pod: it reads the lease in the witness bucket and makes every Alertmanager follow it.

One of them, on purpose: two would each make their own silence, and the later one to read an old lease would undo what
the other did. While it is away, what is silent stays silent, and what is active stays active.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from components.contracts import AlertmanagerEndpoint, ObjectStorage, ScrapeTarget
from components.k8s import Allow, DeploymentContext, Resources, network, to_storage, workload_pods
from components.k8s.programs import (
    CA_FILE,
    Program,
    PythonService,
    PythonServiceArgs,
    StorageFiles,
    auth_folder,
    is_private,
    served,
)
from services.failover_agent import PRIMARY, STANDBY, Alertmanagers, FailoverAgentSettings
from services.runtime.settings import BucketSettings, is_host_port

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


TOKEN = "obs:regions:FailoverAgent"  # noqa: S105  (a type token)
PORT = 8443
IMAGE = "backup"
"""It has what reads an object storage."""
WITNESS = StorageFiles(use="witness")
_AUTH = auth_folder(WORKLOAD)


@dataclass(frozen=True, kw_only=True)
class FailoverAgentArgs:
    """What the failover agent needs.

    Attributes:
        context: Deployment context; its region is the failover agent's.
        scrape: Its metrics endpoint.
        leads: Whether it is active while nobody has written a lease: the primary does, a standby does not.
        peer: The other region, or None where there is none.
        witness: The bucket in neither region.
        alertmanager: The members that follow the lease.
        egress_targets: ``host:port`` of the pagers.
        networks: Networks that these are in.
        ports: Ports that are open towards these.
        fingerprints: What both regions have to agree on, for example ``rules`` -> SHA-256 of what this one has.
        resources: Of the pod.

    Raises:
        ValueError: A value is not acceptable.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    leads: bool
    peer: str | None
    witness: ObjectStorage
    alertmanager: AlertmanagerEndpoint
    egress_targets: Sequence[str]
    networks: Sequence[str]
    ports: Sequence[int]
    fingerprints: Mapping[str, pulumi.Input[str]]
    resources: Resources

    def __post_init__(self) -> None:
        if self.peer == self.context.region:
            raise ValueError(f"regions: the peer is {self.peer!r}, which is this region: name the other one")
        if self.peer is None and not self.leads:
            raise ValueError("regions: a standby has no peer: name the region that it stands by for")
        if not self.alertmanager.members:
            raise ValueError("regions: there is no Alertmanager that could follow the lease")
        check_egress_targets(self.egress_targets, self.ports)
        if not self.networks:
            raise ValueError("regions: no network of the pagers is named, so none could be reached")


def failover_agent_settings(
    args: FailoverAgentArgs, fingerprints: Mapping[str, str], *, private: bool, scraper: str
) -> FailoverAgentSettings:
    """The settings of ``services.failover_agent``.

    Args:
        args: What the component is told.
        fingerprints: What both regions have to agree on -> SHA-256 of what this one has.
        private: Whether the witness has an authority of its own.
        scraper: User that reads the metrics.
    """
    witness, alertmanager = args.witness, args.alertmanager
    return FailoverAgentSettings(
        region=args.context.region,
        role=PRIMARY if args.leads else STANDBY,
        peer=args.peer,
        witness=BucketSettings.parse(WITNESS.bucket(witness, _AUTH, private=private)),
        alertmanagers=Alertmanagers(
            urls=tuple(alertmanager_urls(args.context, alertmanager)),
            server_name=alertmanager.server_name,
            ca_file=CA_FILE,
            user=alertmanager.operator.username,
            password_file=Path(f"{_AUTH}/{ALERTMANAGER_PASSWORD}"),
        ),
        egress_targets=tuple(args.egress_targets),
        fingerprints=dict(fingerprints),
        poll_interval_s=POLL_INTERVAL_S,
        heartbeat_interval_s=HEARTBEAT_INTERVAL_S,
        isolated_s=ISOLATED_S,
        **served(PORT, scraper, _AUTH),
    )


class FailoverAgent(pulumi.ComponentResource):
    """The failover agent of a region.

    Attributes:
        scrape: Its metrics.
        pods: Its Deployment; ready once Alertmanager follows the lease.
    """

    scrape: ScrapeTarget
    pods: k8s.apps.v1.Deployment

    def __init__(self, name: str, args: FailoverAgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, alertmanager = args.context, args.alertmanager
        self.scrape = args.scrape
        private = is_private(args.witness.authority)
        known = pulumi.Output.all(private, pulumi.Output.from_input(dict(args.fingerprints)))
        self.pods = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(
                    module="failover_agent", container="failover-agent", image=IMAGE, resources=args.resources
                ),
                scrape=self.scrape,
                settings=known.apply(
                    lambda both: failover_agent_settings(
                        args, both[1], private=both[0], scraper=self.scrape.credential.username
                    )
                ),
                secrets={
                    **WITNESS.contents(args.witness),
                    ALERTMANAGER_PASSWORD: alertmanager.operator.password,
                },
                egress=[
                    Allow(peers=[workload_pods(alertmanager_workload(alertmanager))], ports=[alertmanager.port]),
                    to_storage(args.witness),
                    Allow(peers=[network(cidr) for cidr in args.networks], ports=args.ports),
                ],
                access=[alertmanager.access_label],
                # An old agent beside a new one would apply the lease with an old role.
                recreate=True,
                ready_every_s=3,
            ),
        ).pods
        self.register_outputs({"pods": self.pods.id})
