"""Pieces of an OpenTelemetry Collector configuration (v0.149), as data; among them what each client may send to a
gateway or an agent, so that none costs another a refusal (ADR 0045).

A collector's own counters are what shows refused and lost telemetry, so they are served like any other component's
metrics: over TLS, with a password. The collector's built-in endpoint can do neither. Therefore the collector sends its
own metrics by OTLP to itself, over the loopback address only, and its Prometheus exporter serves them.

A layer's share of the platform's peak is its rate at each gateway: as many as one fewer than there are must carry the
peak. Of what may be in flight, each client has a part that nobody else can use; the rest is everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from components.telemetry.layers import LAYERS, Layer, Signal

Data = dict[str, Any]

METRICS_PORT = 8888
HEALTH_PORT = 13133
SELF_PORT = 4319

SELF_RECEIVER = "otlp/self"
SELF_EXPORTER = "prometheus/self"
SELF_PIPELINE = "metrics/self"
SCRAPE_AUTH = "basicauth/scrape"
HEALTH = "health_check"

TLS_DIRECTORY = "/etc/tls"
SCRAPE_HTPASSWD = "/etc/otelcol-auth/scrape.htpasswd"
KAFKA_PASSWORD = "/etc/otelcol-auth/kafka-password"  # noqa: S105  (a path)

CLIENT_LOGIN = "login"
"""Name of the extension that checks the passwords of whoever sends telemetry."""
STREAMS = 16
"""Calls of one client's connection at once."""
_READ_BUFFER_BYTES = 32 * 1024
"""Twice what TLS gives at once. The receiver's default of 512 KiB lets 500 idle connections fill a gateway's memory."""

FETCH_BYTES = 512 * 1024
"""What a consumer asks of each broker at once, as it is on the wire; half of it of each partition. It bounds the
memory: a consumer holds, unpacked, what it works on and as much again that it has fetched meanwhile (policy
``kafka-backlog-fits-memory``). A larger batch comes all the same, alone."""

READER = "kafkarecords"
"""Type of the receiver of Kafka: the stock one's settings, and limits of its own for brokers that hang (ADR 0064)."""

SESSION = "25m"
"""Of every consumer: a restart or an outage of Kafka moves no partition (ADR 0007). Kafka's own upper limit is 30
minutes (``group.max.session.timeout.ms``)."""


