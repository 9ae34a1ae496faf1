"""Configuration of the OTLP gateway (requirements O1, O2, O3, K3), as data.

A request passes these, and only then is its client told that it is safe:

1. ``login``: closes connections of gRPC that are too many before their handshake; who sends it, over gRPC before the
   message is read. What is beyond its layer's share is told to come again, before it is read where that is known by
   then (``otelcol_login_throttled_requests_total``). It looks through a message before it is decoded, and refuses what
   would become large
   (``otelcol_login_refused_requests_total``).
2. ``memory_limiter``: refuses with a code that says "try again" when memory is short.
3. ``gate``: layer, names and types of the catalogue, budgets, masking. Where nothing of a request passes, the client is
   told so; where a part does not, it is counted (``otelcol_gate_refused_items_total``).
4. ``kafkabuckets``: batches in memory, a Kafka record per key bucket, acknowledged by every copy in sync. While Kafka
   does not answer, batches go to a queue on disk. When that is full, clients are refused.

A pod that is to end is first asked by ``drain`` whether its queue on disk is empty, and works on until it is, or until
nothing leaves it any more.

**Kafka keys.** A bucket is a partition: ``device_id``, else ``service.name``, chooses it for metrics and logs, the
trace id for spans. Records hold several whole resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.collector.config import (
    BURST_S,
    CLIENT_LOGIN,
    SCRAPE_HTPASSWD,
    STREAMS,
    TLS_DIRECTORY,
    Data,
    KafkaClient,
    client_login,
    client_receiver,
    gateway_clients,
    kafka_producer,
    memory_limiter,
    merged,
    own_metrics,
    server_tls,
)
from components.telemetry.attributes import KEY_ATTRIBUTES
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import topic

GRPC_PORT = 4317
HTTP_PORT = 4318
CLIENT_HTPASSWD = "/etc/otelcol-auth/clients.htpasswd"
HASH_KEY_FILE = "/etc/otelcol-auth/hash-key"
CATALOGUE_DIRECTORY = "/etc/otelcol-gate"
CATALOGUE_FILE = "catalogue.yaml"
QUEUE_DIRECTORY = "/var/lib/otelcol"

DRAIN = "drain"
DRAIN_PORT = 13134
DRAIN_NOW = "/now"
"""Path at which it says at once what its disk holds; at all others it says so when it may end."""
DRAIN_LIMIT_S = 300
"""For so long a pod that ends waits at most for its queue on disk to drain."""
DRAIN_AT_LEAST_S = 30
"""Until load balancers have noticed, and it was reported, scraped and recorded that the disk is empty."""
DRAIN_STALLED_S = 30
"""For so long nothing may leave it before the pod ends all the same: a write that Kafka does not answer, and the
longest pause until the next one."""

GATE = "gate"
QUEUE_STORAGE = "file_storage/queue"

AGENT = "agent"
"""User of the node agents, which pass on what the programs of their node send, of whatever layer."""
_MIB = 1024 * 1024
_QUEUE_SHARE = {Signal.METRICS: 0.55, Signal.TRACES: 0.30, Signal.LOGS: 0.15}
_USABLE_SHARE = 0.4
"""Of the volume: the store fills its pages half on average, and compaction writes a second copy."""
_WAITING_SHARE = 1 / 8
"""Of the memory: what waits for Kafka takes a multiple of its encoded size while it is decoded."""
_RECEIVED_SHARE = 1 / 4
"""Of the memory: what calls of gRPC, and requests of HTTP, may bring along at once."""
_CONNECTIONS_SHARE = 1 / 8
"""Of the memory: what open connections of gRPC may take while they are idle."""
_CONNECTION_BYTES = 128 * 1024
"""Of an idle connection: buffers of TLS and HTTP/2 both ways, and the stacks of its two threads."""


def request_limit(max_message_bytes: int) -> int:
    """Largest request in bytes, uncompressed and in whole MiB: what is accepted always fits in one record.

    Args:
        max_message_bytes: Largest record that the topics take.
    """
    return max_message_bytes // 2 // _MIB * _MIB


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """What the gateway's configuration depends on.

    Attributes:
        kafka: Client settings for Kafka.
        volume_bytes: Size of the volume that holds the queues.
        memory_bytes: Memory limit of the container.
        max_message_bytes: Largest record that the topics take.
        peak: Items a second of all layers together, for a while, by signal.
        gateways: How many gateways there are at least.
        partitions: Signal -> partitions of its topic.
        fsync: Whether what goes to the queue on disk is forced there before the client hears of it.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        client_htpasswd: Password file of the layers.
        scrape_htpasswd: Password file of the metrics endpoint.
        hash_key_file: The key with which ids are hashed.
        catalogue_file: What may pass, from `components.telemetry.gate_catalogue`.
        queue_directory: Folder of the queues.

    Raises:
        ValueError: Sizes that do not fit each other.
    """

    kafka: KafkaClient
    volume_bytes: int
    memory_bytes: int
    max_message_bytes: int
    peak: Mapping[Signal, float]
    gateways: int
    partitions: Mapping[Signal, int] = field(
        default_factory=lambda: {signal: topic(TOPIC_OF_SIGNAL[signal]).partitions for signal in Signal}
    )
    fsync: bool = True
    tls_directory: str = TLS_DIRECTORY
    client_htpasswd: str = CLIENT_HTPASSWD
    scrape_htpasswd: str = SCRAPE_HTPASSWD
    hash_key_file: str = HASH_KEY_FILE
    catalogue_file: str = f"{CATALOGUE_DIRECTORY}/{CATALOGUE_FILE}"
    queue_directory: str = QUEUE_DIRECTORY

    def __post_init__(self) -> None:
        if self.max_message_bytes < 2 * _MIB:
            raise ValueError(
                f"max_message_bytes is {self.max_message_bytes}, must be at least {2 * _MIB}: "
                "a request may be half of it"
            )
        smallest = min(queue_bytes(self.volume_bytes).values())
        if smallest < 2 * self.request_limit:
            raise ValueError(
                f"gateway storage of {self.volume_bytes} bytes leaves {smallest} for a queue, which must hold "
                f"two requests of {self.request_limit} bytes: enlarge the storage or lower max_message_bytes"
            )
        smallest = min(waiting_bytes(self.memory_bytes).values())
        if smallest < 2 * self.request_limit:
            raise ValueError(
                f"gateway memory of {self.memory_bytes} bytes leaves {smallest} for what waits for Kafka, which must "
                f"hold two requests of {self.request_limit} bytes: raise the memory limit or lower max_message_bytes"
            )

    @property
    def request_limit(self) -> int:
        """As `request_limit`."""
        return request_limit(self.max_message_bytes)

    @property
    def calls_in_flight(self) -> int:
        """gRPC calls that are received and worked on at once."""
        return max(STREAMS, self.received_bytes // self.request_limit)

    @property
    def connections(self) -> int:
        """Connections of gRPC at once."""
        return int(self.memory_bytes * _CONNECTIONS_SHARE) // _CONNECTION_BYTES

    @property
    def received_bytes(self) -> int:
        """What requests that are received and worked on may take at once."""
        return int(self.memory_bytes * _RECEIVED_SHARE)


def exporter_name(signal: Signal) -> str:
    """Name of the exporter of ``signal``; its queue on disk has ``-disk`` behind it in metrics."""
    return f"kafkabuckets/{signal.value}"


def queue_bytes(volume_bytes: int) -> dict[Signal, int]:
    """Capacity of each signal's queue on a volume of ``volume_bytes``."""
    return {signal: int(volume_bytes * _USABLE_SHARE * share) for signal, share in _QUEUE_SHARE.items()}


