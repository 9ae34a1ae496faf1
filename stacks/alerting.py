"""Alerting: from the alerts of every Prometheus to people, and to Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.alertevents.component import WORKLOAD as ALERT_EVENTS
from components.alertevents.component import AlertEvents, AlertEventsArgs
from components.alerting.escalation import LEVELS
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.component import Alertmanager, AlertmanagerArgs
from components.alertmanager.receivers import Channels, Contact
from components.contracts import AlertReceiver, KafkaEndpoint, ScrapeTarget
from components.k8s import DeploymentContext
from stacks import rules
from stacks.alert_settings import Alerting as AlertSettings
from stacks.secrets import alerting_secrets
from stacks.settings import Settings
from stacks.sizing import Sizing


class Alerting:
    """Everything between Prometheus' alerts and the people who are told.

    Attributes:
        events: Writes alert events to Kafka.
        alertmanager: Tells people.
        secrets: Secrets of the channels.
        receivers: Where every Prometheus sends its alerts.
        scrapes: Metrics of both.
    """

    def __init__(
        self,
        parent: pulumi.Resource,
        settings: Settings,
        sizing: Sizing,
        context: DeploymentContext,
        kafka: KafkaEndpoint,
    ) -> None:
        options = pulumi.ResourceOptions(parent=parent)
        self._settings = alerting = settings.alerting
        external_endpoint, paired = alerting.external_endpoint, settings.regions.peer is not None
        self.secrets: pulumi.Output[dict[str, Any]] = alerting_secrets(alerting)
        self.events = AlertEvents(
            ALERT_EVENTS, AlertEventsArgs(context=context, kafka=kafka, resources=sizing.alerting.events), options
        )
        self.alertmanager = Alertmanager(
            ALERTMANAGER,
            AlertmanagerArgs(
                context=context,
                replicas=sizing.alerting.alertmanagers,
                resources=sizing.alerting.alertmanager,
                closer=sizing.alerting.closer,
                storage=settings.storage.alertmanager,
                channels=_channels(alerting),
                secrets=self.secrets,
                events=self.events.endpoint,
                escalation=LEVELS,
                # Also of the mirror's alerts where no mirror runs: a failover must not restart what notifies people.
                inhibitions=rules.inhibit_rules(
                    rules.groups([ALERTMANAGER], settings, sizing, mirrored=paired), mirrored=paired
                ),
                networks=alerting.networks,
                ports=alerting.ports,
                address=external_endpoint.address,
                client_cidrs=external_endpoint.client_cidrs,
                hosts=[external_endpoint.host],
            ),
            options,
        )
        self.receivers: tuple[AlertReceiver, ...] = (self.alertmanager.receiver, self.events.receiver)
        self.scrapes: tuple[ScrapeTarget, ...] = (
            self.alertmanager.scrape,
            self.alertmanager.closer_scrape,
            self.events.scrape,
        )

    @property
    def notify_channels(self) -> pulumi.Output[dict[str, Any]]:
        """What `ops notify` needs to notify on-call without the platform."""
        return pulumi.Output.secret(self.secrets.apply(self._notify))

    def _notify(self, secrets: Mapping[str, Any]) -> dict[str, Any]:
        alerting = self._settings
        return {
            "channels": alerting.channels.model_dump(),
            "contacts": {name: contact.model_dump() for name, contact in alerting.contacts.items()},
            "secrets": {name: value for name, value in secrets.items() if name != "heartbeat_url"},
        }


def _channels(alerting: AlertSettings) -> Channels:
    return Channels(
        contacts={name: Contact(**contact.model_dump()) for name, contact in alerting.contacts.items()},
        phone_url=alerting.channels.phone.url,
        sms_region=alerting.channels.sms.region,
        sms_url=alerting.channels.sms.url,
        mail_server=alerting.channels.mail.server,
        mail_sender=alerting.channels.mail.sender,
        mail_user=alerting.channels.mail.user,
    )
