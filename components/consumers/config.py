"""Configuration of a metrics consumer, as data: Kafka to one Prometheus, at least once (requirement O5).

A record's offset is marked only after Prometheus has answered. Nothing in between acknowledges earlier: no batch
processor and no sending queue. What Prometheus refuses for good (HTTP 400, e.g. a sample too old) is halved by
``bisect`` until the culprit is alone: it is passed over and counted, and the rest of its record arrives. All other
errors are tried again without end.

**Why the session is so long.** The receiver pauses a partition whose processing a lost session cut short, and never
resumes it (seen: Prometheus away, and Kafka silent for longer than the session; the consumer then read nothing more).
So the session must outlive every outage of Kafka that the platform is made for. Nobody waits for it to end: the group
has one member, whose static membership lets it carry on at once after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.collector.config import (
    SCRAPE_HTPASSWD,
    TLS_DIRECTORY,
    Data,
    KafkaClient,
    kafka_client,
    memory_limiter,
    merged,
    own_metrics,
)
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal

WRITER_PASSWORD = "/etc/otelcol-auth/writer-password"  # noqa: S105  (a path)
WRITER_AUTH = "basicauth/writer"
EXPORTER = "otlphttp/prometheus"
BISECT = "bisect"
REQUESTS = 500
"""Most requests that one refused record may cost; what is still together then is given up together."""
SESSION = "25m"
"""Kafka's own upper limit is 30 minutes (``group.max.session.timeout.ms``)."""


@dataclass(frozen=True, kw_only=True)
class MetricsConsumerConfig:
    """What a metrics consumer's configuration depends on.

    Attributes:
        kafka: Client settings for Kafka; the user is also the consumer group.
        prometheus_url: Address of the Prometheus to fill, ``https://host:port``.
        writer: User name there.
        max_message_bytes: Largest record of the topic.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        writer_password: File with the password.
        scrape_htpasswd: Password file of the metrics endpoint.
    """

    kafka: KafkaClient
    prometheus_url: str
    writer: str
    max_message_bytes: int
    tls_directory: str = TLS_DIRECTORY
    writer_password: str = WRITER_PASSWORD
    scrape_htpasswd: str = SCRAPE_HTPASSWD


def metrics_consumer_config(settings: MetricsConsumerConfig) -> Data:
    """The complete configuration of a metrics consumer."""
    return merged(
        own_metrics(tls_directory=settings.tls_directory, htpasswd=settings.scrape_htpasswd),
        {
            "extensions": {
                WRITER_AUTH: {"client_auth": {"username": settings.writer, "password_file": settings.writer_password}}
            },
            "receivers": {"kafka": _receiver(settings)},
            "processors": {"memory_limiter": memory_limiter()},
            "connectors": {BISECT: {"max_requests": REQUESTS}},
            "exporters": {EXPORTER: _exporter(settings)},
            "service": {
                "extensions": [WRITER_AUTH],
                "pipelines": {
                    "metrics/kafka": {
                        "receivers": ["kafka"],
                        "processors": ["memory_limiter"],
                        "exporters": [BISECT],
                    },
                    "metrics/prometheus": {"receivers": [BISECT], "exporters": [EXPORTER]},
                },
            },
        },
    )


def _receiver(settings: MetricsConsumerConfig) -> Data:
    return {
        **kafka_client(settings.kafka),
        "group_id": settings.kafka.user,
        "group_instance_id": settings.kafka.user,
        "group_rebalance_strategy": "cooperative-sticky",
        "session_timeout": SESSION,
        "heartbeat_interval": "3s",
        "initial_offset": "earliest",
        "metrics": {"topics": [TOPIC_OF_SIGNAL[Signal.METRICS]], "encoding": "otlp_proto"},
        "max_fetch_size": 2 * settings.max_message_bytes,
        "max_partition_fetch_size": settings.max_message_bytes,
        "autocommit": {"enable": True, "interval": "1s"},
        "message_marking": {"after": True, "on_error": False, "on_permanent_error": True},
        "error_backoff": {
            "enabled": True,
            "initial_interval": "500ms",
            "max_interval": "10s",
            "max_elapsed_time": 0,
        },
    }


def _exporter(settings: MetricsConsumerConfig) -> Data:
    return {
        "metrics_endpoint": f"{settings.prometheus_url}/api/v1/otlp/v1/metrics",
        "compression": "none",
        "tls": {"ca_file": f"{settings.tls_directory}/ca.crt", "min_version": "1.2", "reload_interval": "5m"},
        "auth": {"authenticator": WRITER_AUTH},
        "timeout": "30s",
        "sending_queue": {"enabled": False},
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "500ms",
            "max_interval": "10s",
            "max_elapsed_time": 0,
        },
    }
