"""What the stages know of each other before any of them exists: names, ports, users, passwords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.alertevents.component import alert_events_endpoint, alert_events_receiver
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
from components.gateway.logins import IDS, GatewayLogins, gateway_logins
from components.jaeger.collector import traces_endpoint
from components.jaeger.reader import trace_reader_endpoint
from components.k8s import DeploymentContext
from components.mirror.component import MirrorSource
from components.mirror.config import SOURCE_USER
from components.prometheus.credentials import prometheus_endpoint
from components.prometheus.query import query_endpoint
from components.telemetry.layers import LAYERS
from stacks.other_region import OtherRegion
from stacks.parity_fingerprints import parity_fingerprints
from stacks.scrapes import scrape_targets
from stacks.secrets import alerting_secrets
from stacks.settings import Role, Settings
from stacks.sizing import Sizing

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
        prometheus: Every replica: where samples are written and read.
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
        settings, context = args.settings, args.context
        other = OtherRegion(self)
        self.scrapes = scrape_targets(self, context, settings, args.sizing, args.role)
        self.gateway = gateway_logins(self, _passwords_of(settings.regions.credentials, other))
        self.prometheus = tuple(prometheus_endpoint(self, context, replica) for replica in settings.prometheus.replicas)
        self.query = query_endpoint(self, context, address=settings.query.address, hosts=[settings.query.host])
        self.traces = traces_endpoint(self, context)
        self.trace_reader = trace_reader_endpoint(self, context) if settings.grafana.trace_clearance else None
        self.alert_events = alert_events_endpoint(self, context)
        self.alertmanager = alertmanager_endpoint(
            self,
            context,
            replicas=args.sizing.alerting.alertmanagers,
            address=settings.alerting.external_endpoint.address,
            hosts=[settings.alerting.external_endpoint.host],
        )
        self.alertmanager_receiver = alertmanager_receiver(self, context)
        self.alert_events_receiver = alert_events_receiver(self, context)
        self.channel_secrets = alerting_secrets(settings.alerting)
        self.fingerprints = parity_fingerprints(settings)
        self.mirror_source = _mirror_source(settings, args.role, other)
        if settings.regions.peer and self.mirror_source:
            # Only a region that stands by: one that had to take over is not to wait for one that is gone.
            other.agree(settings.regions.peer.stack, self.fingerprints)
        self.register_outputs({})


def _passwords_of(stack: str | None, other: OtherRegion) -> dict[str, pulumi.Output[str]]:
    """Layer -> password, and the key of hashed ids, of another stack; empty where this one makes them."""
    if stack is None:
        return {}
    return {
        **{layer.name: other.text(stack, "otlp_credentials", layer.name, "password") for layer in LAYERS},
        IDS: other.text(stack, "id_hash_key"),
    }


def _mirror_source(settings: Settings, role: Role, other: OtherRegion) -> MirrorSource | None:
    peer = settings.regions.peer
    if peer is None or not settings.mirrored(role):
        return None
    return MirrorSource(
        region=peer.region,
        bootstrap=peer.bootstrap,
        networks=peer.networks,
        authority=other.text(peer.stack, "ca_certificate"),
        password=other.text(peer.stack, "kafka_users", SOURCE_USER),
    )
