"""What each kind of backup reads: section of its settings, passwords, way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.backups import config
from components.backups.config import SearchSource
from components.contracts import DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint
from components.k8s import Allow, network, workload_pods

KAFKA = "kafka"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind's source.

    Attributes:
        section: Section of the program's settings.
        passwords: File name -> password.
        reach: Servers that its pods may connect to.
        access: Access labels of these.
        after: Resources that exist once it answers.
    """

    section: Mapping[str, Any]
    passwords: Mapping[str, pulumi.Output[str]]
    reach: Sequence[Allow]
    access: Sequence[str] = ()
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)


def databases(endpoints: Sequence[DatabaseEndpoint], keep_days: int) -> Source:
    """Databases of one PostgreSQL."""
    server = endpoints[0]
    peers = [workload_pods(server.workload)] if server.workload else [network(cidr) for cidr in server.networks]
    return Source(
        section=config.database_section(endpoints, keep_days),
        passwords={config.database_file(endpoint): endpoint.user.password for endpoint in endpoints},
        reach=[Allow(peers=peers, ports=[server.port])],
        access=[server.access_label] if server.access_label else [],
        after=server.after,
    )


def grafana(endpoint: GrafanaEndpoint, workload: str, keep_days: int) -> Source:
    """Grafana's definitions; ``workload`` serves it."""
    return Source(
        section=config.grafana_section(endpoint, keep_days),
        passwords={config.PASSWORD: endpoint.administrator.password},
        reach=[Allow(peers=[workload_pods(workload)], ports=[endpoint.port])],
        access=[endpoint.access_label],
        after=endpoint.after,
    )


def kafka_metadata(kafka: KafkaEndpoint, keep_days: int) -> Source:
    """Topics, permissions, names of users."""
    return Source(
        section=config.kafka_section(kafka, keep_days),
        passwords={config.PASSWORD: once(kafka.users[config.USER].password, kafka.ready)},
        reach=[Allow(peers=[workload_pods(KAFKA)], ports=[kafka.port])],
        access=[kafka.access_label],
    )


def search(source: SearchSource, keep_days: int) -> Source:
    """Documents and definitions of indices."""
    endpoint = source.endpoint
    return Source(
        section=config.search_section(source, keep_days),
        passwords={config.PASSWORD: once(endpoint.users[config.USER].password, endpoint.ready)},
        reach=[Allow(peers=[workload_pods(endpoint.workload)], ports=[endpoint.port])],
        access=[endpoint.access_label],
        after=endpoint.after,
    )


def once(password: pulumi.Output[str], ready: pulumi.Output[bool]) -> pulumi.Output[str]:
    """A password that is known only when its user may do what it is for."""
    return pulumi.Output.all(password, ready).apply(lambda both: str(both[0]))
