"""The endpoint of the API server: 200 only once Kafka has what a post told; each event once; all else refused."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.audit import AuditSettings, Cluster, Source, cluster
from services.audit.cluster import GIVES_UP_S, MOST_BODY_BYTES, PATH, ClusterPosts
from services.audit.follower import Positions
from services.audit.journal import Journal, Past, Writer, past
from services.audit.metrics import Metrics
from services.audit.records import GAP, AuditRecord
from services.runtime.kafka_sender import Sender
from tests.unit.services.alert_events_fakes import Producer
from tests.unit.services.audit.test_audit_cluster import BODY, EVENTS, event

LIMIT_S = 60.0
TOKEN = "token-of-the-api-server"
UNWRITTEN = Past(newest=None, positions={}, events=frozenset())
READ = "/api/v1/namespaces/obs/secrets/kafka-password"


class Audit:
    """The endpoint, and the writer behind it, with brokers that acknowledge when they are let."""

    def __init__(self, folder: Path) -> None:
        for name in ("token", "password", "ca.pem"):
            (folder / name).write_text(f"{TOKEN}\n")
        settings = AuditSettings.parse(
            {
                "listen": "127.0.0.1:0",
                "tls": {"cert_file": "c", "key_file": "k"},
                "metrics": {"user": "scrape", "password_file": folder / "password"},
                "region": "one",
                "topic": "audit",
                "kafka": {
                    "bootstrap": "b:1",
                    "ca_file": folder / "ca.pem",
                    "user": "audit",
                    "group": "audit",
                    "password_file": folder / "password",
                },
                "kubernetes": {"host": "k", "port": 1, "ca_file": "c", "token_file": "t", "namespace": "obs"},
                "followed": [{"source": "kafka", "workload": "kafka", "container": "kafka"}],
                "cluster": {
                    "listen": "127.0.0.1:0",
                    "tls": {"cert_file": "c", "key_file": "k"},
                    "token_file": folder / "token",
                },
            }
        )
        assert isinstance(settings.cluster, Cluster)
        self.registry, self.told = CollectorRegistry(), list[str]()
        self.metrics = Metrics(self.registry, (Source.KAFKA, Source.CLUSTER))
        self.open = threading.Event()
        self.open.set()
        self.brokers = Producer(during_flush=self._until_open)
        sender = Sender(settings, "audit", self.brokers)
        self.writer = Writer(
            Journal(settings, sender, None, self.metrics), Positions({}), self.told.append, checkpoint_s=3600
        )
        self.posts = ClusterPosts(settings.cluster, "obs", self.metrics, self.told.append)
        self.stop = threading.Event()

    def _until_open(self) -> None:
        assert self.open.wait(LIMIT_S)

    def begin(self, known: Past = UNWRITTEN) -> None:
        self.writer.start(self.stop)
        self.posts.begin(self.writer, known)

    def end(self) -> None:
        self.open.set()
        self.stop.set()
        assert self.writer.end(LIMIT_S)

    def post(self, body: bytes = BODY, token: str = TOKEN, path: str = PATH, **environ: Any) -> int:
        status: list[str] = []
        given = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "REMOTE_ADDR": "10.0.0.1",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **environ,
        }
        list(self.posts.application(given, lambda text, *_: status.append(text)))  # type: ignore[arg-type, return-value]
        return int(status[0][:3])

    def records(self, source: Source = Source.CLUSTER) -> list[dict[str, Any]]:
        return [value for _, _, value in self.brokers.records if value["source"] == source]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    started = Audit(tmp_path)
    yield started
    started.end()


def gaps(audit: Audit) -> list[str]:
    return [record["detail"]["reason"] for record in audit.records(Source.AUDIT) if record["action"] == GAP]


def events(*items: dict[str, Any]) -> bytes:
    return json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}).encode()


def test_a_post_is_answered_once_kafka_has_it_and_told_once_however_often_it_comes(audit: Audit) -> None:
    audit.begin()
    assert audit.post() == 200
    first = audit.records()
    assert {record["target"] for record in first} >= {"secrets/kafka-password", "namespaces/obs"}
    assert audit.post() == 200
    assert audit.records() == first
    assert audit.value("audit_posts_total", result="written") == 2


def test_a_post_that_kafka_does_not_take_in_time_is_taken_once_when_it_comes_again(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.begin()
    audit.open.clear()
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_ACKNOWLEDGED_S", 0.05)
        assert audit.post(events(event(READ))) == 503
        assert audit.post(events(event(READ))) == 503
    audit.open.set()
    assert audit.post(events(event(READ))) == 200
    assert [record["target"] for record in audit.records()] == ["secrets/kafka-password"]


def test_what_was_written_before_a_restart_is_not_written_again(audit: Audit, tmp_path: Path) -> None:
    audit.begin()
    assert audit.post(events(event(READ))) == 200
    known = past([AuditRecord.model_validate(value) for _, _, value in audit.brokers.records])
    assert len(known.requests) == 1
    folder = tmp_path / "next"
    folder.mkdir()
    following = Audit(folder)
    following.begin(known)
    assert following.post(events(event(READ))) == 200
    following.end()
    assert following.records() == []


def test_before_the_end_of_the_chain_is_known_a_post_is_to_come_again(audit: Audit) -> None:
    assert audit.post() == 503
    assert audit.value("audit_posts_total", result="busy") == 1


def test_posts_that_are_refused_for_too_long_are_a_gap(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.begin()
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_MOST_WAITING", 0)
        assert audit.post() == 503
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "GIVES_UP_S", -1.0)
        assert audit.post() == 200
    audit.end()
    assert [record["action"] for record in audit.records(Source.AUDIT)].count(GAP) == 1
    assert audit.value("audit_gaps_total", source="cluster") == 1


@pytest.mark.parametrize(("away", "gaps"), [(GIVES_UP_S / 2, 0), (GIVES_UP_S * 2, 1)])
def test_posts_while_nobody_listened_are_a_gap_once_the_api_server_has_given_up(
    audit: Audit, away: float, gaps: int
) -> None:
    written = datetime.now(UTC) - timedelta(seconds=away)
    audit.begin(Past(newest=None, positions={}, events=frozenset(), written=written))
    audit.end()
    assert audit.value("audit_gaps_total", source="cluster") == gaps


@pytest.mark.parametrize(
    ("changes", "status", "result"),
    [
        ({"token": "guessed"}, 401, "login"),
        ({"HTTP_AUTHORIZATION": f"Basic {TOKEN}"}, 401, "login"),
        ({"HTTP_AUTHORIZATION": "Bearer "}, 401, "login"),
        ({"HTTP_AUTHORIZATION": ""}, 401, "login"),
        ({"CONTENT_LENGTH": ""}, 411, "content"),
        ({"CONTENT_LENGTH": str(MOST_BODY_BYTES + 1)}, 413, "size"),
        ({"CONTENT_LENGTH": "100000"}, 503, "cut"),
        ({"body": b"[]"}, 400, "content"),
        ({"body": b"[" * 1_000_000}, 400, "content"),
        ({"REQUEST_METHOD": "GET"}, 405, ""),
        ({"path": "/"}, 404, ""),
    ],
)
def test_what_is_no_post_of_the_api_server_is_refused(
    audit: Audit, changes: dict[str, Any], status: int, result: str
) -> None:
    audit.begin()
    assert audit.post(**changes) == status
    assert audit.records() == []
    counted = {name: audit.value("audit_posts_total", result=name) for name in ("login", "content", "size", "cut")}
    assert {name for name, value in counted.items() if value} == ({result} if result else set())
    assert TOKEN not in "".join(audit.told)


def test_an_event_that_cannot_be_read_is_counted_and_holds_nothing_up(audit: Audit) -> None:
    audit.begin()
    assert audit.post(events({"stage": "Other"}, event(READ))) == 200
    assert [record["target"] for record in audit.records()] == ["secrets/kafka-password"]
    assert audit.value("audit_unreadable_total", source="cluster") == 1
    assert gaps(audit) == ["an event of the API server cannot be read"]


def test_a_post_that_cannot_be_read_is_a_record(audit: Audit) -> None:
    audit.begin()
    assert audit.post(b"[]") == 400
    assert audit.post() == 200
    assert gaps(audit) == ["a post is no EventList of audit.k8s.io/v1 with at most 1000 events"]


def test_an_api_server_that_falls_silent_is_a_source_that_is_not_read(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.begin()
    assert audit.post() == 200
    assert audit.value("audit_open_streams", source="cluster") == audit.value(
        "audit_expected_streams", source="cluster"
    )
    monkeypatch.setattr(cluster, "QUIET_S", -1.0)
    assert audit.value("audit_open_streams", source="cluster") == 0
    audit.post(token="guessed")
    assert audit.value("audit_open_streams", source="cluster") == 0
    assert len(EVENTS) > len(audit.records())