@dataclass(frozen=True, kw_only=True)
class KafkaClient:
    """How a collector reaches Kafka.

    Attributes:
        brokers: Bootstrap addresses, ``host:port``.
        user: SCRAM user.
        name: Client id, and consumer group of who reads unless it has another.
        password_file: Where the collector finds the password.
        ca_file: Certificate of the authority that signed the brokers' certificates.
    """

    brokers: tuple[str, ...]
    user: str
    name: str
    password_file: str = KAFKA_PASSWORD
    ca_file: str = f"{TLS_DIRECTORY}/ca.crt"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Partition p is read by the member whose index is p modulo the count."""

    index: int
    count: int


ONLY_SHARD = Shard(index=0, count=1)


def kafka_client(client: KafkaClient) -> Data:
    """Client section that Kafka exporters and receivers share: SASL_SSL with SCRAM-SHA-512 (requirement K5)."""
    return {
        "brokers": list(client.brokers),
        "client_id": client.name,
        "tls": {"ca_file": client.ca_file, "min_version": "1.2"},
        "auth": {
            "sasl": {
                "mechanism": "SCRAM-SHA-512",
                "username": client.user,
                "password": f"${{file:{client.password_file}}}",
            }
        },
        # A broker that hangs keeps its connections: who leads instead is known from here alone.
        "metadata": {"refresh_interval": "10s"},
    }


def kafka_consumer(
    client: KafkaClient,
    *,
    member: str,
    topic: str,
    signal: str,
    retries: tuple[str, str],
    encoding: str = "otlp_proto",
    group: str = "",
    shard: Shard | None = None,
) -> Data:
    """The receiver `READER` of a consumer whose position moves only past what its destination has taken.

    Args:
        client: Who reads.
        member: Static member of the group, so that a restart moves no partition.
        topic: What is read.
        signal: Of which kind its records are.
        retries: First and longest wait before a record is tried again, which never ends.
        encoding: How records are decoded; ``raw``: not at all.
        group: Consumer group; the client's name if empty.
        shard: The part of the partitions that is this member's; None: they are spread evenly over whoever is there.
    """
    first, longest = retries
    return {
        **kafka_client(client),
        "group_id": group or client.name,
        "group_instance_id": member,
        **(
            {"group_rebalance_strategy": "sharded", "shard": {"index": shard.index, "count": shard.count}}
            if shard
            else {"group_rebalance_strategy": "cooperative-sticky"}
        ),
        "session_timeout": SESSION,
        "heartbeat_interval": "3s",
        "initial_offset": "earliest",
        signal: {"topics": [topic], "encoding": encoding},
        # A broker works as hard for a request as for a thousand points: it answers when there is enough, or in time.
        "min_fetch_size": 256 * 1024,
        "max_fetch_wait": "500ms",
        "max_fetch_size": FETCH_BYTES,
        "max_partition_fetch_size": FETCH_BYTES // 2,
        "autocommit": {"enable": True, "interval": "1s"},
        "message_marking": {"after": True, "on_error": False, "on_permanent_error": True},
        "error_backoff": {
            "enabled": True,
            "initial_interval": first,
            "max_interval": longest,
            # The receiver has no defaults for these: without them it waits once, and then tries as fast as it can.
            "multiplier": 1.5,
            "randomization_factor": 0.2,
            "max_elapsed_time": 0,
        },
    }


def kafka_producer(client: KafkaClient) -> Data:
    """Client section of the exporter ``kafkabuckets``: TLS with SCRAM-SHA-512, its only mechanism (requirement K5)."""
    return {
        "brokers": list(client.brokers),
        "client_id": client.name,
        "tls": {"ca_file": client.ca_file, "min_version": "1.2"},
        "auth": {"username": client.user, "password": f"${{file:{client.password_file}}}"},
        # A broker that hangs keeps its connections: who leads instead is known from here alone.
        "metadata_refresh": "10s",
    }


def client_login(
    htpasswd: str,
    *,
    calls: int,
    received_bytes: int,
    connections: int,
    tls: Data,
    clients: Mapping[str, Any],
    burst_s: int,
    queues: Mapping[str, int],
) -> Data:
    """The extension that knows who sends, and looks through what is sent before it is decoded.

    Args:
        htpasswd: Path of the password file.
        calls: gRPC calls that are received and worked on at once; more are told to try again.
        received_bytes: What requests of HTTP that are read and worked on at once may take, from the first byte of
            their bodies on, and as much again of gRPC; more are told to try again.
        connections: Connections of gRPC at once, one address half of them; more are closed before their handshake.
        tls: What the gRPC port has as ``tls``: to refuse a handshake, the extension makes it.
        clients: User -> its share, from `components.collector.config`.
        burst_s: Seconds of a client's rates that may come at once.
        queues: Signal -> bytes that may wait for their answer.
    """
    return {
        "htpasswd": htpasswd,
        "remember": "10m",
        "checks": 1,
        "waiting": 32,
        "max_in_flight": calls,
        "max_in_flight_bytes": received_bytes,
        "max_connections": connections,
        "max_connections_per_address": connections // 2,
        "tls": tls,
        "clients": dict(clients),
        "burst": f"{burst_s}s",
        "queues": dict(queues),
    }


def client_receiver(directory: str, *, grpc_port: int, http_port: int, request_limit: int, keepalive: Data) -> Data:
    """The receiver ``otlp`` for clients that sign in, over gRPC and HTTP.

    Args:
        directory: Folder of the certificate.
        grpc_port: Where it takes gRPC.
        http_port: Where it takes HTTP.
        request_limit: Largest request in bytes, uncompressed; whole MiB.
        keepalive: How connections of gRPC are kept and ended.
    """
    common = {
        "tls": server_tls(directory),
        "auth": {"authenticator": CLIENT_LOGIN},
        "middlewares": [{"id": CLIENT_LOGIN}],
    }
    return {
        "protocols": {
            "grpc": {
                **common,
                "endpoint": f"0.0.0.0:{grpc_port}",
                "max_recv_msg_size_mib": request_limit // 1024**2,
                "max_concurrent_streams": STREAMS,
                "read_buffer_size": _READ_BUFFER_BYTES,
                "keepalive": keepalive,
            },
            "http": {
                **common,
                "endpoint": f"0.0.0.0:{http_port}",
                "max_request_body_size": request_limit,
                "compression_algorithms": ["", "gzip"],
                "read_header_timeout": "10s",
                "read_timeout": "30s",
                "idle_timeout": "60s",
            },
        }
    }


def server_tls(directory: str = TLS_DIRECTORY) -> Data:
    """Server side of TLS; a renewed certificate is read without a restart."""
    return {
        "cert_file": f"{directory}/tls.crt",
        "key_file": f"{directory}/tls.key",
        "min_version": "1.2",
        "reload_interval": "5m",
    }


def memory_limiter() -> Data:
    """Refuses data (with a code that makes the sender try again) before the container's limit is reached.

    Garbage counts as memory in use until it is collected, which Go puts off: each look beyond the lower limit collects
    first, where upstream does so once in ten seconds and refuses everybody until then.
    """
    return {
        "check_interval": "500ms",
        "limit_percentage": 75,
        "spike_limit_percentage": 20,
        "min_gc_interval_when_soft_limited": "0s",
    }


def own_metrics(*, tls_directory: str = TLS_DIRECTORY, htpasswd: str = SCRAPE_HTPASSWD) -> Data:
    """Components and service section for the collector's own metrics and its health endpoint."""
    return {
        "extensions": {
            SCRAPE_AUTH: {"htpasswd": {"file": htpasswd}},
            HEALTH: {"endpoint": f"0.0.0.0:{HEALTH_PORT}", "tls": server_tls(tls_directory)},
        },
        "receivers": {SELF_RECEIVER: {"protocols": {"http": {"endpoint": f"127.0.0.1:{SELF_PORT}"}}}},
        "exporters": {
            SELF_EXPORTER: {
                "endpoint": f"0.0.0.0:{METRICS_PORT}",
                "tls": server_tls(tls_directory),
                "auth": {"authenticator": SCRAPE_AUTH},
                "without_scope_info": True,
                "translation_strategy": "UnderscoreEscapingWithSuffixes",
                "metric_expiration": "5m",
            }
        },
        "service": {
            "extensions": [SCRAPE_AUTH, HEALTH],
            "telemetry": {
                "logs": {"encoding": "json", "level": "info"},
                "metrics": {"level": "detailed", "readers": [_own_reader()], "views": _views()},
            },
            "pipelines": {SELF_PIPELINE: {"receivers": [SELF_RECEIVER], "exporters": [SELF_EXPORTER]}},
        },
    }


