"""Configuration of the OTLP gateway (requirements O1, O2, K3), as data.

A request passes these gates, each of which is a processor with its own name and therefore its own counter
(``otelcol_processor_incoming_items_total`` and ``otelcol_processor_outgoing_items_total``, label ``processor``):

1. ``memory_limiter``: refuses with a retryable code when memory is short.
2. ``filter/unknown-layer``: the resource attribute ``layer`` is missing or is no layer.
3. ``filter/foreign-layer``: ``layer`` is not the user who signed in (agents have checked that before).
4. `components.masking`: ids are hashed, personal data and secrets are masked (requirement O3).
5. ``routing``: to ``transform/<layer>``, or to ``filter/refused-signal`` when the layer may not send that signal.
6. ``transform/<layer>``: only the catalogue's attributes of that layer stay.

Then the exporter's queue on disk takes the request, and only then is the client told so. A full queue refuses.

**Kafka keys.** The exporter's key is a hash of all resource attributes. For metrics and logs it has to depend on
``device_id``, else ``service.name``, and on nothing that varies between instances or releases. So the resource keeps
these (and ``layer``), and the complete set travels in each scope's attribute `RESOURCE_COPY`, from which consumers
restore it. Spans are keyed by trace id and keep their resource as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.collector.config import (
    RESOURCE_COPY,
    SCRAPE_HTPASSWD,
    TLS_DIRECTORY,
    Data,
    KafkaClient,
    condition_key,
    kafka_client,
    memory_limiter,
    merged,
    own_metrics,
    scoped,
    server_tls,
    statement_key,
)
from components.masking.render import HASH_KEY_FILE, MASKING_ORDER, masking_processors
from components.telemetry.attributes import KEY_ATTRIBUTES, LAYER, allowed_attributes
from components.telemetry.layers import LAYERS, TOPIC_OF_SIGNAL, Layer, Signal, layers_sending

GRPC_PORT = 4317
HTTP_PORT = 4318
CLIENT_HTPASSWD = "/etc/otelcol-auth/clients.htpasswd"
QUEUE_DIRECTORY = "/var/lib/otelcol"

CLIENT_AUTH = "basicauth/clients"
QUEUE_STORAGE = "file_storage/queue"
UNKNOWN_LAYER = "filter/unknown-layer"
FOREIGN_LAYER = "filter/foreign-layer"
REFUSED_SIGNAL = "filter/refused-signal"

_CLIENT = "obs.client"
AGENT = "agent"
"""User of the node agents, which check the layers of what they pass on themselves."""
_MIB = 1024 * 1024
_KEYED_BY_RESOURCE = frozenset({Signal.METRICS, Signal.LOGS})
_QUEUE_SHARE = {Signal.METRICS: 0.55, Signal.TRACES: 0.30, Signal.LOGS: 0.15}
_USABLE_SHARE = 0.4
"""Of the volume: the store fills its pages half on average, and compaction writes a second copy."""


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """What the gateway's configuration depends on.

    Attributes:
        kafka: Client settings for Kafka.
        volume_bytes: Size of the volume that holds the queues.
        max_message_bytes: Largest record that the topics take.
        fsync: Whether every accepted request is forced to disk before the client hears of it.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        client_htpasswd: Password file of the layers.
        scrape_htpasswd: Password file of the metrics endpoint.
        hash_key_file: The key with which ids are hashed.
        queue_directory: Folder of the queues.
    """

    kafka: KafkaClient
    volume_bytes: int
    max_message_bytes: int
    fsync: bool = True
    tls_directory: str = TLS_DIRECTORY
    client_htpasswd: str = CLIENT_HTPASSWD
    scrape_htpasswd: str = SCRAPE_HTPASSWD
    hash_key_file: str = HASH_KEY_FILE
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

    @property
    def request_limit(self) -> int:
        """Largest request in bytes, uncompressed and in whole MiB: what is accepted always fits in one record."""
        return self.max_message_bytes // 2 // _MIB * _MIB


def transform_name(layer: Layer) -> str:
    """Name of the processor whose item counters are the layer's accepted telemetry (requirement O2)."""
    return f"transform/{layer.name}"


def exporter_name(signal: Signal) -> str:
    """Name of the exporter of ``signal``."""
    return f"kafka/{signal.value}"


def queue_bytes(volume_bytes: int) -> dict[Signal, int]:
    """Capacity of each signal's queue on a volume of ``volume_bytes``."""
    return {signal: int(volume_bytes * _USABLE_SHARE * share) for signal, share in _QUEUE_SHARE.items()}


def gateway_config(settings: GatewayConfig) -> Data:
    """The complete configuration of one gateway."""
    return merged(
        own_metrics(tls_directory=settings.tls_directory, htpasswd=settings.scrape_htpasswd),
        {
            "extensions": {
                CLIENT_AUTH: {"htpasswd": {"file": settings.client_htpasswd}},
                QUEUE_STORAGE: _queue_storage(settings),
            },
            "receivers": {"otlp": _receiver(settings)},
            "processors": _processors(settings),
            "connectors": {_router(signal): _routes(signal) for signal in Signal},
            "exporters": {"nop": {}, **{exporter_name(signal): _exporter(settings, signal) for signal in Signal}},
            "service": {"extensions": [CLIENT_AUTH, QUEUE_STORAGE], "pipelines": _pipelines()},
        },
    )


