"""Settings of alerting: who is notified by which channel, and how soon somebody else is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from components.alerting.durations import milliseconds
from stacks import field_types
from stacks.base_model import ExternalEndpoint, SettingsModel

CONTACTS = ("operators", "senior-manager", "on-call-engineer", "team-leader")
"""Who can be notified: first, and after 5 minutes, 30 minutes and 4 hours (requirement 6.2)."""


class Contact(SettingsModel):
    """One audience, and the channels that reach it; routing keys and Slack webhooks are in ``alertingSecrets``."""

    mail: field_types.Mail | None
    phone: bool
    sms_topic: field_types.Arn | None
    slack: bool

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not (self.mail or self.phone or self.sms_topic or self.slack):
            raise field_types.not_allowed("at least one of mail, phone, sms_topic and slack")
        return self


class Phone(SettingsModel):
    """The paging service: an address that takes PagerDuty's events, version 2."""

    url: field_types.Url


class Sms(SettingsModel):
    """Text messages through SNS; ``url`` null means AWS' own address."""

    region: field_types.Name
    url: field_types.Url | None


class Mail(SettingsModel):
    """The mail server, ``host:port`` (STARTTLS), its user, and whom notifications come from."""

    server: field_types.HostPort
    sender: field_types.Mail
    user: field_types.Word


class Channels(SettingsModel):
    """Where notifications are handed over. The addresses that are secrets themselves are in ``alertingSecrets``."""

    phone: Phone
    sms: Sms
    mail: Mail


SHORTEST: Mapping[str, str] = {"critical": "2m", "high": "5m", "medium": "15m"}
"""Shortest delays of the escalation: they include a notification's way and the wait for others of its group."""


class Escalation(SettingsModel):
    """Within which time the next contact is notified of an alert that nobody acknowledged, per priority."""

    critical: field_types.Minutes
    high: field_types.Minutes
    medium: field_types.Minutes

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        for name, shortest in SHORTEST.items():
            if milliseconds(getattr(self, name)) < milliseconds(shortest):
                raise field_types.not_allowed(
                    f"{shortest} or more for {name}: a notification takes some of it on its way"
                )
        return self


class Alerting(SettingsModel):
    """Who is notified, when, and how.

    Attributes:
        external_endpoint: Where people and tools read alerts and acknowledge them.
        contacts: Audience -> its channels.
        channels: Where notifications are handed over.
        networks: Networks in which the receivers are.
        ports: Their ports.
        escalation: Delays.
    """

    external_endpoint: ExternalEndpoint
    contacts: dict[str, Contact]
    channels: Channels
    networks: tuple[field_types.Cidr, ...] = Field(min_length=1)
    ports: tuple[field_types.Port, ...] = Field(min_length=1)
    escalation: Escalation

    @model_validator(mode="after")
    def _all_contacts(self) -> Self:
        if set(self.contacts) != set(CONTACTS):
            raise field_types.not_allowed(f"exactly the contacts {', '.join(CONTACTS)} under contacts")
        first = self.contacts[CONTACTS[0]]
        if not (first.phone and first.mail and first.slack and first.sms_topic):
            raise field_types.not_allowed(f"mail, phone, sms_topic and slack for {CONTACTS[0]}")
        return self
