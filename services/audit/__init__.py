"""The audit log (requirement M1): who reached for what, from where, and whether it was let in.

Runs as ``python3 -m services.audit --config FILE``, once: it follows what servers log and what operators do, and writes
each access to a topic of its own, chained by hashes (ADR 49).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from services.runtime.settings import Address, File, ServerSettings, SettingsModel, Text, Tls, whole


class Source(StrEnum):
    """Where accesses are read."""

    TRACES = "traces"
    """The login proxies in front of Jaeger."""
    METRICS = "metrics"
    """The login proxy in front of Thanos Query."""
    ALERTS = "alerts"
    """The login proxy in front of Alertmanager, silences among it."""
    KAFKA = "kafka"
    """Authorizer and logins of the brokers, and of controllers of their own."""
    DATABASE = "database"
    """Logins at PostgreSQL, what it refuses, and what its superuser changes."""
    GRAFANA = "grafana"
    """Logins at Grafana, dashboards, queries and changes."""
    SEARCH = "search"
    """Who is refused at the search cluster, what people read and write there, changes of its users and roles."""
    CLUSTER = "cluster"
    """Requests at the API server about the platform's namespace."""
    OPS = "ops"
    """Commands of operators."""
    AUDIT = "audit"
    """The audit log itself."""


class Kafka(SettingsModel):
    """The brokers, and who this program is there: it reads and writes one topic."""

    bootstrap: Text
    ca_file: File
    user: Text
    group: Text
    password_file: File


class Kubernetes(SettingsModel):
    """The API server.

    Attributes:
        host: Name in its certificate.
        port: Port of that name.
        ca_file: Authority of its certificate.
        token_file: File with the token of the pod's own ServiceAccount, which the kubelet renews.
        namespace: Where logs and events are read.
    """

    host: Text
    port: Annotated[int, whole(1, 65535)]
    ca_file: File
    token_file: File
    namespace: Text


class FollowedContainer(SettingsModel):
    """Containers whose log is followed: of all pods of a workload."""

    source: Source
    workload: Text
    container: Text


class Cluster(SettingsModel):
    """Where the API server posts its audit events.

    Attributes:
        listen: Address and port.
        tls: Certificate that its configuration trusts, and key.
        token_file: File with the token that it shows.
    """

    listen: Address
    tls: Tls
    token_file: File


class AuditSettings(ServerSettings):
    """What is followed and where accesses are written.

    Attributes:
        region: Name of the region, in each record: a topic may hold those of two.
        topic: Where records go.
        followed: Whose logs are followed; commands of operators always are.
        cluster: Where the API server posts; None: nowhere.
    """

    region: Text
    topic: Text
    kafka: Kafka
    kubernetes: Kubernetes
    followed: Annotated[tuple[FollowedContainer, ...], Field(min_length=1)]
    cluster: Cluster | None = None

    @property
    def topic_names(self) -> tuple[str, ...]:
        """What it writes."""
        return (self.topic,)
