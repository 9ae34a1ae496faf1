"""A real pair of Alertmanagers with the platform's configuration, its receivers' doubles, and a line to cut."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import requests
from prometheus_client import CollectorRegistry

from components.alertmanager.component import TEMPLATES
from components.alertmanager.config import AlertmanagerConfig, EventsWebhook, alertmanager_config
from components.alertmanager.contacts import (
    AWS_FILE,
    EVENTS_PASSWORD_FILE,
    FIRST,
    MAIL_PASSWORD_FILE,
    SLACK_FILE,
    WATCHDOG_FILE,
    Channels,
    Contact,
    phone_file,
)
from components.alertmanager.process import (
    alertmanager_command,
    client_config,
    gossip_config,
    rendered,
    web_config,
)
from lab.receivers.mail import MailDouble
from lab.receivers.record import Notice, Record
from lab.receivers.web import application as receivers_application
from lab.toolchain import tools
from services.alert_events.sender import Sender
from services.alert_events.settings import parse as parse_events
from services.alert_events.web import Entrances, HttpsServer
from services.common.web import application as metrics_application
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port, port_is_open

USERS = {name: f"{name}-password" for name in ("prometheus", "operator", "probe", "scrape-alertmanager")}
EVENTS_PASSWORD = "sesame-for-events"
MAIL_LOGIN = ("alerts", "sesame-for-mail")
ROUTING_KEYS = {name: name.ljust(32, "-") for name in (FIRST, "senior-manager", "on-call-engineer")}


def topic(audience: str) -> str:
    """SNS topic of an audience."""
    return f"arn:aws:sns:ap-northeast-1:000000000000:{audience}"


CONTACTS = {
    FIRST: Contact(mail="operators@example.org", phone=True, sms_topic=topic(FIRST), slack_channel="#alerts"),
    "senior-manager": Contact(mail="senior@example.org", phone=True, sms_topic=topic("senior-manager")),
    "on-call-engineer": Contact(phone=True),
    "team-leader": Contact(mail="leader@example.org"),
}


def channels(https_port: int = 8443, mail_port: int = 8025) -> Channels:
    """All channels, at the doubles."""
    return Channels(
        contacts=CONTACTS,
        phone_url=f"https://localhost:{https_port}/v2/enqueue",
        sms_region="ap-northeast-1",
        sms_url=f"https://localhost:{https_port}/",
        mail_server=f"localhost:{mail_port}",
        mail_from="alerts@example.org",
        mail_user=MAIL_LOGIN[0],
        private_authority=True,
    )


def config(
    folder: Path, *, https_port: int = 8443, mail_port: int = 8025, events_port: int = 8444, **changes: Any
) -> AlertmanagerConfig:
    """The platform's configuration with the test's folders."""
    return AlertmanagerConfig(
        channels=channels(https_port, mail_port),
        events=EventsWebhook(
            url=f"https://localhost:{events_port}/processed", username="alertmanager", server_name="localhost"
        ),
        watchdog=True,
        tls_directory=str(folder),
        secrets_directory=str(folder / "secrets"),
        config_directory=str(folder / "templates"),
        **changes,
    )


def write_files(folder: Path, settings: AlertmanagerConfig, https_port: int = 8443) -> None:
    """Everything that a pod mounts, except its data."""
    if not (folder / "tls.crt").exists():
        write_certificates(folder)
    (folder / "templates").mkdir(exist_ok=True)
    for template in TEMPLATES.glob("*.tmpl"):
        shutil.copy(template, folder / "templates")
    secrets = {
        **{phone_file(name): key for name, key in ROUTING_KEYS.items()},
        SLACK_FILE: f"https://localhost:{https_port}/services/T000/B000/slack-token",
        MAIL_PASSWORD_FILE: MAIL_LOGIN[1],
        AWS_FILE: "[default]\naws_access_key_id = double\naws_secret_access_key = double\n",
        WATCHDOG_FILE: f"https://localhost:{https_port}/heartbeat",
        EVENTS_PASSWORD_FILE: EVENTS_PASSWORD,
    }
    (folder / "secrets").mkdir(exist_ok=True)
    for name, content in secrets.items():
        (folder / "secrets" / name).write_text(content)
    hashes = {user: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for user, password in USERS.items()}
    (folder / "alertmanager.yml").write_text(rendered(alertmanager_config(settings)))
    (folder / "gossip.yml").write_text(rendered(gossip_config("localhost", str(folder))))
    (folder / "web.yml").write_text(rendered(web_config(hashes, str(folder))))
    (folder / "client-password").write_text(USERS["probe"])
    client = client_config(username="probe", password_file=str(folder / "client-password"), tls_directory=str(folder))
    (folder / "client.yml").write_text(rendered(client))


class Line:
    """A TCP line to one member's gossip that can be cut and mended."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._cut = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, yes: bool) -> None:
        """Cut the line, or mend it."""
        self._cut = yes
        if yes:
            with self._lock:
                for each in self._open:
                    each.close()
                self._open.clear()

    def close(self) -> None:
        """End it."""
        self.cut(True)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                incoming, _ = self._server.accept()
            except OSError:
                return
            if self._cut:
                incoming.close()
                continue
            try:
                outgoing = socket.create_connection(("127.0.0.1", self._target), timeout=2)
            except OSError:
                incoming.close()
                continue
            outgoing.settimeout(None)
            with self._lock:
                self._open |= {incoming, outgoing}
            for pair in ((incoming, outgoing), (outgoing, incoming)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        finally:
            for each in (source, target):
                each.close()
            with self._lock:
                self._open -= {source, target}


class Brokers:
    """A producer double: the brokers take every record."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, dict[str, Any]]] = []

    def __call__(self, settings: Mapping[str, Any]) -> Brokers:
        return self

    def produce(self, topic: str, key: bytes, value: bytes, on_delivery: Any) -> None:
        self.records.append((topic, key, json.loads(value)))
        on_delivery(None, None)

    def flush(self, seconds: float) -> int:
        return 0


@dataclass
class Member:
    """One Alertmanager."""

    folder: Path
    index: int
    web: int
    gossip: int
    line: Line
    process: subprocess.Popen[bytes] | None = None

    def call(self, method: str, path: str, user: str = "operator", **options: Any) -> requests.Response:
        """Ask its API."""
        return requests.request(
            method,
            f"https://localhost:{self.web}{path}",
            auth=(user, USERS[user]),
            verify=str(self.folder / "ca.crt"),
            timeout=10,
            **options,
        )

    def members(self) -> int:
        """How many members it sees."""
        return len(self.call("GET", "/api/v2/status").json()["cluster"]["peers"])

    def settled(self) -> bool:
        """Whether it notifies."""
        return bool(self.call("GET", "/api/v2/status").json()["cluster"]["status"] == "ready")


@dataclass
class Pair:
    """Two members, and what the doubles got."""

    folder: Path
    members: list[Member]
    record: Record
    brokers: Brokers
    stack: ExitStack = field(default_factory=ExitStack)

    def start(self, member: Member) -> None:
        """Start a member; nothing of the pod's command line is left out."""
        peers = [f"127.0.0.1:{each.line.port}" for each in self.members]
        changed = {
            "config.file": str(self.folder / "alertmanager.yml"),
            "web.config.file": str(self.folder / "web.yml"),
            "cluster.tls-config": str(self.folder / "gossip.yml"),
            "web.listen-address": f"127.0.0.1:{member.web}",
            "cluster.listen-address": f"127.0.0.1:{member.gossip}",
            "cluster.advertise-address": f"127.0.0.1:{member.line.port}",
        }
        command = [str(tools.path("alertmanager"))]
        pod = alertmanager_command(
            peers=peers,
            cluster="test",
            external_url=f"https://localhost:{member.web}",
            directory=str(self.folder / f"data-{member.index}"),
        )
        for option in pod[1:]:
            name, _, value = option.removeprefix("--").partition("=")
            command.append(f"--{name}={changed.get(name, value)}")
        log = (self.folder / f"alertmanager-{member.index}.log").open("ab")
        self.stack.callback(log.close)
        # As in the pod: nothing of the machine's own settings for AWS.
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {
            **own,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "secrets" / AWS_FILE),
        }
        member.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        eventually(lambda: port_is_open(member.web), 15, f"Alertmanager {member.index} listens")

    def stop(self, member: Member, *, kill: bool = False) -> None:
        """End a member, gently or by a kill."""
        if member.process is not None:
            (member.process.kill if kill else member.process.terminate)()
            member.process.wait(10)
            member.process = None

    def raise_alert(
        self,
        name: str,
        severity: str = "critical",
        *,
        to: Sequence[Member] | None = None,
        resolved: bool = False,
        **labels: str,
    ) -> float:
        """Send an alert as both Prometheus replicas would; the moment it was sent."""
        now = datetime.now(UTC)
        alert = {
            "labels": {
                "alertname": name,
                "severity": severity,
                "job": "kafka",
                "instance": "kafka-1",
                "alert_id": f"{name}/instance=kafka-1",
                **labels,
            },
            "annotations": {
                "summary": f"{name} in words",
                "description": "What is at stake.",
                "runbook_url": f"https://runbooks.example.org/{name}.md",
            },
            "startsAt": (now - timedelta(seconds=5 if resolved else 0)).isoformat(),
            "endsAt": (now if resolved else now + timedelta(minutes=4)).isoformat(),
        }
        sent = time.time()
        for member in to or [each for each in self.members if each.process]:
            answer = member.call("POST", "/api/v2/alerts", "prometheus", json=[alert])
            assert answer.status_code == 200, answer.text
        return sent

    def notices(self, name: str, channel: str | None = None) -> list[Notice]:
        """Notices about an alert, by one channel or all."""
        return [
            notice
            for notice in self.record.since()
            if name in json.dumps(notice.data()) and channel in (None, notice.channel)
        ]