def _own_reader() -> Data:
    exporter = {"protocol": "http/protobuf", "endpoint": f"http://127.0.0.1:{SELF_PORT}"}
    return {"periodic": {"interval": 5000, "timeout": 4000, "exporter": {"otlp": exporter}}}


def _views() -> list[Data]:
    """Metrics of the level `detailed` that count refused requests, without what clients could make them grow by.

    The HTTP instrumentation labels by the Host header, which anybody who reaches the port chooses.
    """
    seconds = {"explicit_bucket_histogram": {"boundaries": [0.005, 0.025, 0.1, 0.5, 2.5, 10]}}
    kept: dict[str, list[str]] = {
        "http.server.request.duration": ["http.response.status_code"],
        "rpc.server.call.duration": ["rpc.response.status_code"],
    }
    views: list[Data] = [
        {
            "selector": {"instrument_name": name},
            "stream": {"attribute_keys": {"included": keys}, "aggregation": seconds},
        }
        for name, keys in kept.items()
    ]
    dropped = (
        "http.server.request.body.size",
        "http.server.response.body.size",
        "http.client.*",
        "rpc.server.request*",
        "rpc.server.response*",
        "rpc.client.*",
        "otelcol.*.size",
        "otelcol_processor_internal_duration",
    )
    views += [{"selector": {"instrument_name": name}, "stream": {"aggregation": {"drop": {}}}} for name in dropped]
    return views


