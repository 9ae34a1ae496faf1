"""A real pair of Alertmanagers with the platform's configuration, its receivers' fakes, and a line to cut."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from prometheus_client import CollectorRegistry

from components.alertmanager.config import (
    CLOSER_PASSWORD_FILE,
    AlertmanagerConfig,
    alertmanager_command,
    closer_settings,
    paged_routes,
    rendered,
)
from components.alertmanager.receivers import AWS_FILE
from lab.fakes.receivers.__main__ import application as receivers_application
from lab.fakes.receivers.channels import Incident, MailFake
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import Notification, Record
from lab.paths import CHECKOUT
from lab.toolchain import tools
from services.alert_events import AlertEventsSettings
from services.alert_events.__main__ import LIMITS, Endpoints
from services.runtime.https import HttpsServer
from services.runtime.kafka_sender import Sender
from services.runtime.serving import application as metrics_application
from tests.config.alertmanager_files import (
    EVENTS_PASSWORD,
    MAIL_LOGIN,
    ROUTING_KEYS,
    USERS,
    WEBHOOKS,
    config,
    outside,
    topic,
    write_files,
)
from tests.config.alertmanager_line import Line
from tests.config.servers import START_SECONDS, eventually, free_port, port_is_open, running

READER = ("reader", "sesame-for-readers")
OPERATORS = [("phone", ROUTING_KEYS["operators"]), ("slack", "operators"), ("sms", topic("operators"))]
"""Channels by which a Critical alert is told once, in the order of `Pair.told`."""
QUIET_S = 7.0
"""Longer than the second member waits for the first."""
LATEST_S = 14.0
"""Group wait, the second member's wait, and 8 s for a busy machine."""


