"""At-least-once through collectors, and sizes that agree: what one broken setting alone does not show."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.data_dataplane import CONSUMER, DOOR, GATEWAY, NODE
from tests.policy.fixtures_dataplane import GONE, broken, config_map, platform, said, topic, workload

_COMMAND = ["/otelcol", "--config=/etc/otelcol/config.yaml"]
_CONFIG = {"/etc/otelcol": {"configMap": {"name": "files"}}}


def _swapped(name: str, config: dict[str, Any]) -> list[Resource]:
    others = [resource for resource in platform() if (resource.name, resource.kind) != (name, "ConfigMap")]
    return [*others, config_map({"config.yaml": config}, name=name)]


def test_groups_of_different_destinations_differ() -> None:
    one, two = (config_map({"config.yaml": CONSUMER}, name=name) for name in ("one", "two"))
    own = broken(CONSUMER, ("receivers", "kafka", "group_id"), "second")
    assert said("collector-own-group", [one, config_map({"config.yaml": own}, name="two")]) == []
    assert said("collector-own-group", [one, two]) == [
        "ConfigMap ns/two, config.yaml: receivers.kafka.group_id: receiver kafka shares group reader with "
        "ConfigMap ns/one | set group_id to the name of the workload"
    ]


def test_members_of_one_group_have_different_shards() -> None:
    def member(index: int | None) -> dict[str, Any]:
        config = CONSUMER
        if index is not None:
            config = broken(config, ("receivers", "kafka", "group_rebalance_strategy"), "sharded")
            config = broken(config, ("receivers", "kafka", "shard"), {"index": index, "count": 2})
        return config

    def findings(*indices: int | None) -> int:
        members = [config_map({"config.yaml": member(index)}, name=f"of-{n}") for n, index in enumerate(indices)]
        return len(said("collector-own-group", members))

    assert findings(0, 1) == 0
    assert findings(0, 0) == 1
    assert findings(None, 1) == findings(0, None) == 1


def test_sizes_that_agree_are_passed() -> None:
    assert said("kafka-records-fit", platform()) == []


def test_a_topic_says_how_large_a_record_may_be() -> None:
    loose = topic(config={"max.message.bytes": GONE})
    assert said("kafka-records-fit", [loose]) == [
        'Topic numbers, config."max.message.bytes": max.message.bytes is not set'
        " | say how large a record of numbers may be"
    ]


def test_brokers_copy_what_topics_take() -> None:
    node = broken(NODE, ("replica.fetch.max.bytes",), GONE)
    stack = [config_map({"server.properties": node}, name="kafka"), topic()]
    assert said("kafka-records-fit", stack) == [
        'ConfigMap ns/kafka, server.properties: "replica.fetch.max.bytes": copies are fetched in pieces smaller than a '
        "record of 4194304 bytes: replica.fetch.max.bytes is not set, which is 1048576 | set it to at least 4194304"
    ]


def test_exporters_write_what_topics_take() -> None:
    large = broken(GATEWAY, ("exporters", "kafka/metrics", "producer", "max_message_bytes"), 8388608)
    assert said("kafka-records-fit", _swapped("door", large)) == [
        'ConfigMap ns/door, config.yaml: exporters."kafka/metrics".producer.max_message_bytes: exporter kafka/metrics '
        "writes records that numbers refuses: max_message_bytes is 8388608 | set it to at most 4194304"
    ]


@pytest.mark.parametrize(
    ("memory", "fetch", "fits"),
    [
        ("384Mi", 524288, True),
        ("384Mi", 2097152, False),
        ("3Gi", 2097152, True),
        ("384Mi", GONE, True),
        ("128Mi", GONE, False),
    ],
)
def test_a_backlog_fits_the_memory(memory: str, fetch: object, fits: bool) -> None:
    reader = workload(_COMMAND, mounts=_CONFIG, memory=memory)
    config = broken(CONSUMER, ("receivers", "kafka", "max_fetch_size"), fetch)
    assert (said("kafka-backlog-fits-memory", [reader, config_map({"config.yaml": config})]) == []) is fits


def test_a_fetch_that_is_too_large_is_named_with_what_fits() -> None:
    reader = workload(_COMMAND, mounts=_CONFIG, memory="384Mi")
    assert said("kafka-backlog-fits-memory", [reader, config_map({"config.yaml": CONSUMER})]) == [
        "ConfigMap ns/files, config.yaml: receivers.kafka.max_fetch_size: a backlog fills the memory of StatefulSet "
        "ns/server: max_fetch_size is 2097152 | set it to at most 1597830"
    ]


def test_what_only_hands_records_over_refuses_nothing() -> None:
    records = broken(CONSUMER, ("exporters",), {"otlprecords/store": {"endpoint": "https://store:9090/v1/metrics"}})
    path = {"receivers": ["kafka"], "exporters": ["otlprecords/store"]}
    consumer = broken(records, ("service", "pipelines"), {"logs/kafka": path})
    assert said("collector-memory-limit", config_map({"config.yaml": consumer})) == []
    limited = broken(consumer, ("service", "pipelines", "logs/kafka", "processors"), ["memory_limiter"])
    assert said("collector-memory-limit", config_map({"config.yaml": limited})) == [
        'ConfigMap ns/files, config.yaml: service.pipelines."logs/kafka".processors: pipeline logs/kafka refuses what '
        "its receiver holds all the same: a backlog stands still | remove memory_limiter; max_fetch_size is the limit"
    ]


def test_a_queue_on_a_claim_is_passed() -> None:
    server = workload(_COMMAND, mounts=_CONFIG, claims={"/queue": ("queue", "1Gi")})
    assert said("collector-queue-on-volume", [server, config_map({"config.yaml": GATEWAY})]) == []


@pytest.mark.parametrize("mounts", [_CONFIG, {**_CONFIG, "/queue": {"emptyDir": {}}}])
def test_a_queue_that_goes_with_the_pod_is_noticed(mounts: dict[str, Any]) -> None:
    server = workload(_COMMAND, mounts=mounts)
    assert said("collector-queue-on-volume", [server, config_map({"config.yaml": GATEWAY})]) == [
        "StatefulSet ns/server, spec.template.spec.containers[0].volumeMounts: the queue file_storage/queue is in "
        "/queue/records, which is gone with the pod | mount a volume from a claim there"
    ]


def test_the_disk_for_outages_of_kafka_is_on_a_claim() -> None:
    files = config_map({"config.yaml": DOOR})
    kept = workload(_COMMAND, mounts=_CONFIG, claims={"/queue": ("queue", "1Gi")})
    assert said("collector-queue-on-volume", [kept, files]) == []
    assert said("collector-queue-on-volume", [workload(_COMMAND, mounts=_CONFIG), files]) == [
        "StatefulSet ns/server, spec.template.spec.containers[0].volumeMounts: the queue file_storage/queue is in "
        "/queue/records, which is gone with the pod | mount a volume from a claim there"
    ]


def test_our_exporter_writes_what_topics_take() -> None:
    large = broken(DOOR, ("exporters", "kafkabuckets/metrics", "max_message_bytes"), 8388608)
    assert said("kafka-records-fit", _swapped("door", DOOR)) == []
    assert said("kafka-records-fit", _swapped("door", large)) == [
        'ConfigMap ns/door, config.yaml: exporters."kafkabuckets/metrics".max_message_bytes: exporter '
        "kafkabuckets/metrics writes records that numbers refuses: max_message_bytes is 8388608 "
        "| set it to at most 4194304"
    ]


def test_an_exporter_that_answers_for_each_record_needs_no_queue_and_no_retries() -> None:
    records = broken(CONSUMER, ("exporters",), {"otlprecords/store": {"endpoint": "https://store:9090/v1/metrics"}})
    path = {"receivers": ["kafka"], "processors": ["memory_limiter"], "exporters": ["otlprecords/store"]}
    consumer = broken(records, ("service", "pipelines"), {"logs/kafka": path})
    for rule in ("collector-no-early-answer", "collector-endless-retries", "collector-marks-after-delivery"):
        assert said(rule, config_map({"config.yaml": consumer})) == []
    early = broken(consumer, ("service", "pipelines", "logs/kafka", "processors"), [*path["processors"], "batch"])
    assert len(said("collector-no-early-answer", config_map({"config.yaml": early}))) == 1
    final = broken(consumer, ("receivers", "kafka", "error_backoff", "max_elapsed_time"), "5m")
    assert len(said("collector-marks-after-delivery", config_map({"config.yaml": final}))) == 1


def test_a_sampler_of_traces_may_hold_them_back() -> None:
    processors = ["memory_limiter", "tail_sampling"]
    spans = {**CONSUMER["service"]["pipelines"]["metrics/store"], "processors": processors}
    sampler = broken(CONSUMER, ("service", "pipelines"), {"traces/store": spans})
    assert said("collector-no-early-answer", config_map({"config.yaml": sampler})) == []


def test_pipelines_behind_a_connector_that_makes_new_telemetry_carry_nothing() -> None:
    counted = broken(
        GATEWAY,
        ("service", "pipelines", "metrics/counted"),
        {"receivers": ["spanmetrics"], "processors": ["batch"], "exporters": ["prometheus/own"]},
    )
    assert said("collector-no-early-answer", config_map({"config.yaml": counted})) == []


def test_an_exporter_whose_sender_hears_of_failures_may_give_up() -> None:
    queue = {"enabled": True, "wait_for_result": True}
    exporter = {"endpoint": "far:4317", "sending_queue": queue, "retry_on_failure": {"max_elapsed_time": "60s"}}
    relay = broken(GATEWAY, ("exporters",), {"otlp/far": exporter})
    out = {"receivers": ["routing/metrics"], "exporters": ["otlp/far"]}
    relay = broken(relay, ("service", "pipelines", "metrics/out"), out)
    assert said("collector-endless-retries", config_map({"config.yaml": relay})) == []
    late = broken(relay, ("exporters", "otlp/far", "sending_queue", "wait_for_result"), False)
    assert said("collector-endless-retries", config_map({"config.yaml": late})) == [
        'ConfigMap ns/files, config.yaml: exporters."otlp/far".retry_on_failure.max_elapsed_time: exporter otlp/far: '
        "retry_on_failure gives up, and what it holds is lost: max_elapsed_time is 60s | set max_elapsed_time to 0"
    ]
