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
from components.alertmanager.contacts import Channels, Contact
from components.contracts import AlertReceiver, KafkaEndpoint, ScrapeTarget
from components.k8s import Site
from stacks import rules
from stacks.alert_settings import Alerting as AlertSettings
from stacks.profile import Profile
from stacks.secrets import alerting_secrets
from stacks.settings import Settings


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
        sizes: Profile,
        site: Site,
        kafka: KafkaEndpoint,
        *,
        mirrored: bool,
    ) -> None:
        options = pulumi.ResourceOptions(parent=parent)
        self._settings = alerting = settings.alerting
        entrance = alerting.entrance
        self.secrets: pulumi.Output[dict[str, Any]] = alerting_secrets(alerting)
        self.events = AlertEvents(
            ALERT_EVENTS, AlertEventsArgs(site=site, kafka=kafka, resources=sizes.alerting.events), options
        )
        self.alertmanager = Alertmanager(
            ALERTMANAGER,
            AlertmanagerArgs(
                site=site,
                replicas=sizes.alerting.alertmanagers,
                resources=sizes.alerting.alertmanager,
                closer=sizes.alerting.closer,
                storage=settings.storage.alertmanager,
                channels=_channels(alerting),
                secrets=self.secrets,
                events=self.events.endpoint,
                escalation=LEVELS,
                inhibitions=rules.quiet(
                    rules.groups([ALERTMANAGER], settings, sizes, mirrored=mirrored), mirrored=mirrored
                ),
                networks=alerting.networks,
                ports=alerting.ports,
                address=entrance.address,
                client_cidrs=entrance.client_cidrs,
                hosts=[entrance.host],
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
        """What `ops notify` needs to tell people without the platform."""
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
