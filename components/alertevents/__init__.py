"""The pod that takes posts of Prometheus and Alertmanager and writes them to Kafka (requirement A3).

There is one, always: order within an alert comes from its one producer. While it is away senders come again:
Alertmanager until it is told that the notification is written, Prometheus every resend delay while an alert fires and
for 15 min after it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi

from components import naming
from components.contracts import AlertEventsEndpoint, AlertReceiver, KafkaEndpoint, ScrapeTarget
from components.k8s import Allow, DeploymentContext, Resources, credential, workload_pods
from components.k8s.programs import (
    CA_FILE,
    HTTPS_PORT,
    Program,
    PythonService,
    PythonServiceArgs,
    auth_folder,
    served,
)
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from services.alert_events import AlertEventsSettings, Kafka, Topics
from services.runtime.settings import Login

TOKEN = "obs:alertevents:AlertEvents"  # noqa: S105  (a type token)
WORKLOAD = "alert-events"
"""Workload and SCRAM user; it writes both topics."""
PORT = 8443
RAW_PREFIX = "/raw"
PROCESSED_PATH = "/processed"
_AUTH = auth_folder(WORKLOAD)


@dataclass(frozen=True, kw_only=True)
class AlertEventsArgs:
    """What the service needs.

    Attributes:
        context: Deployment context.
        endpoint: Where Alertmanager posts notifications: `alert_events_endpoint`.
        receiver: Where Prometheus posts alerts: `alert_events_receiver`.
        scrape: Its metrics endpoint.
        kafka: Where events go.
        resources: Of the pod, which holds the largest notification, and two of them at once.
    """

    context: DeploymentContext
    endpoint: AlertEventsEndpoint
    receiver: AlertReceiver
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    resources: Resources


def events_settings(kafka: KafkaEndpoint, *, prometheus: str, alertmanager: str, scraper: str) -> AlertEventsSettings:
    """The settings of ``services.alert_events``.

    Args:
        kafka: Where events go.
        prometheus: User that posts alerts.
        alertmanager: User that posts notifications.
        scraper: User that reads the metrics.
    """

    def login(user: str, file: str) -> Login:
        return Login(user=user, password_file=Path(f"{_AUTH}/{file}"))

    return AlertEventsSettings(
        kafka=Kafka(
            bootstrap=kafka.bootstrap,
            ca_file=CA_FILE,
            user=kafka.users[WORKLOAD].username,
            password_file=Path(f"{_AUTH}/kafka-password"),
        ),
        topics=Topics(raw=ALERTS_RAW_TOPIC.name, processed=ALERTS_PROCESSED_TOPIC.name),
        prometheus=login(prometheus, "prometheus-password"),
        alertmanager=login(alertmanager, "alertmanager-password"),
        **served(PORT, scraper, _AUTH),
    )


def alert_events_receiver(parent: pulumi.Resource, context: DeploymentContext) -> AlertReceiver:
    """Where every Prometheus will send its alerts to, beside Alertmanager, with its password.

    The SRV name is that of the Service, so that a Prometheus finds one address and sends each alert once.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
    """
    host = context.host(WORKLOAD)
    return AlertReceiver(
        name=WORKLOAD,
        workload=WORKLOAD,
        srv=f"_{HTTPS_PORT}._tcp.{host}",
        port=PORT,
        server_name=host,
        path_prefix=RAW_PREFIX,
        credential=credential(parent, name=f"{WORKLOAD}-prometheus", username="prometheus"),
        access_label=naming.access_label(WORKLOAD),
    )


def alert_events_endpoint(parent: pulumi.Resource, context: DeploymentContext) -> AlertEventsEndpoint:
    """Webhook for every receiver of Alertmanager, with its password.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
    """
    host = context.host(WORKLOAD)
    return AlertEventsEndpoint(
        url=f"https://{host}:{PORT}{PROCESSED_PATH}",
        server_name=host,
        workload=WORKLOAD,
        port=PORT,
        credential=credential(parent, name=f"{WORKLOAD}-alertmanager", username="alertmanager"),
        access_label=naming.access_label(WORKLOAD),
    )


class AlertEvents(pulumi.ComponentResource):
    """One pod behind one Service.

    Attributes:
        receiver: Where every Prometheus sends its alerts to, beside Alertmanager.
        endpoint: Webhook for every receiver of Alertmanager.
        scrape: Its metrics.
    """

    receiver: AlertReceiver
    endpoint: AlertEventsEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: AlertEventsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        self.receiver, self.endpoint = args.receiver, args.endpoint
        kafka, prometheus, alertmanager = args.kafka, self.receiver.credential, self.endpoint.credential
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(module="alert_events", container="alert-events", resources=args.resources),
                scrape=self.scrape,
                settings=events_settings(
                    kafka,
                    prometheus=prometheus.username,
                    alertmanager=alertmanager.username,
                    scraper=self.scrape.credential.username,
                ),
                secrets={
                    "kafka-password": kafka.users[WORKLOAD].password,
                    "prometheus-password": prometheus.password,
                    "alertmanager-password": alertmanager.password,
                },
                egress=[Allow(peers=[workload_pods("kafka")], ports=[kafka.port])],
                access=[kafka.access_label],
                clients=[self.endpoint.access_label],
                # Two producers at a time would mix the order of an alert's events.
                recreate=True,
                # The pause before it stops, then the posts that are under way.
                grace_s=30,
                pre_stop_sleep_s=2,
                ready_every_s=3,
            ),
        )
        assert service.service is not None
        self.register_outputs({"pods": service.pods.id, "service": service.service.id, "endpoint": self.endpoint.url})
