"""Configurations of Jaeger's collectors and queries (requirements J1 to J3), as data.

**Classes.** A span belongs to the most restricted of the classes that it and its resource name; it is confidential when
neither names one, or one of them names an unknown one. Each class has its own store: a collector copies what it
receives into one pipeline per class, and a filter there leaves the class' own spans. A query reads one alias, which
covers its clearance and all lower classes; the search cluster's users are bound to the same indices, so that a query
that somebody reconfigures still cannot read more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.collector.config import TLS_DIRECTORY, Data, memory_limiter, merged, server_tls
from components.jaeger.process import (
    AUTH_DIRECTORY,
    SCRAPE_HTPASSWD,
    STORAGE,
    SearchClient,
    process,
    storage_backend,
)
from components.telemetry.classification import ATTRIBUTE, CLASSES, DEFAULT

OTLP_PORT = 4317
SAMPLING_PORT = 5778
SAMPLING_GRPC_PORT = 5779
QUERY_PORT = 16686
QUERY_GRPC_PORT = 16685

STRATEGIES_DIRECTORY = "/etc/jaeger-sampling"
STRATEGIES_FILE = "strategies.json"
SAMPLING_AUTH = "basicauth/sampling"
SAMPLING_HTPASSWD = f"{AUTH_DIRECTORY}/sampling.htpasswd"

_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class CollectorConfig:
    """What a Jaeger collector's configuration depends on.

    Attributes:
        search: Where spans are written to.
        max_message_mib: Largest request.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        scrape_htpasswd: Password file of the metrics endpoint.
        sampling_htpasswd: Password file of the remote sampling endpoints.
        strategies: File with the sampling strategies.
    """

    search: SearchClient
    max_message_mib: int = 8
    tls_directory: str = TLS_DIRECTORY
    scrape_htpasswd: str = SCRAPE_HTPASSWD
    sampling_htpasswd: str = SAMPLING_HTPASSWD
    strategies: str = f"{STRATEGIES_DIRECTORY}/{STRATEGIES_FILE}"


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """What a Jaeger query's configuration depends on.

    Attributes:
        search: Where spans are read from.
        clearance: Most restricted class that it reads.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        scrape_htpasswd: Password file of the metrics endpoint.
    """

    search: SearchClient
    clearance: str
    tls_directory: str = TLS_DIRECTORY
    scrape_htpasswd: str = SCRAPE_HTPASSWD


@dataclass(frozen=True, kw_only=True)
class Strategies:
    """Head sampling that is offered to SDKs (Jaeger's remote sampling protocol).

    Attributes:
        default: Share of traces that a service starts; the tail sampler needs all of them to find the errors.
        services: Service name -> its own share.
    """

    default: float = 1.0
    services: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, share in {"default": self.default, **self.services}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"sampling of {name} is {share}, must be a share from 0 to 1")

    def data(self) -> Data:
        """The strategies as Jaeger reads them."""
        return {
            "default_strategy": _probabilistic(self.default),
            "service_strategies": [
                {"service": name, **_probabilistic(share)} for name, share in sorted(self.services.items())
            ],
        }


def _probabilistic(share: float) -> Data:
    return {"type": "probabilistic", "param": share}


def exporter_name(data_class: str) -> str:
    """Name of the exporter that writes a class."""
    return f"jaeger_storage_exporter/{data_class}"


def filter_name(data_class: str) -> str:
    """Name of the filter that leaves only the spans of a class."""
    return f"filter/{data_class}"


def collector_config(settings: CollectorConfig) -> Data:
    """The complete configuration of a Jaeger collector."""
    return merged(
        process(tls_directory=settings.tls_directory, scrape_htpasswd=settings.scrape_htpasswd),
        {
            "extensions": {
                STORAGE: {"backends": {name: storage_backend(settings.search, name) for name in CLASSES}},
                SAMPLING_AUTH: {"htpasswd": {"file": settings.sampling_htpasswd}},
                "remote_sampling": _remote_sampling(settings),
            },
            "receivers": {"otlp": _receiver(settings)},
            "processors": {
                "memory_limiter": memory_limiter(),
                **{
                    filter_name(name): {"error_mode": "propagate", "traces": {"span": [_foreign(name)]}}
                    for name in CLASSES
                },
            },
            "connectors": {f"forward/{name}": {} for name in CLASSES},
            "exporters": {exporter_name(name): {"trace_storage": name} for name in CLASSES},
            "service": {
                "extensions": [STORAGE, SAMPLING_AUTH, "remote_sampling"],
                "pipelines": {
                    "traces/in": {
                        "receivers": ["otlp"],
                        "processors": ["memory_limiter"],
                        "exporters": [f"forward/{name}" for name in CLASSES],
                    },
                    **{
                        f"traces/{name}": {
                            "receivers": [f"forward/{name}"],
                            "processors": [filter_name(name)],
                            "exporters": [exporter_name(name)],
                        }
                        for name in CLASSES
                    },
                },
            },
        },
    )


def _receiver(settings: CollectorConfig) -> Data:
    return {
        "protocols": {
            "grpc": {
                "endpoint": f"0.0.0.0:{OTLP_PORT}",
                "tls": {**server_tls(settings.tls_directory), "client_ca_file": f"{settings.tls_directory}/ca.crt"},
                "max_recv_msg_size_mib": settings.max_message_mib,
                "max_concurrent_streams": 64,
                "keepalive": {
                    # A sampler's connection moves to another collector now and then, so that a new one gets its share.
                    "server_parameters": {"max_connection_age": "60s", "max_connection_age_grace": "20s"},
                    "enforcement_policy": {"min_time": "10s", "permit_without_stream": True},
                },
            }
        }
    }


def _remote_sampling(settings: CollectorConfig) -> Data:
    common = {"tls": server_tls(settings.tls_directory), "auth": {"authenticator": SAMPLING_AUTH}}
    return {
        "file": {"path": settings.strategies, "reload_interval": "10s", "default_sampling_probability": 1.0},
        "http": {
            **common,
            "endpoint": f"0.0.0.0:{SAMPLING_PORT}",
            "max_request_body_size": _MIB,
            "read_header_timeout": "10s",
            "idle_timeout": "60s",
        },
        "grpc": {**common, "endpoint": f"0.0.0.0:{SAMPLING_GRPC_PORT}", "max_recv_msg_size_mib": 1},
    }


def _foreign(data_class: str) -> str:
    """Condition under which a span is not of this class."""
    index = CLASSES.index(data_class)
    lower = _at_most(index - 1) if index else None
    if data_class == DEFAULT:
        if lower is None or index != len(CLASSES) - 1:
            raise ValueError(f"the default class {DEFAULT} must be the last of several classes")
        return lower
    own = f"not {_at_most(index)}"
    return f"{own} or {lower}" if lower else own


def _at_most(index: int) -> str:
    """Condition: span and resource name classes up to this one, and at least one of them names one."""
    span, resource = f'attributes["{ATTRIBUTE}"]', f'resource.attributes["{ATTRIBUTE}"]'
    both = " and ".join(
        "(" + " or ".join([f"{where} == nil", *(f'{where} == "{name}"' for name in CLASSES[: index + 1])]) + ")"
        for where in (span, resource)
    )
    return f"({both} and ({span} != nil or {resource} != nil))"


def query_config(settings: QueryConfig) -> Data:
    """The complete configuration of a Jaeger query; it listens on the loopback address only."""
    return merged(
        process(tls_directory=settings.tls_directory, scrape_htpasswd=settings.scrape_htpasswd),
        {
            "extensions": {
                STORAGE: {
                    "backends": {settings.clearance: storage_backend(settings.search, settings.clearance)},
                },
                "jaeger_query": {
                    "storage": {"traces": settings.clearance},
                    "http": {"endpoint": f"127.0.0.1:{QUERY_PORT}"},
                    "grpc": {"endpoint": f"127.0.0.1:{QUERY_GRPC_PORT}"},
                    "enable_tracing": False,
                    "bearer_token_propagation": False,
                },
            },
            "service": {"extensions": [STORAGE, "jaeger_query"]},
        },
    )
