"""Who is notified, and by which channels, as data; and a notification by one channel as Alertmanager's receivers are
configured, where every secret is the path of a file.

The secrets themselves are never here: Alertmanager reads each of them from a file of its own (requirement A2).

Every connection is TLS and verified. Redirects are not followed: keys and passwords stay with the address that was
configured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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


def first_channels(severity: Severity, has: Collection[Channel]) -> tuple[Channel, ...]:
    """Channels of a priority's first notification: those of the requirement, where there is none of them all others.

    Args:
        severity: The priority.
        has: Channels of the first contact.
    """
    return tuple(channel for channel in FIRST_NOTIFICATION[severity] if channel in has) or tuple(has)


def not_promised(contacts: Mapping[str, Collection[Channel]], escalation: Mapping[Severity, str]) -> Iterator[str]:
    """What notifications are not, one line for each channel and step that a contact has nothing for.

    Args:
        contacts: Name -> its channels.
        escalation: Priority -> contact that is told of alerts that nobody acknowledged.
    """
    has = contacts[FIRST]
    if not has:
        yield f"{' and '.join(FIRST_NOTIFICATION)} alerts are sent to nobody (requirement 6.2)"
    for channel in Channel if has else ():
        severities = [severity for severity, wanted in FIRST_NOTIFICATION.items() if channel in wanted]
        if severities and channel not in has:
            yield f"{' and '.join(severities)} alerts are not sent to {FIRST} by {channel} (requirement 6.2)"
    for severity, contact in escalation.items():
        if not contacts.get(contact):
            yield f"{severity} alerts that nobody acknowledges are not sent to {contact} (requirement 6.2)"


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
        phone_url: Address of the paging service (PagerDuty's events, version 2); None: nobody is paged.
        sms_region: AWS region of the SNS topics; None: nobody is told by SMS.
        sms_url: Address of SNS, or None for AWS' own.
        mail_server: ``host:port`` of the mail server; TLS is demanded, by STARTTLS or at once on port 465. None: nobody
            gets mail.
        mail_sender: Address that mails come from.
        mail_user: Login name at the mail server.
        heartbeat: Whether a dead man's switch outside is told that the platform lives.
    """

    contacts: Mapping[str, Contact]
    phone_url: str | None
    sms_region: str | None
    sms_url: str | None
    mail_server: str | None
    mail_sender: str | None
    mail_user: str | None
    heartbeat: bool = True

    def __post_init__(self) -> None:
        if FIRST not in self.contacts:
            raise ValueError(f"alerting.contacts has no {FIRST}: add it, it is the contact that is told first")
        for name, contact in self.contacts.items():
            if contact.sms_topic and self.sms_region is None:
                raise ValueError(f"alerting.contacts.{name} has an sms_topic, but there is no region of SNS: set it")
            if contact.phone and self.phone_url is None:
                raise ValueError(f"alerting.contacts.{name} has a phone, but there is no paging service: name one")
            if contact.mail and None in (self.mail_server, self.mail_sender, self.mail_user):
                raise ValueError(f"alerting.contacts.{name} has a mail address, but there is no mail server: name one")

    def first_channels(self, severity: Severity) -> tuple[Channel, ...]:
        """Channels of the first notification of a priority."""
        return first_channels(severity, self.contacts[FIRST].channels)

    @property
    def phones(self) -> tuple[str, ...]:
        """Contacts that are paged, each with a routing key of its own."""
        return tuple(name for name, contact in self.contacts.items() if contact.phone)

    @property
    def slacks(self) -> tuple[str, ...]:
        """Contacts that Slack tells, each by a webhook of its own."""
        return tuple(name for name, contact in self.contacts.items() if contact.slack)

    @property
    def texts(self) -> bool:
        """Whether anybody is told by SMS."""
        return any(contact.sms_topic for contact in self.contacts.values())

    @property
    def mails(self) -> bool:
        """Whether anybody is told by mail."""
        return any(contact.mail for contact in self.contacts.values())


Data = dict[str, Any]

ATTEMPT_LIMIT = "5s"
"""After that an attempt counts as failed and is made again, as long as Alertmanager's own limit (10 s) allows."""
MOST_EVENTS = 5000
"""Alerts of a notification that Kafka is told; the event service refuses a post of more than 16 MiB as a whole."""
_EVENTS_LIMIT = "9s"
"""The alert event service answers within 8 s: it waits for Kafka."""


@dataclass(frozen=True, kw_only=True)
class EventsWebhook:
    """Where every notification is told, too, so that Kafka has it (requirement A3).

    Attributes:
        url: URL of the webhook.
        username: Login name; the password is in `EVENTS_PASSWORD_FILE`.
        server_name: Name to verify in its certificate.
    """

    url: str
    username: str
    server_name: str