def waiting_bytes(memory_bytes: int) -> dict[Signal, int]:
    """Bytes of each signal that may wait for Kafka's answer in a container of ``memory_bytes``."""
    return {signal: int(memory_bytes * _WAITING_SHARE * share) for signal, share in _QUEUE_SHARE.items()}


def gateway_config(settings: GatewayConfig) -> Data:
    """The complete configuration of one gateway."""
    return merged(
        own_metrics(tls_directory=settings.tls_directory, htpasswd=settings.scrape_htpasswd),
        {
            "extensions": {
                CLIENT_LOGIN: client_login(
                    settings.client_htpasswd,
                    calls=settings.calls_in_flight,
                    received_bytes=settings.received_bytes,
                    connections=settings.connections,
                    tls=server_tls(settings.tls_directory),
                    clients=gateway_clients(settings.peak, gateways=settings.gateways, agents=AGENT),
                    burst_s=BURST_S,
                    queues={signal.value: size for signal, size in waiting_bytes(settings.memory_bytes).items()},
                ),
                QUEUE_STORAGE: _queue_storage(settings),
                DRAIN: {
                    "endpoint": f"0.0.0.0:{DRAIN_PORT}",
                    "tls": server_tls(settings.tls_directory),
                    "at_least": f"{DRAIN_AT_LEAST_S}s",
                    "stalled": f"{DRAIN_STALLED_S}s",
                    "limit": f"{DRAIN_LIMIT_S}s",
                },
            },
            "receivers": {"otlp": _receiver(settings)},
            "processors": {"memory_limiter": memory_limiter(), GATE: _gate(settings)},
            "exporters": {exporter_name(signal): _exporter(settings, signal) for signal in Signal},
            "service": {
                "extensions": [CLIENT_LOGIN, QUEUE_STORAGE, DRAIN],
                "pipelines": {
                    signal.value: {
                        "receivers": ["otlp"],
                        "processors": ["memory_limiter", GATE],
                        "exporters": [exporter_name(signal)],
                    }
                    for signal in Signal
                },
            },
        },
    )


