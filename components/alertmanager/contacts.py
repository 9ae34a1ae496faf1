"""Who is notified, and by which channels, as data; and the names of the files with the channels' secrets.

The secrets themselves are never here: Alertmanager reads each of them from a file of its own (requirement A2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.rules import Severity

FIRST = "operators"
"""The contact that is told first; the others are told when nobody acknowledges."""
MAIL_PASSWORD_FILE = "mail-password"  # noqa: S105  (a file name)
AWS_FILE = "aws-credentials"
HEARTBEAT_FILE = "heartbeat-url"
EVENTS_PASSWORD_FILE = "alert-events-password"  # noqa: S105  (a file name)
AUTHORITY_FILE = "authority.crt"
"""Certificates of the authority that signs the receivers, where it is none of the public ones."""


def phone_file(contact: str) -> str:
    """File with the routing key that pages a contact."""
    return f"phone-{contact}"


def slack_file(contact: str) -> str:
    """File with the address of the Slack webhook that tells a contact."""
    return f"slack-{contact}"


class Channel(StrEnum):
    """A notification channel."""

    PHONE = "phone"
    SMS = "sms"
    SLACK = "slack"
    MAIL = "mail"


FIRST_NOTIFICATION: Mapping[Severity, tuple[Channel, ...]] = {
    Severity.CRITICAL: (Channel.PHONE, Channel.SMS, Channel.SLACK),
    Severity.HIGH: (Channel.SLACK, Channel.MAIL),
    Severity.MEDIUM: (Channel.MAIL,),
}
"""Channels of the first notification (requirement 6.2). Low alerts are in the daily report only."""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """One audience and how it is reached; what is None or False is not used.

    Attributes:
        mail: Mail address.
        phone: Whether the paging service calls it; the routing key is a secret (`phone_file`).
        sms_topic: ARN of the SNS topic whose subscribers are its phones.
        slack: Whether a Slack webhook tells it. A webhook belongs to one channel, so each contact has one of its own;
            its address is a secret (`slack_file`).
    """

    mail: str | None = None
    phone: bool = False
    sms_topic: str | None = None
    slack: bool = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that reach it, the loudest first."""
        used = {
            Channel.PHONE: self.phone,
            Channel.SMS: bool(self.sms_topic),
            Channel.SLACK: self.slack,
            Channel.MAIL: bool(self.mail),
        }
        return tuple(channel for channel, is_used in used.items() if is_used)


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Everybody who can be notified, and where notifications are handed over.

    Attributes:
        contacts: Name -> contact; `FIRST` is one of them.
        phone_url: Address of the paging service (PagerDuty's events, version 2).
        sms_region: AWS region of the SNS topics.
        sms_url: Address of SNS, or None for AWS' own.
        mail_server: ``host:port`` of the mail server; TLS is demanded, by STARTTLS or at once on port 465.
        mail_sender: Address that mails come from.
        mail_user: Login name at the mail server.
    """

    contacts: Mapping[str, Contact]
    phone_url: str
    sms_region: str
    sms_url: str | None
    mail_server: str
    mail_sender: str
    mail_user: str

    def __post_init__(self) -> None:
        if FIRST not in self.contacts:
            raise ValueError(f"alerting.contacts has no {FIRST}: add it, it is the contact that is told first")
        for name, contact in self.contacts.items():
            if not contact.channels:
                raise ValueError(
                    f"alerting.contacts.{name} has no channel, so nobody would be notified: "
                    "set at least one of mail, phone, sms_topic and slack"
                )
        for severity, wanted in FIRST_NOTIFICATION.items():
            if not self.first_channels(severity):
                raise ValueError(
                    f"alerting.contacts.{FIRST}: {severity} alerts are told by {', '.join(wanted)}, "
                    "and it has none of them: set at least one"
                )

    def first_channels(self, severity: Severity) -> tuple[Channel, ...]:
        """Channels of the first notification of a priority that the first contact has."""
        has = self.contacts[FIRST].channels
        return tuple(channel for channel in FIRST_NOTIFICATION[severity] if channel in has)

    @property
    def phones(self) -> tuple[str, ...]:
        """Contacts that are paged, each with a routing key of its own."""
        return tuple(name for name, contact in self.contacts.items() if contact.phone)

    @property
    def slacks(self) -> tuple[str, ...]:
        """Contacts that Slack tells, each by a webhook of its own."""
        return tuple(name for name, contact in self.contacts.items() if contact.slack)
