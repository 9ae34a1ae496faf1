"""The Kafka client: made when it is needed, and made anew when its CA or its password is renewed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from services.kafka_lag import snapshot
from services.kafka_lag.model import PollResult
from services.kafka_lag.settings import Settings


class Brokers:
    """Answers for one exporter; not for several threads."""

    def __init__(self, settings: Settings, connect: Callable[..., Any] = AdminClient) -> None:
        """Ask the brokers of ``settings``; ``connect`` makes the client from librdkafka settings."""
        self._settings = settings
        self._connect = connect
        self._client: Any = None
        self._secrets: tuple[str, str] | None = None

    def poll(self) -> PollResult:
        """Poll once; failures are told, not raised."""
        failures: list[tuple[str, str]] = []
        try:
            lag_snapshot = snapshot.poll(
                self._admin(),
                self._settings.groups,
                self._settings.topics,
                lambda stage, reason: failures.append((stage, reason)),
            )
        except (KafkaException, OSError) as error:
            return PollResult(failures=(*failures, ("brokers", str(error))))
        return PollResult(snapshot=lag_snapshot, failures=tuple(failures))

    def _admin(self) -> Any:
        """Return the client; a new one whenever the CA or the password was renewed."""
        settings = self._settings
        current = (settings.ca_file.read_text(), settings.password_file.read_text().strip())
        if self._client is None or current != self._secrets:
            self._client = self._connect(
                {
                    "bootstrap.servers": settings.bootstrap,
                    "client.id": "kafka-lag",
                    "security.protocol": "sasl_ssl",
                    "ssl.ca.pem": current[0],
                    "sasl.mechanism": "SCRAM-SHA-512",
                    "sasl.username": settings.username,
                    "sasl.password": current[1],
                    "log_level": 3,
                }
            )
            self._secrets = current
        return self._client
