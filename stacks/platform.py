"""The platform, read from top to bottom: what the stages know of each other, then each stage in the order of the flow.

Everything above the first workload is a value that follows from the settings: addresses, users, passwords. So each
stage is made once, from what stands above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.agent import WORKLOAD as AGENT
from components.agent import Agent, AgentArgs
from components.audit import WORKLOAD as AUDIT
from components.audit import ApiServer, Audit, AuditArgs, ClusterWebhook
from components.backups.component import Backups
from components.cluster import ROLE_ANNOTATION
from components.clusterstate import VOLUMES, ClusterState, ClusterStateArgs, Server, Volumes, VolumesArgs
from components.clusterstate import WORKLOAD as CLUSTER_STATE
from components.contracts import KafkaEndpoint
from components.gateway.component import WORKLOAD as GATEWAY
from components.gateway.component import Gateway, GatewayArgs
from components.gateway.config import GRPC_PORT as GATEWAY_GRPC_PORT
from components.gateway.config import request_limit
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.query import query_workload
from components.k8s import CertificatePolicy, DeploymentContext, DnsPods, DnsServers, default_deny
from components.kafka.access import Topic
from components.kafka.component import WORKLOAD as KAFKA_LAG
from components.kafka.component import ExternalAddress, Kafka, KafkaArgs, KafkaLag, KafkaLagArgs
from components.kafka.config import BROKERS, CONTROLLERS
from components.kafka.nodes import CONTAINER as KAFKA_CONTAINER
from components.kafka.nodes import NodeSize
from components.login_proxy import PROXY
from components.postgres.config import WORKLOAD as POSTGRES
from components.search.config import WORKLOAD as SEARCH
from components.search.config import Engine
from components.search.nodes import CONTAINER as SEARCH_CONTAINER
from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from components.telemetry.layers import TOPIC_OF_SIGNAL
from components.telemetry.topics import TOPICS
from components.tls import Authority, trust_bundle
from components.versions import ImageCatalogue
from services.audit import FollowedContainer, Source
from stacks import kafka_quotas
from stacks.alerting import Alerting, AlertingArgs
from stacks.backups import backups_args
from stacks.check import not_promised
from stacks.endpoints import Endpoints, EndpointsArgs, PlatformInputs, load_balancer_options
from stacks.metrics import Metrics, MetricsArgs
from stacks.part_settings import Kubelets
from stacks.regions import Regions, RegionsArgs
from stacks.scheduling import scaled
from stacks.secrets import cluster_audit_secrets
from stacks.settings import Role, Settings
from stacks.sign_in import SignIns, SignInsArgs
from stacks.sizing import PROFILES, Java
from stacks.traces import Traces, TracesArgs
from stacks.visualization import Visualization, VisualizationArgs

_ISSUER = "platform"


def providers(settings: Settings) -> list[pulumi.ProviderResource]:
    """The provider for the context that the stack file names.

    ConfigMaps and Secrets are changed in place. Pulumi's default replaces them, and with them (their name being fixed)
    the StatefulSets that mount them: one changed file would stop all brokers at once instead of rolling them.

    Where a preview does not know a namespace yet, the provider puts its own default there before policies see it.
    """
    return [
        k8s.Provider(
            "cluster",
            context=settings.cluster.context,
            namespace=settings.namespace,
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
        )
    ]


def deployment_context(parent: pulumi.Resource, settings: Settings, role: Role) -> DeploymentContext:
    """The namespace (Pod Security "restricted", everything denied) and the context of its components."""
    namespace = k8s.core.v1.Namespace(
        settings.namespace,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=settings.namespace,
            labels={
                "app.kubernetes.io/part-of": naming.PART_OF,
                "app.kubernetes.io/managed-by": "pulumi",
                **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
            },
            annotations={ROLE_ANNOTATION: str(role)},
        ),
        opts=pulumi.ResourceOptions(parent=parent, protect=settings.protect),
    )
    context = DeploymentContext(
        platform=settings.platform,
        region=settings.region,
        namespace=settings.namespace,
        # Unknown until the namespace exists, so that a preview does not look for objects in it.
        namespace_ref=namespace.id.apply(lambda _: settings.namespace),
        cluster_domain=settings.cluster.domain,
        issuer=_ISSUER,
        images=ImageCatalogue(**settings.images.model_dump(exclude={"pull_secrets"})),
        certificates=CertificatePolicy(
            duration=settings.certificates.workloads.duration,
            renew_before=settings.certificates.workloads.renew_before,
        ),
        storage_class=settings.storage.storage_class,
        dns=DnsServers(
            networks=settings.cluster.dns.networks,
            pods=[DnsPods(**servers.model_dump()) for servers in settings.cluster.dns.pods],
        ),
        pull_secrets=settings.images.pull_secrets,
        placements=settings.scheduling.placements(),
        size_recommendations=settings.autoscaling.recommendations,
    )
    default_deny(parent, context)
    return context


TOKEN = "obs:platform:Platform"  # noqa: S105  (a type token)
_DAY_MS = 24 * 60 * 60 * 1000


class Platform(pulumi.ComponentResource):
    """One region's monitoring platform.

    Attributes:
        inputs: What everything is built from.
        kafka: Telemetry hub.
        gateway: Where telemetry comes in.
        regions: The other region, and which of the two is active.
        metrics: Consumers, Prometheus, and where metrics are read.
        traces: Samplers, Jaeger, service graph, logs, search cluster.
        visualization: Dashboards and reports.
    """

    def __init__(self, name: str, settings: Settings, role: Role) -> None:
        super().__init__(TOKEN, name, None, pulumi.ResourceOptions(providers=providers(settings)))
        parent = pulumi.ResourceOptions(parent=self)
        for line in not_promised(settings):
            pulumi.log.warn(f"not promised: {line}")
        sizing = replace(scaled(PROFILES[settings.profile], settings.autoscaling), controllers=settings.controllers)
        context = deployment_context(self, settings, role)

        endpoints = Endpoints(
            "endpoints", EndpointsArgs(settings=settings, role=role, sizing=sizing, context=context), parent
        )
        self.inputs = inputs = PlatformInputs(
            settings=settings, role=role, sizing=sizing, context=context, endpoints=endpoints
        )
        life = settings.certificates.authority
        Authority("authority", context, duration=life.duration, renew_before=life.renew_before, opts=parent)

        self.kafka = Kafka("kafka", _kafka(inputs), parent)
        kafka = self.kafka.endpoint
        trust_bundle(self, context, self.kafka.authority)
        KafkaLag(KAFKA_LAG, _lag(inputs, self.kafka), parent)

        node_agent = Agent(AGENT, _agent(inputs), parent)
        self.gateway = Gateway(GATEWAY, _gateway(inputs, self.kafka, node_agent), parent)
        self.regions = Regions("regions", RegionsArgs(inputs=inputs, kafka=kafka), parent)
        # Where another region is active, no alert comes in before this one's failover agent keeps it silent.
        agent = self.regions.failover_agent
        silenced = (agent,) if agent and inputs.mirrored else ()

        self.metrics = Metrics("metrics", MetricsArgs(inputs=inputs, kafka=kafka, after=silenced), parent)
        self.traces = Traces("traces", TracesArgs(inputs=inputs, kafka=kafka), parent)
        Alerting("alerting", AlertingArgs(inputs=inputs, kafka=kafka), parent)
        oidc = self.traces.oidc if settings.sign_in else None
        sign_ins = [SignIns("sign-in", SignInsArgs(inputs=inputs, oidc=oidc), parent)] if oidc else []
        if settings.cluster.state:
            ClusterState(CLUSTER_STATE, _cluster_state(inputs), parent)
        if kubelets := settings.cluster.kubelets:
            Volumes(VOLUMES, _volumes(inputs, kubelets), parent)

        self.visualization = Visualization(
            "visualization",
            VisualizationArgs(
                inputs=inputs,
                kafka=kafka,
                search=self.traces.search.endpoint,
                authority=self.kafka.authority,
            ),
            parent,
        )
        Audit(AUDIT, _audit(inputs, kafka, [self.kafka, self.traces, *sign_ins, self.visualization]), parent)
        self.backups = Backups(
            "backups",
            backups_args(
                inputs,
                kafka=kafka,
                database=self.visualization.database,
                grafana=self.visualization.grafana.endpoint,
                search=self.traces.search.endpoint,
            ),
            parent,
        )
        self.register_outputs({"namespace": context.namespace})


def _kafka(inputs: PlatformInputs) -> KafkaArgs:
    """Brokers, topics, one user per client."""
    settings, sizing = inputs.settings, inputs.sizing
    nodes = (BROKERS, CONTROLLERS) if sizing.controllers else (BROKERS,)
    return KafkaArgs(
        context=inputs.context,
        scrapes={workload: inputs.endpoints.scrapes[workload] for workload in nodes},
        brokers=[
            ExternalAddress(
                host=broker.host,
                address=broker.address,
                load_balancer=load_balancer_options(settings, broker),
            )
            for broker in settings.kafka.brokers
        ],
        controllers=sizing.controllers,
        client_cidrs=settings.kafka.client_cidrs,
        broker_size=_node_size(sizing.broker, settings.storage.kafka),
        controller_size=_node_size(sizing.controller, settings.storage.kafka_controller),
        replication_factor=sizing.replication_factor,
        min_insync_replicas=sizing.min_insync_replicas,
        max_message_bytes=sizing.max_message_bytes,
        internal_partitions=sizing.internal_partitions,
        network_threads=sizing.network_threads,
        io_threads=sizing.io_threads,
        topics=[
            Topic(
                name=topic.name,
                partitions=settings.topics[topic.name].partitions,
                retention_ms=settings.topics[topic.name].retention_days * _DAY_MS,
            )
            for topic in TOPICS
        ],
        users=kafka_quotas.users(settings),
        quotas=kafka_quotas.quotas(settings),
    )


def _node_size(java: Java, storage: str) -> NodeSize:
    return NodeSize(
        resources=java.resources, heap=java.heap, jvm_flags=java.flags, storage=storage, grace_s=java.grace_s
    )


def _lag(inputs: PlatformInputs, kafka: Kafka) -> KafkaLagArgs:
    """Lag of every consumer group."""
    return KafkaLagArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[KAFKA_LAG],
        kafka=kafka.endpoint,
        groups=kafka_quotas.groups(inputs.settings),
        topics=[topic.name for topic in TOPICS],
        interval_s=inputs.sizing.lag_interval_s,
        resources=inputs.sizing.lag,
    )


def _audit(inputs: PlatformInputs, kafka: KafkaEndpoint, after: Sequence[pulumi.Resource]) -> AuditArgs:
    """Who reached for what, from the logs of who lets people and programs in."""
    settings, api = inputs.settings, inputs.settings.cluster.api
    followed = [(Source.TRACES, query_workload(clearance), PROXY) for clearance in settings.traces.queries]
    followed.append((Source.KAFKA, BROKERS, KAFKA_CONTAINER))
    if inputs.sizing.controllers:
        followed.append((Source.KAFKA, CONTROLLERS, KAFKA_CONTAINER))
    if settings.database.embedded:
        followed.append((Source.DATABASE, POSTGRES, POSTGRES))
    followed.append((Source.GRAFANA, GRAFANA, GRAFANA))
    if Engine(settings.search.engine) is Engine.OPENSEARCH:
        followed.append((Source.SEARCH, SEARCH, SEARCH_CONTAINER))
    if settings.sign_in:
        followed += [(Source.METRICS, METRICS_LOGIN, PROXY), (Source.ALERTS, ALERTS_LOGIN, PROXY)]
    return AuditArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[AUDIT],
        kafka=kafka,
        region=settings.region,
        api_server=ApiServer(networks=api.networks, port=api.port),
        followed=[
            FollowedContainer(source=source, workload=workload, container=container)
            for source, workload, container in followed
        ],
        resources=inputs.sizing.audit,
        webhook=_webhook(settings),
        after=after,
    )


def _webhook(settings: Settings) -> ClusterWebhook | None:
    """How the API server posts its audit events, or None."""
    if settings.audit.cluster is None:
        return None
    known = cluster_audit_secrets()
    return ClusterWebhook(
        address=settings.audit.cluster.address,
        token=known.apply(lambda secrets: str(secrets["token"])),
        certificate=known.apply(lambda secrets: str(secrets["certificate"])),
        key=known.apply(lambda secrets: str(secrets["key"])),
    )


def _cluster_state(inputs: PlatformInputs) -> ClusterStateArgs:
    """What Kubernetes knows of the platform."""
    cluster = inputs.settings.cluster
    whole = cluster.state == "cluster"
    return ClusterStateArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[CLUSTER_STATE],
        nodes=whole,
        recommendations=whole and inputs.settings.autoscaling.recommendations,
        api_networks=cluster.api.networks,
        api_port=cluster.api.port,
        resources=inputs.sizing.cluster_state,
    )


def _volumes(inputs: PlatformInputs, kubelets: Kubelets) -> VolumesArgs:
    """How full volumes are."""
    api = inputs.settings.cluster.api
    return VolumesArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[VOLUMES],
        api=Server(networks=api.networks, port=api.port),
        kubelets=Server(networks=kubelets.networks, port=kubelets.port),
        resources=inputs.sizing.volumes,
    )


def _gateway(inputs: PlatformInputs, kafka: Kafka, agent: Agent) -> GatewayArgs:
    """Where the layers send to, also by the names that move from region to region."""
    settings, sizing = inputs.settings, inputs.sizing
    external_endpoint, dns = settings.gateway, settings.regions.dns
    return GatewayArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[GATEWAY],
        logins=inputs.endpoints.gateway,
        kafka=kafka.endpoint,
        after=[agent.pods],
        replicas=sizing.gateway_replicas,
        resources=sizing.gateway,
        storage=settings.storage.gateway,
        max_message_bytes=sizing.max_message_bytes,
        peak=settings.gateway.peak.by_signal,
        partitions={signal: settings.topics[topic].partitions for signal, topic in TOPIC_OF_SIGNAL.items()},
        fsync=sizing.gateway_fsync,
        address=external_endpoint.address,
        client_cidrs=external_endpoint.client_cidrs,
        load_balancer=load_balancer_options(settings, external_endpoint),
        hosts=[external_endpoint.host, *(dns.names.values() if dns else ())],
        open_layers=external_endpoint.open_layers,
        oldest_point=sizing.oldest_point,
        autoscale=sizing.gateway_autoscale,
    )


def _agent(inputs: PlatformInputs) -> AgentArgs:
    """One collector on every node, for programs inside the cluster."""
    logins, limit = inputs.endpoints.gateway, request_limit(inputs.sizing.max_message_bytes)
    return AgentArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[AGENT],
        gateway=GATEWAY,
        gateway_port=GATEWAY_GRPC_PORT,
        login=logins.agent,
        layers=logins.layers,
        former=logins.former,
        request_limit=limit,
        queue_bytes=2 * limit,
        peak=inputs.settings.gateway.peak.by_signal,
        resources=inputs.sizing.traces.agent,
    )
