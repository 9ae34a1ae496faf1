"""The fakes of all channels, and a folder with a file of channels that leads to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.rules import Severity
from lab.fakes.receivers.__main__ import TOPICS, application
from lab.fakes.receivers.channels import MailFake
from lab.fakes.receivers.record import Record
from ops.alerts.notify import Notification, Outcome, load, send_all
from services.runtime.https import HttpsServer
from tests.config.pki import write_certificates
from tests.config.servers import free_port

LOGIN = ("alerts", "password-of-mail")
KEYS = {"k" * 32: "operators", "s" * 32: "senior-manager"}
SLACK_TOKEN = "T000/B000/slack-token"
AWS = ("AKIAEXAMPLE", "aws-secret-key")
SECRETS = [*KEYS, SLACK_TOKEN, LOGIN[1], *AWS]
NOTIFICATION = Notification(
    text="The platform is down: <2 of 3> brokers & no alerts", severity=Severity.CRITICAL, sender="night shift"
)


class Fakes:
    """The fakes, and a folder with a file of channels for them."""

    def __init__(self, folder: Path) -> None:
        write_certificates(folder)
        self.folder, self.record = folder, Record()
        certificate = (folder / "tls.crt", folder / "tls.key")
        mail_port = free_port()
        self.app: Any = application(self.record, contacts=KEYS, slack_webhooks={SLACK_TOKEN: "operators"}, aws=AWS)
        self.server = HttpsServer("127.0.0.1", 0, *certificate, self._serve)
        self.mail = MailFake(self.record, host="127.0.0.1", port=mail_port, certificate=certificate, login=LOGIN)
        base = f"https://localhost:{self.server.server_port}"
        for name, content in (
            ("phone-operators", "k" * 32),
            ("phone-senior", "s" * 32 + "\n"),
            ("slack", f"{base}/services/{SLACK_TOKEN}"),
            ("mail", LOGIN[1]),
            ("aws", f"[default]\naws_access_key_id = {AWS[0]}\naws_secret_access_key = {AWS[1]}\n"),
        ):
            self.secret(name, content)
        self.channels: dict[str, Any] = {
            "phone": {"url": f"{base}/v2/enqueue", "ca_file": "ca.crt"},
            "slack": {"ca_file": "ca.crt"},
            "sms": {"region": "ap-northeast-1", "credentials_file": "aws", "url": base, "ca_file": "ca.crt"},
            "mail": {
                "server": f"localhost:{mail_port}",
                "sender": "alerts@example.org",
                "user": LOGIN[0],
                "password_file": "mail",
                "ca_file": "ca.crt",
            },
        }
        self.contacts: dict[str, Any] = {
            "operators": {
                "phone_key_file": "phone-operators",
                "sms_topic": TOPICS[0],
                "slack_url_file": "slack",
                "mail": ["a@example.org", "b@example.org"],
            },
            "senior-manager": {"phone_key_file": "phone-senior", "mail": ["senior@example.org"]},
        }

    def _serve(self, environ: Any, start: Any) -> Any:
        """Whatever the application is by now."""
        return self.app(environ, start)

    def secret(self, name: str, content: str) -> None:
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o600)

    def file(self, *, contacts: Any = None, **channels: Any) -> Path:
        path = self.folder / "channels.yaml"
        content = {"channels": {**self.channels, **channels}, "contacts": contacts or self.contacts}
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        path.chmod(0o600)
        return path

    def send(self, *contacts: str, **channels: Any) -> dict[tuple[str, str], Outcome]:
        outcomes = send_all(load(self.file(**channels)), self.folder, NOTIFICATION, contacts)
        return {(outcome.contact, outcome.channel): outcome for outcome in outcomes}

    def reached(self) -> set[tuple[str, str]]:
        return {(notification.channel, notification.audience) for notification in self.record.since()}
