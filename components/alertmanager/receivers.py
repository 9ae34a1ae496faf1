"""One notification by one channel, as Alertmanager's receivers are configured; every secret is the path of a file.

Every connection is TLS and verified. Redirects are not followed: keys and passwords stay with the address that was
configured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.alertmanager.contacts import (
    AUTHORITY_FILE,
    EVENTS_PASSWORD_FILE,
    HEARTBEAT_FILE,
    MAIL_PASSWORD_FILE,
    Channel,
    Channels,
    Contact,
    phone_file,
    slack_file,
)

Data = dict[str, Any]

ATTEMPT_LIMIT = "5s"
"""After that an attempt counts as failed and is made again, as long as Alertmanager's own limit (10 s) allows."""
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
    """The receiver of the alert that always fires: the dead man's switch outside, and nobody else (requirement D4)."""
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