def _receiver(settings: GatewayConfig) -> Data:
    return client_receiver(
        settings.tls_directory,
        grpc_port=GRPC_PORT,
        http_port=HTTP_PORT,
        request_limit=settings.request_limit,
        # A connection stays with the gateway that took it; ending it now and then spreads clients again.
        keepalive={
            "server_parameters": {
                "max_connection_age": "60s",
                "max_connection_age_grace": "20s",
                "max_connection_idle": "120s",
                "time": "30s",
                "timeout": "10s",
            },
            "enforcement_policy": {"min_time": "10s", "permit_without_stream": True},
        },
    )


def _queue_storage(settings: GatewayConfig) -> Data:
    return {
        "directory": f"{settings.queue_directory}/queue",
        "create_directory": True,
        "directory_permissions": "0700",
        "fsync": settings.fsync,
        "timeout": "10s",
        "compaction": {
            "directory": f"{settings.queue_directory}/compaction",
            "on_start": True,
            "on_rebound": True,
            "cleanup_on_start": True,
            "check_interval": "30s",
            "rebound_needed_threshold_mib": 256,
            "rebound_trigger_threshold_mib": 32,
        },
    }


def _gate(settings: GatewayConfig) -> Data:
    return {
        "catalogue": settings.catalogue_file,
        "hash_key": f"${{file:{settings.hash_key_file}}}",
        "reload_interval": "10s",
    }


def _exporter(settings: GatewayConfig, signal: Signal) -> Data:
    return {
        **kafka_producer(settings.kafka),
        "topic": TOPIC_OF_SIGNAL[signal],
        "buckets": settings.partitions[signal],
        "key_attributes": list(KEY_ATTRIBUTES),
        "max_message_bytes": settings.max_message_bytes,
        "linger": "5ms",
        # After this a batch goes to disk; a client gives up its request no sooner.
        "timeout": "5s",
        "sending_queue": {
            "wait_for_result": True,
            "sizer": "bytes",
            "queue_size": waiting_bytes(settings.memory_bytes)[signal],
            "block_on_overflow": False,
            "num_consumers": 8,
            "batch": {
                "sizer": "bytes",
                "flush_timeout": "200ms",
                "min_size": settings.request_limit // 4,
                "max_size": settings.request_limit,
            },
        },
        "retry_on_failure": {"initial_interval": "1s", "max_interval": "15s", "max_elapsed_time": 0},
        "spill": {
            "sending_queue": {
                "storage": QUEUE_STORAGE,
                "sizer": "bytes",
                "queue_size": queue_bytes(settings.volume_bytes)[signal],
                "block_on_overflow": False,
                "num_consumers": 4,
            },
            # Longer than the 9 s after which Kafka notices that a broker died without a word.
            "timeout": "15s",
            "probe_interval": "2s",
        },
    }
