"""Alerting: from the alerts of every Prometheus to people, and to Kafka."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.alertevents import WORKLOAD as ALERT_EVENTS
from components.alertevents import AlertEvents, AlertEventsArgs
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.component import Alertmanager, AlertmanagerArgs
from components.alertmanager.config import CLOSER
from components.alertmanager.receivers import Channels, Contact
from components.contracts import KafkaEndpoint
from stacks import rules
from stacks.endpoints import PlatformInputs, load_balancer_options
from stacks.stage_settings import Alerting as AlertSettings

TOKEN = "obs:platform:Alerting"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class AlertingArgs:
    """What alerting needs.

    Attributes:
        inputs: What every part is built from.
        kafka: Where alert events go.
    """

    inputs: PlatformInputs
    kafka: KafkaEndpoint


class Alerting(pulumi.ComponentResource):
    """Alertmanager, and what writes alerts and notifications to Kafka."""

    def __init__(self, name: str, args: AlertingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        parent = pulumi.ResourceOptions(parent=self)
        Alertmanager(ALERTMANAGER, _alertmanager(args.inputs), parent)
        AlertEvents(ALERT_EVENTS, _events(args.inputs, args.kafka), parent)
        self.register_outputs({})


def _alertmanager(inputs: PlatformInputs) -> AlertmanagerArgs:
    settings, sizing, endpoints = inputs.settings, inputs.sizing, inputs.endpoints
    alerting, external_endpoint = settings.alerting, settings.alerting.external_endpoint
    # Inhibitions of the mirror and of rulers also where there are none: neither a failover nor a further shard must
    # restart what notifies people.
    paired = settings.regions.peer is not None
    return AlertmanagerArgs(
        context=inputs.context,
        endpoint=endpoints.alertmanager,
        receiver=endpoints.alertmanager_receiver,
        scrape=endpoints.scrapes[ALERTMANAGER],
        closer_scrape=endpoints.scrapes[CLOSER] if alerting.pages else None,
        resources=sizing.alerting.alertmanager,
        closer=sizing.alerting.closer,
        storage=settings.storage.alertmanager,
        channels=_channels(alerting),
        secrets=endpoints.channel_secrets,
        events=endpoints.alert_events,
        escalation=alerting.steps,
        inhibitions=rules.inhibit_rules(
            rules.groups([ALERTMANAGER], settings, sizing, mirrored=paired, ruled=True),
            mirrored=paired,
            database=settings.database.embedded is not None,
            witness=settings.regions.witness is not None,
            volumes=settings.cluster.kubelets is not None,
            ruled=True,
        ),
        networks=alerting.networks,
        ports=alerting.ports,
        address=external_endpoint.address,
        client_cidrs=external_endpoint.client_cidrs,
        load_balancer=load_balancer_options(settings, external_endpoint),
        hosts=[external_endpoint.host],
    )


def _events(inputs: PlatformInputs, kafka: KafkaEndpoint) -> AlertEventsArgs:
    endpoints = inputs.endpoints
    return AlertEventsArgs(
        context=inputs.context,
        endpoint=endpoints.alert_events,
        receiver=endpoints.alert_events_receiver,
        scrape=endpoints.scrapes[ALERT_EVENTS],
        kafka=kafka,
        resources=inputs.sizing.alerting.events,
    )


def _channels(alerting: AlertSettings) -> Channels:
    phone, sms, mail = alerting.channels.phone, alerting.channels.sms, alerting.channels.mail
    return Channels(
        contacts={name: Contact(**contact.model_dump()) for name, contact in alerting.contacts.items()},
        phone_url=phone.url if phone else None,
        sms_region=sms.region if sms else None,
        sms_url=sms.url if sms else None,
        mail_server=mail.server if mail else None,
        mail_sender=mail.sender if mail else None,
        mail_user=mail.user if mail else None,
        heartbeat=alerting.heartbeat,
    )
