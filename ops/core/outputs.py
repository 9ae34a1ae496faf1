"""Which secret outputs of the stack each command reads: a command cannot use what is not named here.

The key of hashed ids is an output for the other region's stack and no command's: ``ops privacy`` reads the gateways'
Secret, which Kubernetes lets only some people do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Final

SECRETS: Final = frozenset(
    {
        "alertmanager_operator",
        "backups",
        "grafana_admin",
        "kafka_admin",
        "kafka_users",
        "log_reader",
        "notify_channels",
        "otlp_credentials",
        "otlp_former_credentials",
        "prometheus_credentials",
        "query_reader",
        "regions",
        "reports",
        "scrape_credentials",
        "trace_login",
    }
)
"""Outputs with a password or a key."""

_CONTEXT: Final = frozenset(
    {
        "alertmanager_operator",
        "kafka_admin",
        "otlp_credentials",
        "prometheus_credentials",
        "query_reader",
        "trace_login",
    }
)
"""What `ops.core.context.Context` makes its clients with."""
_ALERTS: Final = frozenset({"alertmanager_operator"})
_BOTH_REGIONS: Final = _CONTEXT - {"prometheus_credentials"} | {"regions"}

READS: Final[Mapping[str, frozenset[str]]] = {
    "verify": SECRETS - {"otlp_former_credentials", "regions"},
    "health": _CONTEXT,
    "open": frozenset({"alertmanager_operator", "grafana_admin", "query_reader"}),
    "connect": frozenset({"otlp_credentials"}),
    "review": frozenset(),
    "trace": frozenset({"trace_login"}),
    "logs": _CONTEXT | {"log_reader"},
    "alerts": _ALERTS,
    "ack": _ALERTS,
    "silence": _ALERTS,
    "incident": _CONTEXT | {"log_reader"},
    "notify": _ALERTS | {"notify_channels"},
    "alert-events": frozenset({"kafka_admin", "trace_login"}),
    "certificates": frozenset(),
    "dashboard": _CONTEXT | {"grafana_admin"},
    "loadtest": _CONTEXT | {"grafana_admin"},
    "bench": _CONTEXT | {"log_reader"},
    "scale": frozenset(),
    "storage": frozenset(),
    "kafka": frozenset({"kafka_admin", "kafka_users"}),
    "gateway": frozenset({"otlp_credentials", "otlp_former_credentials", "query_reader"}),
    "report": _CONTEXT | {"kafka_users", "reports"},
    "backup": _CONTEXT | {"backups", "grafana_admin"},
    "maintain": _CONTEXT | {"backups", "grafana_admin", "log_reader"},
    "regions": _BOTH_REGIONS,
    "failover": _BOTH_REGIONS,
    "failback": _BOTH_REGIONS,
    "drill": _CONTEXT
    | {
        "backups",
        "grafana_admin",
        "kafka_users",
        "log_reader",
        "otlp_former_credentials",
        "regions",
        "scrape_credentials",
    },
    "privacy": _CONTEXT | {"backups", "log_reader"},
    "audit": frozenset({"kafka_admin", "kafka_users", "trace_login"}),
    "docs": _CONTEXT | {"grafana_admin"},
    "config": frozenset(),
    "preflight": frozenset({"kafka_admin"}),
    "images": frozenset(),
}
"""Command -> secret outputs that the code behind it uses; a test compares both."""

_limits: list[frozenset[str]] = []
"""Of the process, whichever of its threads reads; the last one holds."""


@contextmanager
def limited(names: Set[str]) -> Iterator[None]:
    """Inside the block no secret output is read but these."""
    _limits.append(SECRETS - names)
    try:
        yield
    finally:
        _limits.pop()


def withheld() -> frozenset[str]:
    """Secret outputs that are not read at present; empty outside of `limited`."""
    return _limits[-1] if _limits else frozenset()
