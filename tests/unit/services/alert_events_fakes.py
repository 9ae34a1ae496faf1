"""What the alert event service's tests share: settings, a producer that fails on demand, posts, a WSGI client."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from services.alert_events import AlertEventsSettings
from services.alert_events.__main__ import Endpoints
from services.runtime.kafka_sender import Sender

PASSWORDS = {name: f"sesame-for-{name}" for name in ("kafka", "prometheus", "alertmanager", "metrics")}
RAW, PROCESSED = "/raw/api/v2/alerts", "/processed"


def content(folder: Path, listen: str = "127.0.0.1:0", bootstrap: str = "localhost:1") -> dict[str, Any]:
    """Content of a settings file; its passwords and authority are in ``folder``."""
    for name, password in PASSWORDS.items():
        (folder / name).write_text(password + "\n")
    authority = folder / "ca.crt"
    if not authority.exists():
        authority.write_text("authority")

    def login(name: str) -> dict[str, str]:
        return {"user": name, "password_file": str(folder / name)}

    return {
        "listen": listen,
        "kafka": {"bootstrap": bootstrap, "ca_file": str(authority), **login("kafka")},
        "topics": {"raw": "alerts-raw", "processed": "alerts-processed"},
        "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        **{name: login(name) for name in ("prometheus", "alertmanager", "metrics")},
    }


def alert(name: str = "KafkaBrokerDown", *, ends: str = "2026-11-24T09:32:00Z", **labels: str) -> dict[str, Any]:
    """An alert as a Prometheus posts it."""
    own = {"alertname": name, "severity": "critical", "alert_id": f"{name}/instance=kafka-1", "instance": "kafka-1"}
    return {
        "labels": own | labels,
        "annotations": {"summary": "kafka-1 is down"},
        "startsAt": "2026-11-24T09:29:00.123Z",
        "endsAt": ends,
        "generatorURL": "http://prometheus-primary-0:9090/graph?g0.expr=up+%3D%3D+0",
    }


def notification(*alerts: dict[str, Any], **other: Any) -> dict[str, Any]:
    """A notification as an Alertmanager posts it."""
    alert_list = alerts or (alert(),)
    fired = {"status": "firing", "fingerprint": "0123456789abcdef", "endsAt": "0001-01-01T00:00:00Z"}
    return {
        "version": "4",
        "groupKey": '{}/{severity="critical"}:{alertname="KafkaBrokerDown"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "operators-critical",
        "groupLabels": {"alertname": "KafkaBrokerDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "https://alerts.example.org",
        "alerts": [{**entry, **fired} for entry in alert_list],
        **other,
    }


@dataclass
class Producer:
    """Stands in for librdkafka: takes records, and acknowledges them when it is flushed.

    Attributes:
        answers: Error of the next records, in order; None or none at all: acknowledged.
        refuses: Raised instead of taking a record.
        during_flush: Called by each flush.
    """

    answers: list[KafkaError | None] = field(default_factory=list)
    refuses: Exception | None = None
    silent: bool = False
    during_flush: Callable[[], None] = lambda: None
    produced: list[Mapping[str, Any]] = field(default_factory=list)
    records: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    def __call__(self, settings: Mapping[str, Any]) -> Producer:
        self.produced.append(settings)
        return self

    def produce(self, topic: str, key: bytes, value: bytes, on_delivery: Callable[[Any, Any], None]) -> None:
        if self.refuses is not None:
            raise self.refuses
        error = self.answers.pop(0) if self.answers else None
        if error is None:
            self.records.append((topic, key.decode(), json.loads(value)))
        self.waiting.append(lambda: on_delivery(error, None))

    def flush(self, seconds: float) -> int:
        assert seconds > 0
        self.during_flush()
        if self.silent:
            return len(self.waiting)
        for answer in self.waiting:
            answer()
        self.waiting.clear()
        return 0

    def poll(self, seconds: float) -> int:
        return 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.refuses is not None:
            raise self.refuses
        error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART) if topic in self.unknown else None
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error)})


def kafka_exception(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


@dataclass
class Service:
    """Both endpoints without a server."""

    folder: Path
    producer: Producer = field(default_factory=Producer)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        settings = AlertEventsSettings.parse(content(self.folder))
        self.sender = Sender(settings, "alert-events", self.producer)
        self.app = Endpoints(settings, self.sender, self.registry, self.told.append).application(self._rest)

    def _rest(self, environ: Any, start: Any) -> list[bytes]:
        start("418 I'm a Teapot", [])
        return [b"rest"]

    def post(self, path: str, body: object, login: str | None = None, **environ: Any) -> tuple[int, str]:
        """Status and text of an answer; ``body`` is sent as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        user = {RAW: "prometheus", PROCESSED: "alertmanager"}.get(path, "")
        given = f"{user}:{PASSWORDS.get(user, '')}" if login is None else login
        status: list[str] = []
        answer = self.app(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": path,
                "CONTENT_LENGTH": str(len(data)),
                "HTTP_AUTHORIZATION": "Basic " + base64.b64encode(given.encode()).decode(),
                "REMOTE_ADDR": "10.88.0.7",
                "wsgi.input": io.BytesIO(data),
                **environ,
            },
            lambda line, headers, *_: status.append(line),  # type: ignore[arg-type,return-value]
        )
        return int(status[0][:3]), b"".join(answer).decode().strip()

    def count(self, name: str, **labels: str) -> float:
        """Value of a metric."""
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, f"there is no {name} {labels}"
        return value
