"""Copies of records and of metrics: what one broken setting alone does not show."""

from __future__ import annotations

from policy.model import Resource
from tests.policy.data_dataplane import CONSUMER, NODE, PROMETHEUS, SERVICE
from tests.policy.fixtures_dataplane import GONE, broken, config_map, platform, said, topic, workload

_QUERY = ["/bin/thanos", "query", "--query.replica-label=copy"]


def _replicas(*labels: dict[str, str]) -> list[Resource]:
    files = [broken(PROMETHEUS, ("global", "external_labels"), label) for label in labels]
    return [config_map({"prometheus.yml": file}, name=f"p{index}") for index, file in enumerate(files)]


def test_fewer_copies_can_be_agreed_on() -> None:
    assert said("kafka-topic-replication", topic(replicationFactor=2.0), min_replication_factor=2) == [
        'Topic numbers, config."min.insync.replicas": 2 of 2 copies must be there to write, so one lost broker stops '
        "all writing | require fewer copies than there are"
    ]


def test_the_agreed_topics_must_exist_with_their_partitions() -> None:
    assert said("kafka-topics-exist", platform(), topics={"numbers": 12}) == []
    assert said("kafka-topics-exist", platform(), topics={"numbers": 18, "words": 6}) == [
        "Topic numbers, partitions: partitions is 12, less than 18 | set it to at least 18; keys move when it grows",
        "ConfigMap ns/kafka, topics: there is no topic words | make it with 6 partitions",
    ]


def test_the_platform_s_topics_are_agreed_on_by_default() -> None:
    told = said("kafka-topics-exist", [config_map({"server.properties": NODE})])
    assert [line.split(": ", 1)[1].split(" |")[0] for line in told] == [
        "there is no topic telemetry-metrics",
        "there is no topic telemetry-traces",
        "there is no topic telemetry-logs",
        "there is no topic alerts-raw",
        "there is no topic alerts-processed",
        "there is no topic audit",
    ]


def test_a_stack_without_kafka_needs_no_topics() -> None:
    assert said("kafka-topics-exist", [config_map({"config.yaml": SERVICE})]) == []


def test_a_topic_that_a_client_names_must_exist() -> None:
    stack = [resource for resource in platform() if resource.kind != "Topic"]
    assert said("kafka-topics-exist", stack, topics={}) == [
        'ConfigMap ns/door, config.yaml: exporters."kafka/metrics": there is no topic numbers'
        " | make the topic, or name one that there is",
        "ConfigMap ns/reader, config.yaml: receivers.kafka: there is no topic numbers"
        " | make the topic, or name one that there is",
        "ConfigMap ns/watcher, config.yaml: topics: there is no topic numbers"
        " | make the topic, or name one that there is",
    ]


def test_replicas_that_thanos_can_tell_apart_are_passed() -> None:
    assert said("thanos-merges-replicas", [workload(_QUERY), *_replicas({"copy": "left"}, {"copy": "right"})]) == []


def test_thanos_must_be_told_the_label_of_replicas() -> None:
    stack = [workload(_QUERY[:2]), *_replicas({"copy": "left"}, {"copy": "right"})]
    assert said("thanos-merges-replicas", stack) == [
        "StatefulSet ns/server, spec.template.spec.containers[0].command: --query.replica-label is not given, so every "
        "value of every replica is shown | add --query.replica-label with the label that replicas differ by"
    ]


def test_a_replica_without_the_label_is_noticed() -> None:
    stack = [workload(_QUERY), *_replicas({"copy": "left"}, {"other": "right"})]
    assert said("thanos-merges-replicas", stack) == [
        "ConfigMap ns/p1, prometheus.yml: global.external_labels: it has none of the labels that StatefulSet ns/server "
        "merges replicas by: copy | set copy to the name of the replica"
    ]


def test_a_collector_that_is_not_told_its_topic_reads_the_default_one() -> None:
    loose = broken(CONSUMER, ("receivers", "kafka", "metrics", "topics"), GONE)
    stack = [resource for resource in platform() if (resource.name, resource.kind) != ("reader", "ConfigMap")]
    stack.append(config_map({"config.yaml": loose}, name="reader"))
    assert said("kafka-topics-exist", stack, topics={}) == [
        "ConfigMap ns/reader, config.yaml: receivers.kafka: there is no topic otlp_metrics"
        " | make the topic, or name one that there is"
    ]
