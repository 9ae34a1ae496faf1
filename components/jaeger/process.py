"""What every Jaeger process has: its own metrics over TLS with a password, a health endpoint, a store. Pure data.

Jaeger 2 is an OpenTelemetry Collector (v0.140) with extensions, so the collector's own trick serves its metrics too:
they leave by OTLP to a receiver on the loopback address and come out of a Prometheus exporter (ADR 0002).
"""

from __future__ import annotations

from dataclasses import dataclass

from components import naming
from components.collector.config import (
    HEALTH,
    HEALTH_PORT,
    METRICS_PORT,
    SELF_EXPORTER,
    TLS_DIRECTORY,
    Data,
    own_metrics,
    server_tls,
)
from components.collector.pods import size_bytes
from components.k8s import Container, Mount, Probe, Resources

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
        env={"GOMEMLIMIT": f"{size_bytes(resources.memory_limit) * 8 // 10 // 2**20}MiB"},
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
