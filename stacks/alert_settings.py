"""Settings of alerting: who is told by which channel, and how soon somebody else is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from components.alerting.durations import milliseconds
from stacks import fields
from stacks.section import Entrance, Section

CONTACTS = ("operators", "senior-manager", "on-call-engineer", "team-leader")
"""Who can be told: first, and after 5 minutes, 30 minutes and 4 hours (requirement 6.2)."""


class Contact(Section):
    """One audience, and the channels that reach it; routing keys and Slack webhooks are in ``alertingSecrets``."""

    mail: fields.Mail | None
    phone: bool
    sms_topic: fields.Arn | None
    slack: bool

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not (self.mail or self.phone or self.sms_topic or self.slack):
            raise fields.not_allowed("at least one of mail, phone, sms_topic and slack")
        return self


class Phone(Section):
    """The paging service: an address that takes PagerDuty's events, version 2."""

    url: fields.Url


class Sms(Section):
    """Text messages through SNS; ``url`` null means AWS' own address."""

    region: fields.Name
    url: fields.Url | None


class Mail(Section):
    """The mail server, ``host:port`` (STARTTLS), its user, and whom notices come from."""

    server: fields.HostPort
    sender: fields.Mail
    user: fields.Word


class Channels(Section):
    """Where notices are handed over. The addresses that are secrets themselves are in ``alertingSecrets``."""

    phone: Phone
    sms: Sms
    mail: Mail


SHORTEST: Mapping[str, str] = {"critical": "2m", "high": "5m", "medium": "15m"}
"""Shortest delays of the escalation: the way of a notice, and the wait for others of its kind, are part of them."""


class Escalation(Section):
    """Within which time the next contact is told of an alert that nobody acknowledged, per priority."""

    critical: fields.Minutes
    high: fields.Minutes
    medium: fields.Minutes

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        for name, shortest in SHORTEST.items():
            if milliseconds(getattr(self, name)) < milliseconds(shortest):
                raise fields.not_allowed(f"{shortest} or more for {name}: a notice takes some of it on its way")
        return self


class Alerting(Section):
    """Who is told, when, and how.

    Attributes:
        entrance: Where people and tools read alerts and acknowledge them.
        contacts: Audience -> its channels.
        channels: Where notices are handed over.
        networks: Networks in which the receivers are.
        ports: Their ports.
        escalation: Delays.
    """

    entrance: Entrance
    contacts: dict[str, Contact]
    channels: Channels
    networks: tuple[fields.Cidr, ...] = Field(min_length=1)
    ports: tuple[fields.Port, ...] = Field(min_length=1)
    escalation: Escalation

    @model_validator(mode="after")
    def _all_contacts(self) -> Self:
        if set(self.contacts) != set(CONTACTS):
            raise fields.not_allowed(f"exactly the contacts {', '.join(CONTACTS)} under contacts")
        first = self.contacts[CONTACTS[0]]
        if not (first.phone and first.mail and first.slack and first.sms_topic):
            raise fields.not_allowed(f"mail, phone, sms_topic and slack for {CONTACTS[0]}")
        return self
