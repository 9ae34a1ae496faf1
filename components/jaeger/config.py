"""What every Jaeger process has: its own metrics over TLS with a password, a health endpoint, a store. Pure data.

Jaeger 2 is an OpenTelemetry Collector (v0.140) with extensions, so the collector's own trick serves its metrics too:
they leave by OTLP to a receiver on the loopback address and come out of a Prometheus exporter (ADR 0002).

**Classes.** A span belongs to the most restricted of the classes that it and its resource name; it is confidential when
neither names one, or one of them names an unknown one. Each class has its own store: a collector copies what it
receives into one pipeline per class, and a filter there leaves the class' own spans. A query reads one alias, which
covers its clearance and all lower classes; the search cluster's users are bound to the same indices, so that a query
that somebody reconfigures still cannot read more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components import naming
from components.collector.config import (
    HEALTH,
    HEALTH_PORT,
    METRICS_PORT,
    SELF_EXPORTER,
    TLS_DIRECTORY,
    Data,
    memory_limiter,
    merged,
    own_metrics,
    server_tls,
)
from components.collector.pods import memory_settings
from components.k8s import Container, Mount, Probe, Resources
from components.telemetry.attributes import ATTRIBUTE, CLASSES, DEFAULT

HEALTH_V2 = "healthcheckv2"
HEALTH_PATH = "/status"
STORAGE = "jaeger_storage"

CONFIG_DIRECTORY = "/etc/jaeger"
AUTH_DIRECTORY = "/etc/jaeger-auth"
SCRAPE_HTPASSWD = f"{AUTH_DIRECTORY}/scrape.htpasswd"
SEARCH_PASSWORD = f"{AUTH_DIRECTORY}/search-password"

RETENTION = "168h"
"""How far back a search may look: traces are kept for seven days."""

FLUSH_INTERVAL = "200ms"
BULK_ACTIONS = 1000
BULK_WORKERS = 1
"""One bulk in flight per class and collector: what a crash can lose is `BULK_ACTIONS` spans of each class, or what came
in during one `FLUSH_INTERVAL`. While the search cluster is away the bulk is kept and tried again, and the worker takes
nothing new, so that the sampler waits and Kafka keeps the rest (measured in tests/config/test_jaeger_collector.py)."""


@dataclass(frozen=True, kw_only=True)
class SearchClient:
    """How Jaeger reaches the search cluster.

    Attributes:
        url: ``https://host:port``.
        user: User name; its password is in `password_file`.
        password_file: Watched for changes.
        ca_file: Authority of the cluster's certificates.
    """

    url: str
    user: str
    password_file: str = SEARCH_PASSWORD
    ca_file: str = f"{TLS_DIRECTORY}/ca.crt"


def storage_backend(client: SearchClient, prefix: str) -> Data:
    """One store: indices with ``prefix``, reached by aliases that the search cluster's component makes.

    Jaeger creates neither templates nor indices: its users may not, and a first write that came before the alias would
    make an index of the alias' name (jaeger #8292).
    """
    return {
        "opensearch": {
            "server_urls": [client.url],
            "auth": {"basic": {"username": client.user, "password_file": client.password_file}},
            "tls": {"ca_file": client.ca_file, "min_version": "1.2"},
            "indices": {"index_prefix": prefix},
            "use_aliases": True,
            "create_mappings": False,
            "max_span_age": RETENTION,
            "query_timeout": "30s",
            "bulk_processing": {
                "flush_interval": FLUSH_INTERVAL,
                "max_actions": BULK_ACTIONS,
                "max_bytes": 5_000_000,
                "workers": BULK_WORKERS,
            },
        }
    }


def process(*, tls_directory: str = TLS_DIRECTORY, scrape_htpasswd: str = SCRAPE_HTPASSWD) -> Data:
    """Own metrics and health of a Jaeger process."""
    base = own_metrics(tls_directory=tls_directory, htpasswd=scrape_htpasswd)
    del base["extensions"][HEALTH]
    base["extensions"][HEALTH_V2] = {
        "use_v2": True,
        "http": {
            "endpoint": f"0.0.0.0:{HEALTH_PORT}",
            "tls": server_tls(tls_directory),
            "status": {"enabled": True, "path": HEALTH_PATH},
            "config": {"enabled": False},
        },
    }
    # The older exporter has no such option: its metrics carry the labels of their scope.
    del base["exporters"][SELF_EXPORTER]["without_scope_info"]
    # Older name of the same instrument; by default it would grow by what callers name their methods.
    base["service"]["telemetry"]["metrics"]["views"].append(
        {
            "selector": {"instrument_name": "rpc.server.duration"},
            "stream": {"attribute_keys": {"included": ["rpc.grpc.status_code"]}},
        }
    )
    extensions = [name for name in base["service"]["extensions"] if name != HEALTH]
    base["service"]["extensions"] = [*extensions, HEALTH_V2]
    return base


def jaeger_container(
    name: str, resources: Resources, ports: dict[str, int], mounts: tuple[Mount, ...] = ()
) -> Container:
    """A Jaeger process with its configuration in volume ``config`` and its passwords in volume ``auth``."""
    return Container(
        name=name,
        image="jaeger",
        command=["/cmd/jaeger/jaeger-linux", f"--config={CONFIG_DIRECTORY}/config.yaml"],
        resources=resources,
        ports={**ports, naming.METRICS_PORT: METRICS_PORT, "health": HEALTH_PORT},
        env=memory_settings(resources),
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="auth", path=AUTH_DIRECTORY),
            *mounts,
        ],
        startup=_health(period_s=2, failures=60),
        liveness=_health(period_s=10, failures=6),
        readiness=_health(period_s=5, failures=2),
        pre_stop_sleep_s=5,
    )


def _health(*, period_s: int, failures: int) -> Probe:
    return Probe(http=HEALTH_PATH, port=HEALTH_PORT, https=True, period_s=period_s, failures=failures)


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