def _receiver(settings: GatewayConfig) -> Data:
    common = {"tls": server_tls(settings.tls_directory), "auth": {"authenticator": CLIENT_AUTH}}
    return {
        "protocols": {
            "grpc": {
                **common,
                "endpoint": f"0.0.0.0:{GRPC_PORT}",
                "max_recv_msg_size_mib": settings.request_limit // _MIB,
                "max_concurrent_streams": 256,
                # A connection stays with the gateway that took it; ending it now and then spreads clients again.
                "keepalive": {
                    "server_parameters": {
                        "max_connection_age": "60s",
                        "max_connection_age_grace": "20s",
                        "max_connection_idle": "120s",
                        "time": "30s",
                        "timeout": "10s",
                    },
                    "enforcement_policy": {"min_time": "10s", "permit_without_stream": True},
                },
            },
            "http": {
                **common,
                "endpoint": f"0.0.0.0:{HTTP_PORT}",
                "max_request_body_size": settings.request_limit,
                "compression_algorithms": ["", "gzip", "zstd"],
                "read_header_timeout": "10s",
                "read_timeout": "30s",
                "idle_timeout": "60s",
            },
        }
    }


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


def _processors(settings: GatewayConfig) -> Data:
    known = " or ".join(f'{_attribute(LAYER)} == "{layer.name}"' for layer in LAYERS)
    return {
        "memory_limiter": memory_limiter(),
        "resource/client": {
            "attributes": [
                {"key": _CLIENT, "action": "delete"},
                {"key": _CLIENT, "action": "upsert", "from_context": "auth.username"},
            ]
        },
        UNKNOWN_LAYER: _dropping(f"not ({known})"),
        FOREIGN_LAYER: _dropping(
            f'{_attribute(LAYER)} != {_attribute(_CLIENT)} and {_attribute(_CLIENT)} != "{AGENT}"'
        ),
        REFUSED_SIGNAL: _dropping("true"),
        **masking_processors(settings.hash_key_file),
        **{transform_name(layer): _transform(layer) for layer in LAYERS},
    }


def _dropping(condition: str) -> Data:
    """A filter that drops resources of any signal; an error refuses the request, it lets nothing pass."""
    conditions = [{"context": "resource", "conditions": [condition]}]
    return {"error_mode": "propagate", **{condition_key(signal): conditions for signal in Signal}}


def _transform(layer: Layer) -> Data:
    kept = scoped("resource", [_keep(allowed_attributes(layer))])
    copied = scoped("scope", [f'set(scope.attributes["{RESOURCE_COPY}"], resource.attributes)'])
    reduced = scoped("resource", [_keep((LAYER, *KEY_ATTRIBUTES))])
    statements: Mapping[str, list[Data]] = {
        statement_key(signal): [kept, copied, reduced] if signal in _KEYED_BY_RESOURCE else [kept]
        for signal in Signal
        if layer.may_send(signal)
    }
    return {"error_mode": "propagate", **statements}


def _keep(keys: Iterable[str]) -> str:
    listed = ", ".join(f'"{key}"' for key in keys)
    return f"keep_keys(resource.attributes, [{listed}])"


def _attribute(key: str) -> str:
    return f'resource.attributes["{key}"]'


def _router(signal: Signal) -> str:
    return f"routing/{signal.value}"


def _routes(signal: Signal) -> Data:
    return {
        "error_mode": "propagate",
        "default_pipelines": [f"{signal.value}/refused"],
        "table": [
            {
                "context": "resource",
                "condition": f'attributes["{LAYER}"] == "{layer.name}"',
                "pipelines": [f"{signal.value}/{layer.name}"],
            }
            for layer in layers_sending(signal)
        ],
    }


def _exporter(settings: GatewayConfig, signal: Signal) -> Data:
    return {
        **kafka_client(settings.kafka),
        signal.value: {"topic": TOPIC_OF_SIGNAL[signal], "encoding": "otlp_proto"},
        "partition_metrics_by_resource_attributes": True,
        "partition_logs_by_resource_attributes": True,
        "partition_traces_by_id": True,
        "producer": {
            "required_acks": -1,
            "compression": "snappy",
            "max_message_bytes": settings.max_message_bytes,
            "allow_auto_topic_creation": False,
            "linger": "20ms",
        },
        # Longer than the 9 s after which Kafka notices that a broker died without a word; ten seconds later the client
        # gives up the answer, and until then nothing goes past what waits for it.
        "timeout": "10s",
        "retry_on_failure": {"enabled": True, "initial_interval": "1s", "max_interval": "15s", "max_elapsed_time": 0},
        "sending_queue": {
            "enabled": True,
            "storage": QUEUE_STORAGE,
            "sizer": "bytes",
            "queue_size": queue_bytes(settings.volume_bytes)[signal],
            "block_on_overflow": False,
            "num_consumers": 8,
            "batch": {
                "sizer": "bytes",
                "flush_timeout": "200ms",
                "min_size": settings.request_limit // 4,
                "max_size": settings.request_limit,
            },
        },
    }


def _pipelines() -> Data:
    pipelines: Data = {}
    for signal in Signal:
        pipelines[f"{signal.value}/in"] = {
            "receivers": ["otlp"],
            "processors": ["memory_limiter", "resource/client", UNKNOWN_LAYER, FOREIGN_LAYER, *MASKING_ORDER],
            "exporters": [_router(signal)],
        }
        for layer in layers_sending(signal):
            pipelines[f"{signal.value}/{layer.name}"] = {
                "receivers": [_router(signal)],
                "processors": [transform_name(layer)],
                "exporters": [exporter_name(signal)],
            }
        pipelines[f"{signal.value}/refused"] = {
            "receivers": [_router(signal)],
            "processors": [REFUSED_SIGNAL],
            "exporters": ["nop"],
        }
    return pipelines
