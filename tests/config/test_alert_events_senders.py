"""Two real Prometheus and a real Alertmanager post their alerts: what Kafka has of them, and that it fits together."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from components.rules import ID_LABEL, alert_id, id_template
from lab.toolchain import tools
from services.alert_events.events import fingerprint
from tests.config.alert_events_process import Brokers, EventsProcess, brokers, events_process
from tests.config.prometheus_process import alert_target, local_command, write_files
from tests.config.servers import eventually, free_port, running
from tests.unit.services.alert_events_fakes import PASSWORDS

REPLICAS = ("primary", "secondary")
FIRES_S = 12
"""From when both Prometheus run, however long their start takes."""
RESEND = "--rules.alert.resend-delay"
ODD = "a b/c=d"
"""Value of a label that has to be escaped in an identity."""


@dataclass(frozen=True)
class Senders:
    """The whole way of an alert."""

    kafka: Brokers
    events: EventsProcess

    def read(self, topic: str, name: str) -> list[dict[str, Any]]:
        """Events of an alert, in order."""
        documents = [json.loads(value) for _, _, value in self.kafka.records(topic)]
        return [event for event in documents if event["labels"]["alertname"] == name]


def rules(until: float) -> dict[str, Any]:
    """An alert that always fires, and one that stops."""

    def rule(name: str, expr: str) -> dict[str, Any]:
        labels = {"severity": "low", ID_LABEL: id_template(name)}
        return {"alert": name, "expr": expr, "labels": labels, "annotations": {"summary": "{{ $labels.device }} 停止"}}

    passing = f'label_replace(vector(1), "device", "{ODD}", "", "") and on () (vector(time()) < {until:.0f})'
    return {
        "groups": [{"name": "test", "interval": "1s", "rules": [rule("Always", "vector(1)"), rule("Passing", passing)]}]
    }


@pytest.fixture(scope="module")
def senders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Senders]:
    folder = tmp_path_factory.mktemp("senders")
    with ExitStack() as stack:
        kafka = stack.enter_context(brokers(folder / "kafka", 1))
        events = stack.enter_context(events_process(folder / "events", kafka, "events"))
        events_port, alertmanager_port = int(events.url.rpartition(":")[2]), free_port()
        command = _alertmanager(folder / "alertmanager", kafka, events.url, alertmanager_port)
        stack.enter_context(running(command, folder / "alertmanager" / "log", alertmanager_port))
        started = []
        for replica in REPLICAS:
            own = folder / replica
            _certificates(own, kafka)
            (own / "rules.yml").write_text(yaml.safe_dump(rules(0.0)))
            write_files(
                own,
                replica=replica,
                alerts=[alert_target("alert-events", path_prefix="/raw"), alert_target("alertmanager")],
                passwords={"alert-events": PASSWORDS["prometheus"], "alertmanager": "sesame"},
                members={"alert-events": [events_port], "alertmanager": [alertmanager_port]},
            )
            port = free_port()
            kept = [option for option in local_command(own, port) if not option.startswith(RESEND)]
            started.append(stack.enter_context(running([*kept, f"{RESEND}=2s"], own / "prometheus.log", port)))
        for replica in REPLICAS:
            (folder / replica / "rules.yml").write_text(yaml.safe_dump(rules(time.time() + FIRES_S)))
        for process in started:
            process.send_signal(signal.SIGHUP)
        senders = Senders(kafka, events)
        eventually(lambda: _ended(senders, "alerts-raw") == 2, 60, "both Prometheus have told the end of the alert")
        eventually(lambda: _ended(senders, "alerts-processed") == 1, 60, "Alertmanager has told it, too")
        yield senders


def _certificates(folder: Path, kafka: Brokers) -> None:
    folder.mkdir()
    for file in ("tls.crt", "tls.key", "ca.crt"):
        (folder / file).write_bytes((kafka.tls / file).read_bytes())


def _alertmanager(folder: Path, kafka: Brokers, events: str, port: int) -> list[str]:
    _certificates(folder, kafka)
    (folder / "password").write_text(PASSWORDS["alertmanager"])
    webhook = {
        "url": f"{events}/processed",
        "send_resolved": True,
        "http_config": {
            "basic_auth": {"username": "alertmanager", "password_file": str(folder / "password")},
            "tls_config": {"ca_file": str(folder / "ca.crt"), "server_name": "localhost"},
        },
    }
    route = {"receiver": "low", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "2s"}
    config = {"route": route, "receivers": [{"name": "low", "webhook_configs": [webhook]}]}
    web = {
        "tls_server_config": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        "basic_auth_users": {"prometheus": bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()},
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    (folder / "web.yml").write_text(yaml.safe_dump(web))
    return [
        str(tools.path("alertmanager")),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",
    ]


def _ended(senders: Senders, topic: str) -> int:
    events = [event for event in senders.read(topic, "Passing") if event["status"] == "resolved"]
    return len({event["generatorURL"].partition("/graph")[0] if topic == "alerts-raw" else "" for event in events})


def test_each_prometheus_tells_an_alert_in_order_from_its_beginning_to_its_end(senders: Senders) -> None:
    events_by_source: dict[str, list[dict[str, Any]]] = {}
    for event in senders.read("alerts-raw", "Passing"):
        events_by_source.setdefault(event["generatorURL"], []).append(event)
    assert len(events_by_source) == 2, "two Prometheus send the alert"
    for events in events_by_source.values():
        statuses = [event["status"] for event in events]
        assert statuses == sorted(statuses), "it fires, then it has ended"
        assert statuses.count("firing") >= 2, "it is sent again while it fires"
        assert len({event["startsAt"] for event in events}) == 1
        last = events[-1]
        assert last["startsAt"] < last["endsAt"] < last["received_at"]
        for event in events:
            if event["status"] == "firing":
                assert event["received_at"] < event["valid_until"]
            assert event["sender"] == socket.gethostname().lower()
            assert event["annotations"] == {"summary": f"{ODD} 停止"}


def test_both_prometheus_mean_the_same_alert(senders: Senders) -> None:
    [labels] = {json.dumps(event["labels"]) for event in senders.read("alerts-raw", "Passing")}
    assert json.loads(labels) == {
        "alertname": "Passing",
        "alert_id": "Passing/device=a+b%2Fc%3Dd",
        "device": ODD,
        "severity": "low",
        "platform": "obs-test",
        "region": "here",
    }
    assert alert_id("Passing", {"device": ODD}) == json.loads(labels)["alert_id"]
    records = senders.kafka.records("alerts-raw")
    assert len({partition for partition, key, _ in records if key == "Passing/device=a+b%2Fc%3Dd"}) == 1


def test_an_alert_that_always_fires_is_sent_again_and_again(senders: Senders) -> None:
    before = len(senders.read("alerts-raw", "Always"))
    eventually(lambda: len(senders.read("alerts-raw", "Always")) >= before + 4, 20, "two replicas send it again")


def test_what_alertmanager_notified_joins_what_prometheus_raised(senders: Senders) -> None:
    for name in ("Always", "Passing"):
        raised, notified = senders.read("alerts-raw", name), senders.read("alerts-processed", name)
        assert {event["fingerprint"] for event in notified} == {fingerprint(raised[0]["labels"])}
        assert {event["fingerprint"] for event in raised} == {event["fingerprint"] for event in notified}
        assert {event["alert_id"] for event in raised} == {event["alert_id"] for event in notified}
        assert {event["startsAt"] for event in notified} <= {event["startsAt"] for event in raised}
        assert {event["receiver"] for event in notified} == {"low"}
        assert {json.dumps(event["groupLabels"]) for event in notified} == {json.dumps({"alertname": name})}
    told = [event["status"] for event in senders.read("alerts-processed", "Passing")]
    assert (told[0], told[-1]) == ("firing", "resolved")


def test_prometheus_hears_of_brokers_that_are_away_and_tells_the_alert_when_they_are_back(senders: Senders) -> None:
    [node] = senders.kafka.nodes
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: "was refused (brokers)" in senders.events.log.read_text(), 40, "a post is refused")
        assert senders.events.ready()
    finally:
        node.process.send_signal(signal.SIGCONT)
    before = senders.events.get("/metrics").text
    eventually(lambda: _written(senders.events.get("/metrics").text) > _written(before), 40, "posts are written again")
    eventually(lambda: "are written again" in senders.events.log.read_text(), 20, "and it is told")


def _written(metrics: str) -> float:
    [line] = [line for line in metrics.splitlines() if line.startswith('alert_events_written_total{endpoint="raw"}')]
    return float(line.rpartition(" ")[2])
