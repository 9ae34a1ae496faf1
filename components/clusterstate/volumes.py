"""The pod that tells how full volumes really are (requirements G4, M2): it asks the kubelets of the platform's nodes.

It finds them by the addresses of the namespace's own pods, so it reads no list of nodes. What a kubelet measures
belongs to no namespace: the right to ask for it is one in the whole cluster, and it is the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi

from components.contracts import ScrapeTarget
from components.k8s import Allow, DeploymentContext, Mount, Resources, Volume, network
from components.k8s.credentials import Rule, cluster_role, namespace_role
from components.k8s.programs import Program, PythonService, PythonServiceArgs, auth_folder, served
from services.volumes import Kubernetes, VolumesSettings

TOKEN = "obs:clusterstate:Volumes"  # noqa: S105  (a type token)
WORKLOAD: Final = "volumes"
"""Workload, and the job of its metrics."""
PORT: Final = 8443
INTERVAL_S: Final = 60
"""As often as a kubelet measures."""
_API: Final = "https://kubernetes.default.svc:443"
_API_VOLUME, _API_FOLDER = "kubernetes-api", "/etc/kubernetes-api"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where servers are, as NetworkPolicies see it: networks of their addresses, and their port."""

    networks: Sequence[str]
    port: int


@dataclass(frozen=True, kw_only=True)
class VolumesArgs:
    """What it needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        api: The API server.
        kubelets: The kubelets.
        resources: Of the pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    api: Server
    kubelets: Server
    resources: Resources


def volumes_settings(args: VolumesArgs) -> VolumesSettings:
    """The settings of ``services.volumes``."""
    return VolumesSettings(
        kubernetes=Kubernetes(
            api=_API,
            kubelet_port=args.kubelets.port,
            ca_file=Path(f"{_API_FOLDER}/ca.crt"),
            token_file=Path(f"{_API_FOLDER}/token"),
            namespace=args.context.namespace,
        ),
        interval_s=INTERVAL_S,
        **served(PORT, args.scrape.credential.username, auth_folder(WORKLOAD)),
    )


class Volumes(pulumi.ComponentResource):
    """One pod, and what it may read."""

    def __init__(self, name: str, args: VolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        pods = namespace_role(self, context, workload=WORKLOAD, rules=[Rule(resources=["pods"], verbs=["list"])])
        kubelets = cluster_role(
            self, context, workload=WORKLOAD, rules=[Rule(resources=["nodes/stats"], verbs=["get"])]
        )
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(
                    module="volumes",
                    container=WORKLOAD,
                    resources=args.resources,
                    mounts=[Mount(volume=_API_VOLUME, path=_API_FOLDER)],
                ),
                scrape=args.scrape,
                settings=volumes_settings(args),
                volumes=[Volume(name=_API_VOLUME, api_token=True)],
                egress=[
                    Allow(peers=[network(cidr) for cidr in server.networks], ports=[server.port])
                    for server in (args.api, args.kubelets)
                ],
                # Nobody waits for it to be ready.
                ready_every_s=20,
                after=[pods, kubelets],
            ),
        )
        self.register_outputs({"pods": service.pods.id})