@contextmanager
def pair(folder: Path, **changes: Any) -> Iterator[Pair]:
    """Two Alertmanagers that see each other and are ready to notify."""
    write_certificates(folder)
    https_port, mail_port, events_port = free_port(), free_port(), free_port()
    settings = config(folder, https_port=https_port, mail_port=mail_port, events_port=events_port, **changes)
    write_files(folder, settings, https_port)
    record, brokers = Record(), Brokers()
    certificate = (folder / "tls.crt", folder / "tls.key")
    with ExitStack() as stack:
        receivers = HttpsServer("127.0.0.1", https_port, *certificate, receivers_application(record))
        events = events_server(folder, events_port, brokers)
        for server in (receivers, events):
            server.start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        mail = MailDouble(record, host="127.0.0.1", port=mail_port, certificate=certificate, login=MAIL_LOGIN)
        mail.start()
        stack.callback(mail.stop)
        members = []
        for index in range(2):
            gossip = free_port()
            line = Line(gossip)
            stack.callback(line.close)
            members.append(Member(folder, index, free_port(), gossip, line))
        both = Pair(folder, members, record, brokers, stack)
        for member in members:
            stack.callback(both.stop, member)
            both.start(member)
        eventually(lambda: all(each.members() == 2 and each.settled() for each in members), 30, "the pair is ready")
        yield both


