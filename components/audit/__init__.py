"""The pod that writes the audit log: it follows logs through the Kubernetes API and writes a topic (requirement M1).

There is one, always: the chain of hashes has one end. While it is away, kubelets keep the logs, Kubernetes keeps the
Events of operators for an hour, and it goes on where it was. It is one of three pods of the platform with a token; the
others read the state of pods and of volumes (ADR 60). An API server may post its audit events to a port of its own,
with a certificate that it knew before there was a platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi

from components.contracts import KafkaEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    DeploymentContext,
    Mount,
    Resources,
    Volume,
    cluster_service,
    network,
    workload_pods,
)
from components.k8s.credentials import Rule, namespace_role
from components.k8s.programs import (
    CA_FILE,
    HTTPS_PORT,
    Program,
    PythonService,
    PythonServiceArgs,
    auth_folder,
    served,
)
from components.telemetry.topics import AUDIT_TOPIC
from services.audit import AuditSettings, Cluster, FollowedContainer, Kafka, Kubernetes
from services.runtime.settings import Tls

TOKEN = "obs:audit:Audit"  # noqa: S105  (a type token)
WORKLOAD: Final = "audit"
"""Workload and SCRAM user; it writes the topic, and reads where it ends."""
READER: Final = "audit-reader"
"""SCRAM user of those who read the audit log: it may read nothing else, and write nothing."""
PORT: Final = 8443
CLUSTER_PORT: Final = 8444
CLUSTER_SERVICE: Final = "audit-cluster"
"""Service to which the API server posts."""
_API_HOST, _API_PORT = "kubernetes.default.svc", 443
_API_VOLUME, _API_FOLDER = "kubernetes-api", "/etc/kubernetes-api"
_AUTH: Final = auth_folder(WORKLOAD)
_TOKEN_FILE, _CERTIFICATE_FILE, _KEY_FILE = "cluster-token", "cluster.crt", "cluster.key"


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """Where the API server is once the cluster has replaced the address of its Service, as NetworkPolicies see it."""

    networks: Sequence[str]
    port: int


@dataclass(frozen=True, kw_only=True)
class ClusterWebhook:
    """How the API server posts its audit events.

    Attributes:
        address: Cluster IP that it posts to.
        token: What it shows.
        certificate: What it trusts (PEM).
        key: Its key.
    """

    address: str
    token: pulumi.Output[str]
    certificate: pulumi.Output[str]
    key: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    """What the audit log needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        kafka: Where records go.
        region: Name of the region, in each record.
        api_server: Where logs and Events are read.
        followed: Containers whose logs are followed.
        resources: Of the pod.
        webhook: How the API server posts; None: it does not.
        after: Whose logs are followed. What of them an update replaces is replaced while the pod of before still reads:
            the last lines of a pod that goes while nobody reads are lost.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    region: str
    api_server: ApiServer
    followed: Sequence[FollowedContainer]
    resources: Resources
    webhook: ClusterWebhook | None = None
    after: Sequence[pulumi.Resource] = ()


def audit_settings(args: AuditArgs) -> AuditSettings:
    """The settings of ``services.audit``."""
    return AuditSettings(
        region=args.region,
        topic=AUDIT_TOPIC.name,
        kafka=Kafka(
            bootstrap=args.kafka.bootstrap,
            ca_file=CA_FILE,
            user=args.kafka.users[WORKLOAD].username,
            group=WORKLOAD,
            password_file=Path(f"{_AUTH}/kafka-password"),
        ),
        kubernetes=Kubernetes(
            host=_API_HOST,
            port=_API_PORT,
            ca_file=Path(f"{_API_FOLDER}/ca.crt"),
            token_file=Path(f"{_API_FOLDER}/token"),
            namespace=args.context.namespace,
        ),
        followed=tuple(args.followed),
        cluster=_cluster() if args.webhook else None,
        **served(PORT, args.scrape.credential.username, _AUTH),
    )


def _cluster() -> Cluster:
    return Cluster(
        listen=f"0.0.0.0:{CLUSTER_PORT}",
        tls=Tls(cert_file=Path(f"{_AUTH}/{_CERTIFICATE_FILE}"), key_file=Path(f"{_AUTH}/{_KEY_FILE}")),
        token_file=Path(f"{_AUTH}/{_TOKEN_FILE}"),
    )


def _files(webhook: ClusterWebhook | None) -> dict[str, pulumi.Input[str]]:
    if webhook is None:
        return {}
    return {_TOKEN_FILE: webhook.token, _CERTIFICATE_FILE: webhook.certificate, _KEY_FILE: webhook.key}


class Audit(pulumi.ComponentResource):
    """One pod, what it may do at the API server, and where that may post to it."""

    def __init__(self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, kafka = args.context, args.kafka
        api_servers = [network(cidr) for cidr in args.api_server.networks]
        if args.webhook is not None:
            cluster_service(
                self,
                context,
                workload=WORKLOAD,
                name=CLUSTER_SERVICE,
                ports={HTTPS_PORT: CLUSTER_PORT},
                address=args.webhook.address,
            )
        binding = namespace_role(
            self,
            context,
            workload=WORKLOAD,
            rules=[
                Rule(resources=["pods", "events"], verbs=["get", "list", "watch"]),
                Rule(resources=["pods/log"], verbs=["get"]),
            ],
        )
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(
                    module="audit",
                    container=WORKLOAD,
                    resources=args.resources,
                    mounts=[Mount(volume=_API_VOLUME, path=_API_FOLDER)],
                ),
                scrape=args.scrape,
                settings=audit_settings(args),
                secrets={
                    "kafka-password": kafka.users[WORKLOAD].password,
                    **_files(args.webhook),
                },
                ingress=[Allow(peers=api_servers, ports=[CLUSTER_PORT])] if args.webhook else [],
                volumes=[Volume(name=_API_VOLUME, api_token=True)],
                egress=[
                    Allow(peers=[workload_pods("kafka")], ports=[kafka.port]),
                    Allow(peers=api_servers, ports=[args.api_server.port]),
                ],
                access=[kafka.access_label],
                # Two at a time would give the chain two ends.
                recreate=True,
                # Pods that are ending are read to their end first, and what waits is written.
                grace_s=90,
                # Nobody waits for it to be ready.
                ready_every_s=20,
                after=[binding, *args.after],
            ),
        )
        self.register_outputs({"pods": service.pods.id})
