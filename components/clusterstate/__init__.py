"""The pod that tells Prometheus what Kubernetes knows of the platform: kube-state-metrics (requirements G4, S1); and
the one that tells how full volumes really are (requirements G4, M2): it asks the kubelets of the nodes.

It watches objects of the platform's own namespace, and nodes, which belong to no namespace. Where sizes are
recommended, it also reads which kinds of objects the cluster defines, to find vertical autoscalers. It reads nothing
else and writes nothing. One is enough: what it tells is true again as soon as the next one runs.

It finds them by the addresses of the namespace's own pods, so it reads no list of nodes. What a kubelet measures
belongs to no namespace: the right to ask for it is one in the whole cluster, and it is the only one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi

from components import naming
from components.contracts import ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    Volume,
    Workload,
    certificate,
    deployment,
    headless_service,
    network,
    network_policy,
    secret_files,
    with_access,
)
from components.k8s.autoscaler import API as AUTOSCALER_API
from components.k8s.autoscaler import KIND as AUTOSCALER_KIND
from components.k8s.credentials import Rule, cluster_role, namespace_role
from components.k8s.programs import Program, PythonService, PythonServiceArgs, auth_folder, served
from components.web_access import web_file
from services.volumes import Kubernetes, VolumesSettings

TOKEN = "obs:clusterstate:ClusterState"  # noqa: S105  (a type token)
WORKLOAD: Final = "cluster-state"
"""Workload, and the job of its metrics."""
PORT: Final = 8443
_OWN_PORT = 8081
"""Of its metrics about itself, which nobody reads: on the loopback address."""
_WATCHED: Final = ("list", "watch")
_NODES = "nodes"
_RESOURCES: Final = {
    "": ("pods",),
    "autoscaling": ("horizontalpodautoscalers",),
    "batch": ("cronjobs", "jobs"),
}
"""API group -> what is watched in the namespace."""
_AUTOSCALER_GROUP, _, _AUTOSCALER_VERSION = AUTOSCALER_API.partition("/")
_AUTOSCALERS = f"{AUTOSCALER_KIND.lower()}s"
_DEFINITIONS = Rule(group="apiextensions.k8s.io", resources=["customresourcedefinitions"], verbs=_WATCHED)
_RECOMMENDED: Final = "kube_verticalpodautoscaler_status_recommendation_containerrecommendations_target"
"""The name that kube-state-metrics gave it while it knew vertical autoscalers by itself."""
METRICS: Final = (
    "kube_cronjob_status_last_successful_time",
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_horizontalpodautoscaler_spec_min_replicas",
    "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_job_failed",
    "kube_job_owner",
    "kube_job_status_start_time",
    "kube_node_status_condition",
    "kube_pod_container_resource_requests",
    "kube_pod_container_status_restarts_total",
    "kube_pod_container_status_waiting_reason",
    "kube_pod_status_phase",
    _RECOMMENDED,
)
"""What rules and dashboards read, and so all that it tells."""
WEB_DIRECTORY: Final = "/etc/cluster-state-web"
WEB_FILE: Final = "web.yml"
_TOKEN_VOLUME, _TOKEN_DIRECTORY = "kubernetes-api", "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, kw_only=True)
class ClusterStateArgs:
    """What it needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        nodes: Whether it may read nodes, which takes a right in the whole cluster.
        recommendations: Whether it tells recommended sizes, which takes a right in the whole cluster, too.
        api_networks: Where the API server is once the cluster has replaced the address of its Service.
        api_port: Its port there.
        resources: Of the pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    nodes: bool
    recommendations: bool
    api_networks: Sequence[str]
    api_port: int
    resources: Resources


def command(namespace: str, *, nodes: bool, recommendations: bool) -> list[str]:
    """The command line.

    Args:
        namespace: What it watches.
        nodes: Whether it watches nodes, too.
        recommendations: Whether it watches vertical autoscalers, too.
    """
    watched = [name for names in _RESOURCES.values() for name in names] + ([_NODES] if nodes else [])
    return [
        "/kube-state-metrics",
        "--host=0.0.0.0",
        f"--port={PORT}",
        "--telemetry-host=127.0.0.1",
        f"--telemetry-port={_OWN_PORT}",
        f"--tls-config={WEB_DIRECTORY}/{WEB_FILE}",
        f"--namespaces={namespace}",
        f"--resources={','.join(sorted(watched))}",
        f"--metric-allowlist={','.join(METRICS)}",
        # A list that starts a watch comes from the API server's memory and not from etcd.
        "--use-apiserver-cache",
        *([f"--custom-resource-state-config={json.dumps(_recommended_sizes())}"] if recommendations else []),
    ]