def events_server(folder: Path, port: int, brokers: Brokers) -> HttpsServer:
    """The alert event service with a double of the brokers."""
    (folder / "events-auth").mkdir(exist_ok=True)
    for name, password in (
        ("kafka", "kafka-password"),
        ("prometheus", "raw-password"),
        ("alertmanager", EVENTS_PASSWORD),
        ("metrics", "scrape-password"),
    ):
        (folder / "events-auth" / name).write_text(password)

    def login(name: str) -> dict[str, str]:
        return {"user": name, "password_file": str(folder / "events-auth" / name)}

    settings = parse_events(
        {
            "listen": f"127.0.0.1:{port}",
            "kafka": {"bootstrap": "localhost:1", "ca_file": str(folder / "ca.crt"), **login("kafka")},
            "topics": {"raw": "alerts-raw", "processed": "alerts-processed"},
            "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
            "prometheus": login("prometheus"),
            "alertmanager": login("alertmanager"),
            "metrics": login("metrics"),
        }
    )
    registry = CollectorRegistry()
    rest = metrics_application(registry, "metrics", settings.metrics.password_file, lambda: True)
    app = Entrances(settings, Sender(settings, brokers), registry, lambda text: None).application(rest)
    return HttpsServer("127.0.0.1", port, settings.cert_file, settings.key_file, app)
