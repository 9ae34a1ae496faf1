"""The pod that writes the audit log: it follows logs through the Kubernetes API and writes a topic (requirement M1).

There is one, always: the chain of hashes has one end. While it is away, kubelets keep the logs, Kubernetes keeps the
Events of operators for an hour, and it goes on where it was. It is the only pod of the platform with a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi

from components.contracts import KafkaEndpoint, ScrapeTarget
from components.k8s import Allow, DeploymentContext, Mount, Resources, Volume, network, workload_pods
from components.k8s.permissions import Rule, namespace_role
from components.k8s.programs import CA_FILE, Program, PythonService, PythonServiceArgs, auth_folder, once, served
from components.telemetry.topics import AUDIT_TOPIC
from services.audit.settings import AuditSettings, FollowedContainer, Kafka, Kubernetes

TOKEN = "obs:audit:Audit"  # noqa: S105  (a type token)
WORKLOAD: Final = "audit"
"""Workload and SCRAM user; it writes the topic, and reads where it ends."""
READER: Final = "audit-reader"
"""SCRAM user of those who read the audit log: it may read nothing else, and write nothing."""
PORT: Final = 8443
_API_HOST, _API_PORT = "kubernetes.default.svc", 443
_API_VOLUME, _API_FOLDER = "kubernetes-api", "/etc/kubernetes-api"
_AUTH: Final = auth_folder(WORKLOAD)


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """Where the API server is once the cluster has replaced the address of its Service, as NetworkPolicies see it."""

    networks: Sequence[str]
    port: int


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
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    region: str
    api_server: ApiServer
    followed: Sequence[FollowedContainer]
    resources: Resources


def audit_settings(args: AuditArgs) -> AuditSettings:
    """The settings of ``services.audit``."""
    return AuditSettings(
        region=args.region,
        topic=AUDIT_TOPIC.name,
        kafka=Kafka(
            bootstrap=args.kafka.bootstrap,
            ca_file=CA_FILE,
            user=args.kafka.users[WORKLOAD].username,
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
        **served(PORT, args.scrape.credential.username, _AUTH),
    )


class Audit(pulumi.ComponentResource):
    """One pod, and what it may do at the API server."""

    def __init__(self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, kafka = args.context, args.kafka
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
                secrets={"kafka-password": once(kafka.users[WORKLOAD].password, kafka.ready)},
                volumes=[Volume(name=_API_VOLUME, api_token=True)],
                egress=[
                    Allow(peers=[workload_pods("kafka")], ports=[kafka.port]),
                    Allow(peers=[network(cidr) for cidr in args.api_server.networks], ports=[args.api_server.port]),
                ],
                access=[kafka.access_label],
                # Two at a time would give the chain two ends.
                recreate=True,
                # What waits is written first.
                grace_s=30,
                # Nobody waits for it to be ready.
                ready_every_s=20,
                after=[binding],
            ),
        )
        self.register_outputs({"pods": service.pods.id})
