"""Every row of the requirements, in their order, with a short title and a sentence.

The long text is in ``shared/design/requirements.md`` of the project's design; an id never changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirement:
    """One row: its id, for example ``K1``, a short title for tables, and what it asks for."""

    id: str
    title: str
    text: str


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "L1",
        "Telemetry of wearable devices",
        "Wearable devices report state, latency, battery, stream quality and speech recognition",
    ),
    Requirement(
        "L2",
        "Telemetry of streaming and recording",
        "Streaming and recording report streams, recordings, storage and transfer",
    ),
    Requirement(
        "L3",
        "Telemetry of business services",
        "Business services report API response, event processing and database pool",
    ),
    Requirement(
        "L4",
        "Telemetry of data management",
        "Data management reports ETL, batch duration, consistency and report generation",
    ),
    Requirement("L5", "Telemetry of analytics", "Analytics report sessions, screen display time and analysis load"),
    Requirement(
        "K1",
        "Three brokers, RF 3, min ISR 2",
        "Three KRaft brokers, RF 3, min ISR 2, no unclean election, no auto-created topics",
    ),
    Requirement("K2", "Topics and their partitions", "Five topics with their partitions, all RF 3"),
    Requirement(
        "K3",
        "OTLP records: keys, Snappy, acks=all",
        "OTLP protobuf records, Snappy, acks=all, keyed by device, service or trace",
    ),
    Requirement("K4", "Retention per topic", "Retention per topic"),
    Requirement(
        "K5",
        "Kafka: TLS, SCRAM, ACLs, deny by default",
        "TLS on every listener, SCRAM-SHA-512 per client, ACLs, deny by default",
    ),
    Requirement("K6", "Partitions added without loss", "Partitions are added from configuration without loss"),
    Requirement(
        "O1",
        "Two gateways: OTLP, TLS, authentication",
        "Two gateways behind a load balancer, OTLP over TLS with client authentication",
    ),
    Requirement(
        "O2",
        "Routing per layer, drops counted",
        "Signals are routed per layer; what a layer may not send is dropped and counted",
    ),
    Requirement(
        "O3",
        "Personal data masked before Kafka",
        "Personal data masked or hashed and secrets removed before Kafka",
    ),
    Requirement("O4", "Head, tail and adaptive sampling", "Head, tail and adaptive sampling"),
    Requirement("O5", "A consumer group per destination", "One consumer group per destination, at least once"),
    Requirement(
        "P1",
        "Two Prometheus, failover for readers",
        "Primary and secondary Prometheus fed from Kafka, failover for readers",
    ),
    Requirement(
        "P2",
        "Prometheus: TLS and authentication",
        "TLS and authentication on the web API, scrape credentials per target",
    ),
    Requirement(
        "P3",
        "Thresholds as data, with tests, runbooks",
        "Thresholds as data, every alert with test, runbook and severity",
    ),
    Requirement("P4", "Sharding under one view", "Sharding by configuration under one view"),
    Requirement("A1", "Two Alertmanagers in a cluster", "Two Alertmanagers in a gossip cluster over TLS"),
    Requirement("A2", "Routing and escalation", "Routing and escalation"),
    Requirement("A3", "Alert events and notifications in Kafka", "Alert events and notifications in Kafka"),
    Requirement("G1", "Two Grafana on a shared database", "Two Grafana replicas on a shared database"),
    Requirement("G2", "System overview dashboard", "System overview dashboard"),
    Requirement("G3", "A detail dashboard per layer", "A detail dashboard per layer"),
    Requirement("G4", "Operations dashboard", "Operations dashboard"),
    Requirement("G5", "LDAP login, roles, permissions", "LDAP login, roles and permissions"),
    Requirement("R1", "Daily, weekly and monthly reports", "Daily, weekly and monthly reports"),
    Requirement("J1", "Jaeger in its production topology", "Jaeger in its production topology"),
    Requirement("J2", "Traces end to end, dependencies", "One trace through the whole flow, dependencies, percentiles"),
    Requirement("J3", "OIDC login, clearances of traces", "OIDC login and confidentiality classes of traces"),
    Requirement("D1", "Backups, and restores that are tested", "Backups, and restores that are tested"),
    Requirement("D2", "Regions in sync", "Key metrics and alert definitions in sync across regions"),
    Requirement(
        "D3",
        "Failover and failback drills, RTO, RPO",
        "Failover and failback drills with measured RTO and RPO",
    ),
    Requirement("D4", "Dead man's switch outside the platform", "A dead man's switch outside the platform"),
    Requirement("M1", "Access audit", "Access audit"),
    Requirement("M2", "Maintenance as commands", "Daily, weekly and monthly maintenance as commands"),
    Requirement("M3", "Incident procedure with a report", "Incident procedure with a generated report"),
    Requirement("M4", "Change management by editing data", "Change management by editing data"),
    Requirement("S1", "Horizontal and vertical scaling", "Horizontal and vertical scaling"),
    Requirement("S2", "Throughput and latency targets", "Throughput and latency targets"),
)
"""All rows. ``ops verify`` prints one line for each of them, built or not."""

REQUIREMENT_IDS: tuple[str, ...] = tuple(requirement.id for requirement in REQUIREMENTS)
TITLES: dict[str, str] = {requirement.id: requirement.title for requirement in REQUIREMENTS}
TEXTS: dict[str, str] = {requirement.id: requirement.text for requirement in REQUIREMENTS}
