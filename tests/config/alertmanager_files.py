"""The files of an Alertmanager pod with the platform's configuration, for folders and receivers of a test."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bcrypt

from components.alertmanager.config import TEMPLATES, AlertmanagerConfig, alertmanager_config, gossip_config, rendered
from components.alertmanager.receivers import (
    AUTHORITY_FILE,
    AWS_FILE,
    EVENTS_PASSWORD_FILE,
    FIRST,
    HEARTBEAT_FILE,
    MAIL_PASSWORD_FILE,
    Channels,
    Contact,
    EventsWebhook,
    phone_file,
    slack_file,
)
from components.rules import Severity
from components.web_access import client_config, web_config
from tests.config.pki import write_certificates

USERS = {name: f"{name}-password" for name in ("prometheus", "operator", "probe", "scrape-alertmanager")}
EVENTS_PASSWORD = "sesame-for-events"
MAIL_LOGIN = ("alerts", "sesame-for-mail")
ROUTING_KEYS = {name: name.ljust(32, "-") for name in (FIRST, "senior-manager", "on-call-engineer")}
ESCALATION = {
    Severity.CRITICAL: "senior-manager",
    Severity.HIGH: "on-call-engineer",
    Severity.MEDIUM: "team-leader",
}


def topic(audience: str) -> str:
    """SNS topic of an audience."""
    return f"arn:aws:sns:ap-northeast-1:000000000000:{audience}"


CONTACTS = {
    FIRST: Contact(mail="operators@example.org", phone=True, sms_topic=topic(FIRST), slack=True),
    "senior-manager": Contact(mail="senior@example.org", phone=True, sms_topic=topic("senior-manager")),
    "on-call-engineer": Contact(phone=True),
    "team-leader": Contact(mail="leader@example.org"),
}


WEBHOOKS = {f"T000/B000/{name}-token": name for name, contact in CONTACTS.items() if contact.slack}
"""End of a Slack webhook's address -> contact whose channel it is."""


def channels(https_port: int = 8443, mail_port: int = 8025) -> Channels:
    """All channels, at the fakes."""
    return Channels(
        contacts=CONTACTS,
        phone_url=f"https://localhost:{https_port}/v2/enqueue",
        sms_region="ap-northeast-1",
        sms_url=f"https://localhost:{https_port}/",
        mail_server=f"localhost:{mail_port}",
        mail_sender="alerts@example.org",
        mail_user=MAIL_LOGIN[0],
    )


def config(
    folder: Path, *, https_port: int = 8443, mail_port: int = 8025, events_port: int = 8444, **changes: Any
) -> AlertmanagerConfig:
    """The platform's configuration with the test's folders."""
    return AlertmanagerConfig(
        **{
            "channels": channels(https_port, mail_port),
            "events": EventsWebhook(
                url=f"https://localhost:{events_port}/processed", username="alertmanager", server_name="localhost"
            ),
            "escalation": ESCALATION,
            "private_authority": True,
            "tls_directory": str(folder),
            "secrets_directory": str(folder / "secrets"),
            "config_directory": str(folder / "templates"),
            **changes,
        }
    )


def outside(folder: Path) -> Path:
    """Folder with the certificates of the receivers, whose authority is not the platform's."""
    return folder / "outside"


def write_files(folder: Path, settings: AlertmanagerConfig, https_port: int = 8443) -> None:
    """Everything that a pod mounts, except its data."""
    for place in (folder, outside(folder)):
        if not (place / "tls.crt").exists():
            place.mkdir(exist_ok=True)
            write_certificates(place)
    (folder / "templates").mkdir(exist_ok=True)
    for template in TEMPLATES.glob("*.tmpl"):
        shutil.copy(template, folder / "templates")
    secrets = {
        **{phone_file(name): key for name, key in ROUTING_KEYS.items()},
        **{slack_file(name): f"https://localhost:{https_port}/services/{hook}" for hook, name in WEBHOOKS.items()},
        MAIL_PASSWORD_FILE: MAIL_LOGIN[1],
        AWS_FILE: "[default]\naws_access_key_id = fake\naws_secret_access_key = fake\n",
        HEARTBEAT_FILE: f"https://localhost:{https_port}/heartbeat/token",
        EVENTS_PASSWORD_FILE: EVENTS_PASSWORD,
        AUTHORITY_FILE: (outside(folder) / "ca.crt").read_text(),
    }
    (folder / "secrets").mkdir(exist_ok=True)
    for name, content in secrets.items():
        (folder / "secrets" / name).write_text(content)
    hashes = {user: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for user, password in USERS.items()}
    client = client_config(username="probe", password_file=str(folder / "client-password"), tls_directory=str(folder))
    (folder / "alertmanager.yml").write_text(rendered(alertmanager_config(settings)))
    (folder / "gossip.yml").write_text(rendered(gossip_config("localhost", str(folder))))
    (folder / "web.yml").write_text(rendered(web_config(hashes, str(folder))))
    (folder / "client-password").write_text(USERS["probe"])
    (folder / "client.yml").write_text(rendered(client))