def _recommended_sizes() -> dict[str, Any]:
    """How the status of a vertical autoscaler becomes metrics: for each container its cores and its bytes."""

    def recommended(resource: str, unit: str) -> dict[str, Any]:
        return {
            "name": _RECOMMENDED.removeprefix("kube_"),
            "help": f"Recommended {resource} of a container.",
            "commonLabels": {"resource": resource, "unit": unit},
            "each": {
                "type": "Gauge",
                "gauge": {
                    "path": ["status", "recommendation", "containerRecommendations"],
                    "labelsFromPath": {"container": ["containerName"]},
                    "valueFrom": ["target", resource],
                },
            },
        }

    return {
        "kind": "CustomResourceStateMetrics",
        "spec": {
            "resources": [
                {
                    "groupVersionKind": {
                        "group": _AUTOSCALER_GROUP,
                        "version": _AUTOSCALER_VERSION,
                        "kind": AUTOSCALER_KIND,
                    },
                    "metricNamePrefix": "kube",
                    "labelsFromPath": {"target_name": ["spec", "targetRef", "name"]},
                    "metrics": [recommended("cpu", "core"), recommended("memory", "byte")],
                }
            ]
        },
    }


class ClusterState(pulumi.ComponentResource):
    """One pod, and what it may read at the API server."""

    def __init__(self, name: str, args: ClusterStateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        own = [Rule(group=group, resources=names, verbs=_WATCHED) for group, names in _RESOURCES.items()]
        whole = [Rule(resources=[_NODES], verbs=_WATCHED)] if args.nodes else []
        if args.recommendations:
            own.append(Rule(group=_AUTOSCALER_GROUP, resources=[_AUTOSCALERS], verbs=_WATCHED))
            whole.append(_DEFINITIONS)
        after: list[pulumi.Resource] = [namespace_role(self, context, workload=WORKLOAD, rules=own)]
        if whole:
            after.append(cluster_role(self, context, workload=WORKLOAD, rules=whole))
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[Allow(peers=[network(cidr) for cidr in args.api_networks], ports=[args.api_port])],
        )
        web = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-web",
            workload=WORKLOAD,
            files={WEB_FILE: web_file([args.scrape.credential])},
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[_container(args)],
                volumes=[Volume(name="web", files=web), Volume(name=_TOKEN_VOLUME, api_token=True)],
                tls=certificate(self, context, workload=WORKLOAD),
            ),
            after=after,
        )
        self.register_outputs({"pods": pods.id})


def _container(args: ClusterStateArgs) -> Container:
    # The kubelet has no password, so it only tries whether the port is open.
    return Container(
        name="kube-state-metrics",
        image="kube-state-metrics",
        command=command(args.context.namespace, nodes=args.nodes, recommendations=args.recommendations),
        resources=args.resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume=_TOKEN_VOLUME, path=_TOKEN_DIRECTORY),
        ],
        startup=Probe(tcp=PORT, period_s=2, failures=60),
        liveness=Probe(tcp=PORT, period_s=15, failures=4),
        readiness=Probe(tcp=PORT, period_s=5, failures=2),
    )


VOLUMES_TOKEN = "obs:clusterstate:Volumes"  # noqa: S105  (a type token)
VOLUMES: Final = "volumes"
"""Workload, and the job of its metrics."""
VOLUMES_PORT: Final = 8443
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
        **served(VOLUMES_PORT, args.scrape.credential.username, auth_folder(VOLUMES)),
    )


class Volumes(pulumi.ComponentResource):
    """One pod, and what it may read."""

    def __init__(self, name: str, args: VolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(VOLUMES_TOKEN, name, None, opts)
        context = args.context
        pods = namespace_role(self, context, workload=VOLUMES, rules=[Rule(resources=["pods"], verbs=["list"])])
        kubelets = cluster_role(self, context, workload=VOLUMES, rules=[Rule(resources=["nodes/stats"], verbs=["get"])])
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(
                    module="volumes",
                    container=VOLUMES,
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
