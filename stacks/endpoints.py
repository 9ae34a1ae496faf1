"""What the stages know of each other before any of them exists: names, ports, users, passwords.

Among it is what this region takes from the other one's stack, and what both have to agree on, as one digest for each
kind: compared before updates and by failover agents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pulumi

from components.alertevents import alert_events_endpoint, alert_events_receiver
from components.alertmanager.component import alertmanager_endpoint, alertmanager_receiver
from components.contracts import (
    AlertEventsEndpoint,
    AlertmanagerEndpoint,
    AlertReceiver,
    PrometheusEndpoint,
    QueryEndpoint,
    ScrapeTarget,
    TraceReaderEndpoint,
    TracesEndpoint,
)
from components.dashboards import drilldowns
from components.dashboards import grafana as dashboard_json
from components.dashboards.grafana import Plugins
from components.dashboards.registry import DASHBOARDS
from components.gateway.component import GatewayLogins, GivenLogins, gateway_logins
from components.jaeger.collector import traces_endpoint
from components.jaeger.reader import trace_reader_endpoint
from components.k8s import DeploymentContext, LoadBalancerOptions
from components.kafka.access import acl_rules
from components.login_proxy import login_url
from components.mirror.component import MirrorSource
from components.mirror.config import SOURCE_USER
from components.prometheus.query import query_endpoint
from components.prometheus.thanos import prometheus_endpoint
from components.telemetry.layers import LAYERS
from components.telemetry.registry import REGISTRY
from stacks import rules
from stacks.cluster import check_apart
from stacks.field_types import ExternalHost
from stacks.kafka_quotas import own_users
from stacks.part_settings import Cluster
from stacks.scrapes import scrape_targets
from stacks.secrets import alerting_secrets
from stacks.settings import Role, Settings, SettingsError
from stacks.sizing import Sizing

_GIVEN = ("otlp_credentials", "otlp_former_credentials")
"""Outputs with the passwords of the layers, the newer ones first."""
_UNKNOWN = "unknownbeforetheotherregionisthere"


class OtherRegion:
    """Reads outputs of other stacks.

    The state is not in the region, so a preview works while the region is gone.
    """

    def __init__(self, parent: pulumi.Resource) -> None:
        self._parent = parent
        self._known: dict[str, pulumi.StackReference] = {}

    def text(self, stack: str, name: str, *path: str) -> pulumi.Output[str]:
        """A secret text in the outputs of a stack; a preview may do without.

        Args:
            stack: Its full name.
            name: Name of the output.
            path: Keys inside of it.
        """
        output = self._reference(stack).get_output(name)
        return pulumi.Output.secret(output.apply(lambda known: needed(known, stack, name, *path)))

    def agree(self, stack: str, fingerprints: Mapping[str, str], partitions: Mapping[str, int]) -> None:
        """Fail, already in a preview, where the two regions would not do the same, or cannot be copied.

        Args:
            stack: The other region's stack, which is copied into this one.
            fingerprints: Kind -> digest of what this region has.
            partitions: Topic -> its partitions in this region.
        """
        theirs = [self._reference(stack).get_output(name) for name in ("fingerprints", "topic_partitions")]
        pulumi.Output.all(*theirs).apply(lambda known: check_agreed(fingerprints, known[0], stack))
        pulumi.Output.all(*theirs).apply(lambda known: check_partitions(partitions, known[1], stack))

    def apart(self, stack: str, cluster: Cluster, namespace: str) -> None:
        """Fail, already in a preview, where the other region is in this one's place.

        Args:
            stack: The other region's stack.
            cluster: This region's cluster.
            namespace: This region's namespace.
        """
        outputs = [self._reference(stack).get_output(name) for name in ("cluster", "namespace")]
        pulumi.Output.all(*outputs).apply(lambda place: check_apart(cluster, namespace, place[0], place[1], stack))

    def _reference(self, stack: str) -> pulumi.StackReference:
        if stack not in self._known:
            self._known[stack] = pulumi.StackReference(stack, opts=pulumi.ResourceOptions(parent=self._parent))
        return self._known[stack]


def needed(output: Any, stack: str, name: str, *path: str) -> str:
    """A text in the outputs of another stack.

    Raises:
        SettingsError: It is not there, and this is no preview.
    """
    for key in path:
        output = output.get(key) if isinstance(output, Mapping) else None
    if isinstance(output, str) and output:
        return output
    where = ".".join((name, *path))
    message = (
        f"the stack {stack} has no output {where}: run `pulumi up --policy-pack policy` of it first, as this region "
        "takes it from there"
    )
    if not pulumi.runtime.is_dry_run():
        raise SettingsError(message)
    pulumi.log.warn(message)
    return _UNKNOWN


def check_agreed(own: Mapping[str, str], other: Any, stack: str) -> None:
    """Compare what both regions have to agree on.

    Raises:
        SettingsError: They do not; the message names what differs.
    """
    if other is None:
        pulumi.log.warn(f"the stack {stack} has no output fingerprints yet: nothing could be compared")
        return
    differing = sorted(kind for kind in {*own, *other} if own.get(kind) != other.get(kind))
    if differing:
        raise SettingsError(
            f"the two regions differ in {', '.join(differing)}: this stack and {stack} must say the same; run "
            f"`pulumi up --policy-pack policy` of {stack} from the same revision first, or take the change back"
        )


def check_partitions(own: Mapping[str, int], other: Any, stack: str) -> None:
    """A region that stands by has as many partitions as the one that it copies, or more (docs/adr/0042).

    Raises:
        SettingsError: It has fewer; the message names them.
    """
    theirs = other if isinstance(other, Mapping) else {}
    fewer = [
        f"{name} has {own[name]}, {stack} {theirs[name]}" for name in sorted(own) if own[name] < theirs.get(name, 0)
    ]
    if fewer:
        raise SettingsError(
            f"fewer partitions than what is copied: {'; '.join(fewer)}: raise topics.NAME.partitions here first"
        )


def topic_partitions(settings: Settings) -> dict[str, int]:
    """Topic -> its partitions."""
    return {name: topic.partitions for name, topic in settings.topics.items()}


def parity_fingerprints(settings: Settings) -> dict[str, str]:
    """Kind -> digest. Sizes, partitions and addresses are each region's own and not part of it.

    * ``topics``: names, retention;
    * ``permissions``: users and what each may do, without the mirror's;
    * ``passwords``: generations of the layers' passwords;
    * ``rules``: alerts and recordings of layers and platform, with the delays of the escalation;
    * ``notifications``: who is notified by which channel, and as whom;
    * ``catalogue``: what clients may send;
    * ``groups``: consumer groups of others whose place is kept;
    * ``dashboards``: every dashboard.
    """
    alerting = settings.alerting
    return {
        "topics": _digest({name: topic.model_dump(exclude={"partitions"}) for name, topic in settings.topics.items()}),
        "permissions": _digest({user.name: [asdict(rule) for rule in acl_rules(user)] for user in own_users(settings)}),
        "passwords": _digest(settings.gateway.password_generations),
        "rules": _digest([*(group.data("") for group in rules.FIXED), alerting.escalation.model_dump()]),
        "notifications": _digest(
            [
                {name: contact.model_dump() for name, contact in alerting.contacts.items()},
                alerting.channels.model_dump(exclude={"mail": {"server"}, "sms": {"url"}}),
            ]
        ),
        "catalogue": _digest([REGISTRY.model_dump(mode="json"), sorted(settings.gateway.open_layers)]),
        "groups": _digest(sorted(settings.regions.groups)),
        "dashboards": _digest(
            {dashboard.uid: dashboard_json.text(dashboard, Plugins(logs="")) for dashboard in DASHBOARDS}
            | drilldowns.texts(Plugins(logs=""))
        ),
    }


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def load_balancer_options(settings: Settings, endpoint: ExternalHost) -> LoadBalancerOptions:
    """What the load balancer of an external endpoint is told: what all are, and its own."""
    common = settings.load_balancers
    return LoadBalancerOptions(
        annotations={**common.annotations, **endpoint.annotations},
        load_balancer_class=endpoint.load_balancer_class or common.load_balancer_class,
    )


TOKEN = "obs:platform:Endpoints"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class EndpointsArgs:
    """What endpoints follow from.

    Attributes:
        settings: What the stack file says.
        role: What this region is at present.
        sizing: Numbers of pods.
        context: Deployment context.
    """

    settings: Settings
    role: Role
    sizing: Sizing
    context: DeploymentContext


class Endpoints(pulumi.ComponentResource):
    """Addresses and passwords as values, and owner of these passwords.

    What also says *when* something answers (Kafka, search cluster, database, Grafana) comes from the stage that makes
    it: who uses it waits for it.

    Attributes:
        scrapes: Job -> metrics endpoint of every workload.
        gateway: Who may send telemetry, and the key of hashed ids.
        prometheus: Every server, those of a shard together: where samples are written and read.
        query: The one address at which metrics are read.
        traces: Where samplers send the traces that are kept.
        trace_reader: Where Grafana reads traces, or None.
        alert_events: Where Alertmanager posts what it notified.
        alertmanager: Where people and tools read alerts and silence them.
        alertmanager_receiver: Where every Prometheus sends its alerts, to be notified of.
        alert_events_receiver: Where every Prometheus sends its alerts, to be written to Kafka.
        channel_secrets: Secrets of the channels by which people are notified.
        fingerprints: Kind -> digest of what both regions have to agree on.
        mirror_source: The other region's Kafka, where it is copied into this one.
    """

    scrapes: Mapping[str, ScrapeTarget]
    gateway: GatewayLogins
    prometheus: tuple[PrometheusEndpoint, ...]
    query: QueryEndpoint
    traces: TracesEndpoint
    trace_reader: TraceReaderEndpoint | None
    alert_events: AlertEventsEndpoint
    alertmanager: AlertmanagerEndpoint
    alertmanager_receiver: AlertReceiver
    alert_events_receiver: AlertReceiver
    channel_secrets: pulumi.Output[dict[str, Any]]
    fingerprints: Mapping[str, str]
    mirror_source: MirrorSource | None

    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        settings, context, sign_in = args.settings, args.context, args.settings.sign_in
        other = OtherRegion(self)
        self.scrapes = scrape_targets(self, context, settings, args.sizing, args.role)
        self.gateway = gateway_logins(self, settings.gateway.password_generations, _given_logins(settings, other))
        self.prometheus = tuple(
            prometheus_endpoint(self, context, replica, shard)
            for shard in range(settings.prometheus.shards)
            for replica in settings.prometheus.replicas
        )
        self.query = query_endpoint(
            self,
            context,
            address=settings.query.address,
            hosts=[settings.query.host],
            ruled=settings.prometheus.shards > 1,
            people_url=login_url(sign_in.metrics.host) if sign_in else None,
        )
        self.traces = traces_endpoint(self, context)
        self.trace_reader = trace_reader_endpoint(self, context) if settings.grafana.trace_clearance else None
        self.alert_events = alert_events_endpoint(self, context)
        self.alertmanager = alertmanager_endpoint(
            self,
            context,
            replicas=args.sizing.alerting.alertmanagers,
            address=settings.alerting.external_endpoint.address,
            hosts=[settings.alerting.external_endpoint.host],
            people_url=login_url(sign_in.alerts.host) if sign_in else None,
        )
        self.alertmanager_receiver = alertmanager_receiver(self, context)
        self.alert_events_receiver = alert_events_receiver(self, context)
        self.channel_secrets = alerting_secrets(settings.alerting)
        self.fingerprints = parity_fingerprints(settings)
        self.mirror_source = _mirror_source(settings, args.role, other)
        if settings.regions.peer and self.mirror_source:
            # Only a region that stands by: one that had to take over is not to wait for one that is gone.
            other.agree(settings.regions.peer.stack, self.fingerprints, topic_partitions(settings))
            other.apart(settings.regions.peer.stack, settings.cluster, settings.namespace)
        self.register_outputs({})


def _given_logins(settings: Settings, other: OtherRegion) -> GivenLogins | None:
    """What another stack made; None where this one does."""
    stack = settings.regions.credentials
    if stack is None:
        return None
    return GivenLogins(
        layers={
            generation: {layer.name: other.text(stack, output, layer.name, "password") for layer in LAYERS}
            for generation, output in zip(settings.gateway.password_generations, _GIVEN, strict=False)
        },
        hash_key=other.text(stack, "id_hash_key"),
    )


def _mirror_source(settings: Settings, role: Role, other: OtherRegion) -> MirrorSource | None:
    peer = settings.regions.peer
    if peer is None or not settings.mirrored(role):
        return None
    return MirrorSource(
        region=peer.region,
        bootstrap=peer.bootstrap,
        networks=peer.networks,
        authority=other.text(peer.stack, "ca_certificate"),
        password=other.text(peer.stack, "kafka_users", SOURCE_USER, "password"),
    )


@dataclass(frozen=True, kw_only=True)
class PlatformInputs:
    """Decided before anything runs.

    Attributes:
        settings: What the stack file says.
        role: What this region is at present.
        sizing: Numbers of the profile.
        context: Deployment context.
        endpoints: What the parts know of each other.
    """

    settings: Settings
    role: Role
    sizing: Sizing
    context: DeploymentContext
    endpoints: Endpoints

    @property
    def mirrored(self) -> bool:
        """Whether the other region's Kafka is copied into this one."""
        return self.settings.mirrored(self.role)
