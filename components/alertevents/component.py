"""The pod that takes posts of Prometheus and Alertmanager and writes them to Kafka (requirement A3).

There is one, always: order within an alert comes from its one producer. While it is away senders come again:
Alertmanager until it is told that the notification is written, Prometheus every resend delay while an alert fires and
for 15 min after it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi
import yaml

from components import naming
from components.contracts import AlertEventsEndpoint, AlertReceiver, Credential, KafkaEndpoint, ScrapeTarget
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
    cluster_service,
    config_files,
    credential,
    deployment,
    headless_service,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)
from components.k8s.programs import CA_FILE, served
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from services.alert_events.settings import AlertEventsSettings, Kafka, Topics
from services.runtime.settings import Login

TOKEN = "obs:alertevents:AlertEvents"  # noqa: S105  (a type token)
WORKLOAD = "alert-events"
"""Workload and SCRAM user; it writes both topics."""
PORT = 8443
RAW_PREFIX = "/raw"
PROCESSED_PATH = "/processed"
_CONFIG = "/etc/alert-events"
_AUTH = "/etc/alert-events-auth"
_HTTPS = "https"


@dataclass(frozen=True, kw_only=True)
class AlertEventsArgs:
    """What the service needs.

    Attributes:
        context: Deployment context.
        endpoint: Where Alertmanager posts notifications: `alert_events_endpoint`.
        receiver: Where Prometheus posts alerts: `alert_events_receiver`.
        scrape: Its metrics endpoint.
        kafka: Where events go.
        resources: Of the pod; a notification of 13,000 alerts takes 130 MiB, two at once 200 MiB.
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
        srv=f"_{_HTTPS}._tcp.{host}",
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
        context, access = args.context, args.endpoint.access_label
        self.scrape = args.scrape
        self.receiver, self.endpoint = args.receiver, args.endpoint
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        service = cluster_service(self, context, workload=WORKLOAD, ports={_HTTPS: PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(access), with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port])],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[_container(args.resources)],
                volumes=self._volumes(args),
                tls=certificate(self, context, workload=WORKLOAD),
                access=[args.kafka.access_label],
                # The pause before it stops, then the posts that are under way.
                grace_s=30,
            ),
            # Two producers at a time would mix the order of an alert's events.
            recreate=True,
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "endpoint": self.endpoint.url})

    def _volumes(self, args: AlertEventsArgs) -> list[Volume]:
        credentials = {
            "prometheus": self.receiver.credential,
            "alertmanager": self.endpoint.credential,
            "scraper": self.scrape.credential,
        }
        settings = events_settings(args.kafka, **{name: login.username for name, login in credentials.items()})
        public = config_files(
            self,
            args.context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={"config.yaml": yaml.safe_dump(settings.content(), sort_keys=True)},
        )
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "kafka-password": _once(args.kafka.users[WORKLOAD], args.kafka.ready),
                "prometheus-password": credentials["prometheus"].password,
                "alertmanager-password": credentials["alertmanager"].password,
                "scrape-password": credentials["scraper"].password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]


def _once(user: Credential, ready: pulumi.Output[bool]) -> pulumi.Output[str]:
    """The password, known only when topics, users and permissions exist."""
    return pulumi.Output.all(user.password, ready).apply(lambda both: str(both[0]))


def _container(resources: Resources) -> Container:
    return Container(
        name="alert-events",
        image="services",
        command=["/usr/bin/python3", "-m", "services.alert_events", "--config", f"{_CONFIG}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_CONFIG), Mount(volume="auth", path=_AUTH)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=PORT, https=True, period_s=3, failures=2),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
        pre_stop_sleep_s=2,
    )