@dataclass(frozen=True, kw_only=True)
class Sending:
    """What all channels share.

    Attributes:
        channels: Where notifications are handed over.
        events: Where they are told, too.
        private_authority: Whether the receivers' certificates are signed by the authority in `AUTHORITY_FILE`.
        secrets_directory: Folder with the secrets' files.
        tls_directory: Folder with the platform's ``ca.crt``.
    """

    channels: Channels
    events: EventsWebhook
    private_authority: bool
    secrets_directory: str
    tls_directory: str

    def file(self, name: str) -> str:
        """Path of a secret."""
        return f"{self.secrets_directory}/{name}"

    @property
    def tls(self) -> Data:
        """How the receivers outside are verified."""
        authority = {"ca_file": self.file(AUTHORITY_FILE)} if self.private_authority else {}
        return {**authority, "min_version": "TLS12"}

    @property
    def http(self) -> Data:
        """How receivers outside are called."""
        return {"follow_redirects": False, "tls_config": self.tls}


def receiver(sending: Sending, name: str, contact: str, channels: tuple[Channel, ...]) -> Data:
    """A receiver that tells one contact by some of its channels, and Kafka."""
    makers = {
        Channel.PHONE: ("pagerduty_configs", _phone),
        Channel.SMS: ("sns_configs", _sms),
        Channel.SLACK: ("slack_configs", _slack),
        Channel.MAIL: ("email_configs", _mail),
    }
    receiver_config: Data = {"name": name}
    for channel in channels:
        key, make = makers[channel]
        receiver_config[key] = [make(sending, contact, sending.channels.contacts[contact])]
    return {**receiver_config, **events_only(sending, name)}


def events_only(sending: Sending, name: str) -> Data:
    """A receiver that tells Kafka alone."""
    webhook = {
        "send_resolved": True,
        "url": sending.events.url,
        "max_alerts": MOST_EVENTS,
        "timeout": _EVENTS_LIMIT,
        "http_config": {
            "follow_redirects": False,
            "basic_auth": {
                "username": sending.events.username,
                "password_file": sending.file(EVENTS_PASSWORD_FILE),
            },
            "tls_config": {
                "ca_file": f"{sending.tls_directory}/ca.crt",
                "server_name": sending.events.server_name,
                "min_version": "TLS12",
            },
        },
    }
    return {"name": name, "webhook_configs": [webhook]}


def heartbeat(sending: Sending, name: str) -> Data:
    """The receiver of the alert that always fires: the dead man's switch outside, and nobody else (requirement D4).

    Without a switch it tells nobody.
    """
    if not sending.channels.heartbeat:
        return {"name": name}
    webhook = {
        "send_resolved": False,
        "url_file": sending.file(HEARTBEAT_FILE),
        "timeout": ATTEMPT_LIMIT,
        "http_config": sending.http,
    }
    return {"name": name, "webhook_configs": [webhook]}


def _phone(sending: Sending, name: str, contact: Contact) -> Data:
    del contact
    return {
        "send_resolved": True,
        "url": sending.channels.phone_url,
        "routing_key_file": sending.file(phone_file(name)),
        "description": _template("obs.phone.summary"),
        "severity": _template("obs.phone.severity"),
        "class": "{{ .CommonLabels.alertname }}",
        "component": "{{ or .CommonLabels.layer .CommonLabels.job }}",
        "group": "{{ .CommonLabels.region }}",
        "client": "Alertmanager",
        "client_url": "{{ .ExternalURL }}",
        "links": [{"href": "{{ .CommonAnnotations.runbook_url }}", "text": "Runbook"}],
        "details": {
            "acknowledge": _template("obs.acknowledge"),
            "firing": _template("obs.firing"),
            "resolved": _template("obs.resolved"),
        },
        "timeout": ATTEMPT_LIMIT,
        "http_config": sending.http,
    }


def _sms(sending: Sending, name: str, contact: Contact) -> Data:
    del name
    address = {"api_url": sending.channels.sms_url} if sending.channels.sms_url else {}
    return {
        "send_resolved": True,
        **address,
        "sigv4": {"region": sending.channels.sms_region},
        "topic_arn": contact.sms_topic,
        "subject": "",
        "message": _template("obs.sms"),
        "http_config": sending.http,
    }


def _slack(sending: Sending, name: str, contact: Contact) -> Data:
    del contact
    return {
        "send_resolved": True,
        # The webhook says to which channel it goes; an app's webhook ignores channel and username.
        "api_url_file": sending.file(slack_file(name)),
        "color": _template("obs.slack.color"),
        "title": _template("obs.title"),
        "title_link": "{{ .CommonAnnotations.runbook_url }}",
        "fallback": _template("obs.phone.summary"),
        "text": _template("obs.slack.text"),
        "footer": _template("obs.count"),
        "timeout": ATTEMPT_LIMIT,
        "http_config": sending.http,
    }


def _mail(sending: Sending, name: str, contact: Contact) -> Data:
    del name
    return {
        "send_resolved": True,
        "to": contact.mail,
        "from": sending.channels.mail_sender,
        "smarthost": sending.channels.mail_server,
        "auth_username": sending.channels.mail_user,
        "auth_password_file": sending.file(MAIL_PASSWORD_FILE),
        "require_tls": True,
        "tls_config": sending.tls,
        "headers": {"Subject": _template("obs.mail.subject"), "Auto-Submitted": "auto-generated"},
        "html": _template("obs.mail.html"),
        "text": _template("obs.mail.text"),
    }


def _template(name: str) -> str:
    return f'{{{{ template "{name}" . }}}}'
