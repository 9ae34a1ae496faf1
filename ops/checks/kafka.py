"""K1..K4 on the live cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.telemetry.attributes import KEY_ATTRIBUTES
from components.telemetry.topics import TOPICS
from ops.core.context import Context
from ops.core.rows import Check, Finding, listed

BROKERS = 3
"""At least; each has an address of its own."""
REPLICATION = 3
MIN_IN_SYNC = 2
RECORDS_PER_PARTITION = 300

_TOPIC_SETTINGS = {"min.insync.replicas": str(MIN_IN_SYNC), "unclean.leader.election.enable": "false"}
_BROKER_SETTINGS = {
    "default.replication.factor": str(REPLICATION),
    "min.insync.replicas": str(MIN_IN_SYNC),
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
}
_NAMES = [topic.name for topic in TOPICS]
_MESSAGES: dict[str, tuple[Any, str]] = {
    "telemetry-metrics": (ExportMetricsServiceRequest, "resource_metrics"),
    "telemetry-traces": (ExportTraceServiceRequest, "resource_spans"),
    "telemetry-logs": (ExportLogsServiceRequest, "resource_logs"),
}


def k1(context: Context) -> Finding:
    """Brokers, replication and the settings that keep acknowledged records."""
    finding = Finding()
    brokers = context.kafka.brokers()
    wanted_brokers = max(BROKERS, len(context.platform.kafka_bootstrap.split(",")))
    finding.expect_equal("number of live brokers", len(brokers), wanted_brokers)
    for broker, settings in context.kafka.broker_settings(brokers).items():
        for key, wanted in _BROKER_SETTINGS.items():
            finding.expect_equal(f"{key} of broker {broker}", settings.get(key), wanted)
        finding.expect("broker" in settings.get("process.roles", ""), f"broker {broker} does not run KRaft")
    for topic, settings in context.kafka.topic_settings(_NAMES).items():
        for key, wanted in _TOPIC_SETTINGS.items():
            finding.expect_equal(f"{key} of {topic}", settings.get(key), wanted)
    topics = context.kafka.topics()
    for name in _NAMES:
        lowest = min(topics[name].in_sync, default=0) if name in topics else 0
        finding.expect(lowest >= MIN_IN_SYNC, f"{name} has a partition with {lowest} replicas in sync")
    zones = context.kafka.zones()
    close = closer_than_needed(context.kafka.placed(), zones)
    finding.expect(
        not close,
        f"{len(close)} partitions have replicas in one zone that could be in several, for example {listed(close[:3])}: "
        "`ops kafka rebalance`",
    )
    finding.figures.append(f"{len(brokers)} brokers, RF {REPLICATION}, min ISR {MIN_IN_SYNC}")
    finding.figures.append(f"zones {listed(sorted(set(zones.values())))}" if zones else "no broker has a zone")
    finding.seen.append(f"described brokers {listed(brokers)} and {len(_NAMES)} topics")
    finding.drill(
        "broker-killed",
        "two-brokers-killed",
        "broker-disk-full",
        "broker-disk-slow",
        "kafka-rolling-restart",
        "zone-gone",
        "chaos",
    )
    return finding


def closer_than_needed(placed: Mapping[tuple[str, int], Sequence[int]], zones: Mapping[int, str]) -> list[str]:
    """Partitions whose copies are in fewer zones than they could be.

    Args:
        placed: Topic and number of a partition -> its brokers.
        zones: Broker -> its zone, of those that know it.
    """
    there = len(set(zones.values()))
    return [
        f"{topic}-{number}"
        for (topic, number), brokers in sorted(placed.items())
        if set(brokers) <= set(zones) and len({zones[broker] for broker in brokers}) < min(there, len(brokers))
    ]


def k2(context: Context) -> Finding:
    """Topics, partitions, replication."""
    finding = Finding()
    topics = context.kafka.topics()
    for topic in TOPICS:
        state = topics.get(topic.name)
        if state is None:
            finding.wrong.append(f"topic {topic.name} does not exist")
            continue
        # Partitions may have been added from configuration (K6); they never become fewer.
        finding.expect(
            state.partitions >= topic.partitions,
            f"{topic.name} has {state.partitions} partitions, must have {topic.partitions}",
        )
        finding.expect_equal(f"replicas of {topic.name}", set(state.replicas), {REPLICATION})
        finding.figures.append(f"{topic.name} {state.partitions}")
    finding.seen.append(f"described {len(TOPICS)} topics, every partition has {REPLICATION} replicas")
    return finding


def k3(context: Context) -> Finding:
    """Records decode as OTLP, are keyed by bucket, and one identity stays in one partition."""
    finding = Finding()
    # Where a key goes depends on the number of partitions, which a gateway takes when it starts (K6).
    since_ms = 1000 * max((pod.started for pod in context.kube.pods("gateway")), default=0.0)
    for topic, (message_type, field) in _MESSAGES.items():
        settings = context.kafka.topic_settings([topic]).get(topic, {})
        finding.expect_equal(f"compression.type of {topic}", settings.get("compression.type"), "snappy")
        records = resources = 0
        places: dict[str, set[int]] = defaultdict(set)
        keys: dict[bytes, set[int]] = defaultdict(set)
        for record in context.kafka.read_last(topic, RECORDS_PER_PARTITION):
            if record.timestamp()[1] < since_ms:
                continue
            records += 1
            decoded = message_type.FromString(record.value())
            if not record.key():
                finding.expect(False, f"{topic}/{record.partition()} has a record without a key")
                break
            keys[record.key()].add(record.partition())
            for identity in identities(getattr(decoded, field), traces=topic == "telemetry-traces"):
                resources += 1
                places[identity].add(record.partition())
        split = [identity for identity, partitions in places.items() if len(partitions) > 1]
        torn = [key for key, partitions in keys.items() if len(partitions) > 1]
        finding.expect(records > 0, f"{topic} has no records")
        finding.expect(not torn, f"{topic}: {len(torn)} keys are in several partitions")
        finding.expect(not split, f"{topic}: {len(split)} of {len(places)} identities are in several partitions")
        used = len(set().union(*places.values())) if places else 0
        finding.figures.append(f"{topic}: {records} records, {len(places)} identities in {used} partitions")
    _producers(context, finding)
    finding.seen.append("read from the ends of all partitions and decoded as OTLP")
    return finding


def _producers(context: Context, finding: Finding) -> None:
    """The gateways write with the exporter that has acks=all and Snappy and nothing else, and wait for its result."""
    config = yaml.safe_load(context.kube.config_map("gateway")["config.yaml"])
    exporters = {name: exporter for name, exporter in config["exporters"].items() if name.startswith("kafka")}
    finding.expect(len(exporters) >= len(_MESSAGES), f"the gateway has only {len(exporters)} Kafka exporters")
    for name, exporter in exporters.items():
        finding.expect_equal(f"kind of exporter {name}", name.partition("/")[0], "kafkabuckets")
        finding.expect_equal(
            f"wait_for_result of {name}", exporter.get("sending_queue", {}).get("wait_for_result"), True
        )
    finding.seen.append(
        f"{len(exporters)} exporters of the running gateway's configuration are kafkabuckets: acks=all and Snappy "
        "cannot be set otherwise"
    )


def identities(groups: Any, *, traces: bool) -> Iterator[str]:
    """What decides the partition: the trace id of spans, else the first key attribute that a resource has."""
    for group in groups:
        if traces:
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield span.trace_id.hex()
            continue
        values = {attribute.key: attribute.value.string_value for attribute in group.resource.attributes}
        yield next((f"{key}={values[key]}" for key in KEY_ATTRIBUTES if values.get(key)), "none")


def k4(context: Context) -> Finding:
    """Retention of every topic."""
    finding = Finding()
    settings = context.kafka.topic_settings(_NAMES)
    for topic in TOPICS:
        milliseconds = settings.get(topic.name, {}).get("retention.ms")
        finding.expect_equal(f"retention.ms of {topic.name}", milliseconds, str(topic.retention_ms))
        finding.figures.append(f"{topic.name} {topic.retention_days} d")
    finding.seen.append("described the topics' effective settings")
    return finding


def k6(context: Context) -> Finding:
    """Every partition that has records is read by every group of its topic, also those that were added."""
    finding = Finding()
    committed = {group: context.kafka.committed(group) for group in context.platform.consumer_groups}
    for topic in TOPICS:
        with_records = {partition for partition, end in context.kafka.end_offsets(topic.name).items() if end}
        for group, offsets in committed.items():
            read = {partition for name, partition in offsets if name == topic.name}
            unread = sorted(with_records - read) if read else []
            finding.expect(not unread, f"{group} has consumed nothing from partitions {listed(unread)} of {topic.name}")
    finding.seen.append(f"compared the ends of all partitions with the offsets of {len(committed)} groups")
    finding.drill("partitions-added")
    return finding


CHECKS: dict[str, Check] = {"K1": k1, "K2": k2, "K3": k3, "K4": k4, "K6": k6}