def merged(*parts: Mapping[str, Any]) -> Data:
    """Join configurations: mappings key by key, lists one after the other.

    Raises:
        ValueError: Two parts set the same key to different values.
    """
    result: Data = {}
    for part in parts:
        for key, value in part.items():
            current = result.get(key)
            if current is None:
                result[key] = value
            elif isinstance(current, Mapping) and isinstance(value, Mapping):
                result[key] = merged(current, value)
            elif isinstance(current, list) and isinstance(value, list):
                result[key] = [*current, *value]
            elif current != value:
                raise ValueError(f"{key} is set twice: to {current!r} and to {value!r}")
    return result


def rendered(config: Mapping[str, Any]) -> str:
    """The configuration as the YAML text that the collector reads."""
    return yaml.dump(dict(config), Dumper=yaml.CSafeDumper, sort_keys=True, width=120)


BURST_S: Final = 10
"""Seconds of a client's rates that may come at once: what piled up while a client could not send."""
ITEM_BYTES: Final[Mapping[Signal, int]] = {Signal.METRICS: 1024, Signal.TRACES: 4096, Signal.LOGS: 4096}
"""Bytes that rates allow for a point, span or log record: uncompressed, with its part of the resource."""
_RESERVED: Final = 0.8
"""Part of what may be in flight that belongs to single clients."""
_AGENTS: Final = 0.2
"""Of that, the part of the node agents."""
_FLOOR: Final = 0.01
"""Share of signals that a layer may not send: enough that its client is told so."""


def gateway_clients(peak: Mapping[Signal, float], *, gateways: int, agents: str) -> Data:
    """Clients of a gateway.

    Args:
        peak: Items a second of all layers together, for a while.
        gateways: How many there are at least; they carry the peak while one of them is away.
        agents: User of the node agents, which pass on what any layer sends.
    """
    doors = max(1, gateways - 1)
    return {
        **{layer.user: _client(layer, peak, doors, _RESERVED * (1 - _AGENTS)) for layer in LAYERS},
        agents: {
            "share": _RESERVED * _AGENTS,
            "rates": {signal.value: _rate(signal, peak[signal]) for signal in Signal},
        },
    }


def agent_clients(peak: Mapping[Signal, float]) -> Data:
    """Clients of a node agent: the layers, each with its share of the peak.

    Args:
        peak: Items a second of all layers together, for a while.
    """
    return {layer.user: _client(layer, peak, 1, _RESERVED) for layer in LAYERS}


def _client(layer: Layer, peak: Mapping[Signal, float], doors: int, reserved: float) -> Data:
    shares = {signal: layer.shares.get(signal, 0.0) for signal in Signal}
    # Half by what it sends, half as much as any other: also the smallest has several calls at once.
    part = (sum(shares.values()) / len(shares) + 1 / len(LAYERS)) / 2
    return {
        "share": round(reserved * part, 4),
        "rates": {
            signal.value: _rate(signal, max(share, _FLOOR) * peak[signal] / doors) for signal, share in shares.items()
        },
    }


def _rate(signal: Signal, items: float) -> Data:
    return {"items": round(items, 1), "bytes": round(items * ITEM_BYTES[signal])}