class Brokers:
    """A producer fake: the brokers take every record."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, dict[str, Any]]] = []

    def __call__(self, settings: Mapping[str, Any]) -> Brokers:
        """The producer of some settings."""
        return self

    def produce(self, topic: str, key: bytes, value: bytes, on_delivery: Any) -> None:
        """Take a record."""
        self.records.append((topic, key, json.loads(value)))
        on_delivery(None, None)

    def flush(self, seconds: float) -> int:
        """Nothing is under way."""
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

    def call(self, method: str, path: str, user: str | None = "operator", **options: Any) -> requests.Response:
        """Ask its API, as a user or as nobody."""
        return requests.request(
            method,
            f"https://localhost:{self.web}{path}",
            auth=(user, USERS.get(user, "wrong")) if user else None,
            verify=str(self.folder / "ca.crt"),
            timeout=60,
            **options,
        )

    def members(self) -> int:
        """How many members it sees."""
        return len(self.call("GET", "/api/v2/status").json()["cluster"]["peers"])

    def settled(self) -> bool:
        """Whether it notifies."""
        return bool(self.call("GET", "/api/v2/status").json()["cluster"]["status"] == "ready")

    def silence(self, minutes: float = 10, author: str = "tester", **labels: str) -> str:
        """Make a silence; its id."""
        now = datetime.now(UTC)
        return self.add_silence(
            {
                "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()],
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(minutes=minutes)).isoformat(),
                "createdBy": author,
                "comment": "seen",
            }
        )

    def add_silence(self, content: Mapping[str, Any]) -> str:
        """Make a silence of everything that the API takes; its id."""
        answer = self.call("POST", "/api/v2/silences", json=content)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["silenceID"])

    def silences(self) -> set[str]:
        """Ids of the silences that hold."""
        silences = self.call("GET", "/api/v2/silences").json()
        return {silence["id"] for silence in silences if silence["status"]["state"] == "active"}

    def metrics(self) -> str:
        """Its own metrics."""
        return self.call("GET", "/metrics", "scrape-alertmanager").text


@dataclass
class Pair:
    """Two members, and what the fakes got."""

    folder: Path
    members: list[Member]
    record: Record
    brokers: Brokers
    receivers: Receivers
    settings: AlertmanagerConfig
    start_delay_s: int = 0
    stack: ExitStack = field(default_factory=ExitStack)

    def start(self, member: Member) -> None:
        """Start a member; nothing of the pod's command line is left out."""
        peers = [f"127.0.0.1:{other.line.port}" for other in self.members]
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
            start_delay_s=self.start_delay_s,
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
        eventually(lambda: port_is_open(member.web), START_SECONDS, f"Alertmanager {member.index} listens")

    def stop(self, member: Member, *, kill: bool = False) -> None:
        """End a member, gently or by a kill."""
        if member.process is not None:
            (member.process.kill if kill else member.process.terminate)()
            member.process.wait(60)
            member.process = None

    def begin_anew(self) -> None:
        """Start every member again without what it kept, as at an installation."""
        for member in self.members:
            self.stop(member)
        for member in self.members:
            shutil.rmtree(self.folder / f"data-{member.index}")
            self.start(member)
        self.together()

    def together(self) -> None:
        """Wait until both see each other and notify."""
        eventually(
            lambda: all(member.members() == 2 and member.settled() for member in self.members), 60, "they are a pair"
        )

    def raise_alert(
        self,
        name: str,
        severity: str = "critical",
        *,
        to: Sequence[Member] | None = None,
        resolved: bool = False,
        annotations: Mapping[str, str] | None = None,
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
                "alert_id": f"{name.removesuffix('Escalated')}/instance=kafka-1/job=kafka",
                **labels,
            },
            "annotations": {
                "summary": f"{name} in words",
                "summary_ja": f"{name} の説明",
                "description": "What is at stake: a < b & c.",
                "description_ja": "影響があります。",
                "runbook_url": f"https://runbooks.example.org/{name}.md",
                **(annotations or {}),
            },
            "startsAt": (now - timedelta(seconds=5 if resolved else 0)).isoformat(),
            "endsAt": (now if resolved else now + timedelta(minutes=4)).isoformat(),
        }
        sent = time.time()
        for member in to or [member for member in self.members if member.process]:
            answer = member.call("POST", "/api/v2/alerts", "prometheus", json=[alert])
            assert answer.status_code == 200, answer.text
        return sent

    def incidents(self, name: str) -> list[Incident]:
        """Incidents of the pager whose title begins with an alert's name."""
        return [incident for incident in self.receivers.incidents() if re.match(rf"\[[^]]*\] {name}\b", incident.title)]

    def close_incidents(self, member: Member) -> None:
        """Start what runs beside a member and closes incidents of muted alerts, with the pod's own settings."""
        settings = closer_settings(
            self.settings.channels.phone_url,
            paged_routes(self.settings),
            user="probe",
            scraper="scraper",
            private_authority=True,
            alertmanager_url=f"https://localhost:{member.web}",
            listen=f"127.0.0.1:{free_port()}",
            auth_directory=str(self.folder),
            tls_directory=str(self.folder),
            secrets_directory=str(self.folder / "secrets"),
        )
        (self.folder / CLOSER_PASSWORD_FILE).write_text("sesame")
        file = self.folder / f"closer-{member.index}.yml"
        file.write_text(rendered(settings.content()))
        program = [sys.executable, "-m", "services.incident_closer", "--config", str(file)]
        name, port = f"closer-{member.index}", settings.listen_port
        self.stack.enter_context(
            running(["env", f"PYTHONPATH={CHECKOUT}", *program], self.folder / f"{name}.log", port)
        )

    def notifications(self, name: str, channel: str | None = None) -> list[Notification]:
        """Notifications about an alert, by one channel or all."""
        return [
            notification
            for notification in self.record.since()
            if name in json.dumps(notification.data()) and channel in (None, notification.channel)
        ]

    def told(self, name: str) -> list[tuple[str, str]]:
        """Channel and audience of the notifications about an alert, sorted."""
        return sorted((notification.channel, notification.audience) for notification in self.notifications(name))

    def logged(self) -> int:
        """Entries of the notification log that one member has told the other: what is repeated after no restart."""
        name = "alertmanager_nflog_gossip_messages_propagated_total"
        return sum(
            int(value) for member in self.members for value in re.findall(rf"^{name} (\d+)$", member.metrics(), re.M)
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """What Kafka was told about an alert."""
        return [value for _, _, value in self.brokers.records if value["labels"].get("alertname") == name]


@contextmanager
def pair(folder: Path, *, start_delay_s: int = 0, **changes: Any) -> Iterator[Pair]:
    """Two Alertmanagers that see each other and are ready to notify."""
    https_port, mail_port, events_port = free_port(), free_port(), free_port()
    settings = config(folder, https_port=https_port, mail_port=mail_port, events_port=events_port, **changes)
    write_files(folder, settings, https_port)
    record, brokers = Record(), Brokers()
    certificate = (outside(folder) / "tls.crt", outside(folder) / "tls.key")
    with ExitStack() as stack:
        receivers = HttpsServer(
            "127.0.0.1", https_port, *certificate, receivers_application(record, slack_webhooks=WEBHOOKS, reader=READER)
        )
        events = events_server(folder, events_port, brokers)
        for server in (receivers, events):
            server.start()
            stack.callback(server.stop)
        mail = MailFake(record, host="127.0.0.1", port=mail_port, certificate=certificate, login=MAIL_LOGIN)
        mail.start()
        stack.callback(mail.stop)
        members = []
        for index in range(2):
            gossip = free_port()
            line = Line(gossip)
            stack.callback(line.close)
            members.append(Member(folder, index, free_port(), gossip, line))
        reader = Receivers(f"https://localhost:{https_port}", READER, outside(folder) / "ca.crt")
        both = Pair(folder, members, record, brokers, reader, settings, start_delay_s, stack)
        for member in members:
            stack.callback(both.stop, member)
            both.start(member)
        both.together()
        yield both


def events_server(folder: Path, port: int, brokers: Brokers) -> HttpsServer:
    """The alert event service with a fake of the brokers."""
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

    settings = AlertEventsSettings.parse(
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
    app = Endpoints(settings, Sender(settings, "alert-events", brokers), registry, lambda text: None).application(rest)
    return HttpsServer("127.0.0.1", port, settings.cert_file, settings.key_file, app, limits=LIMITS)
