"""How long telemetry is kept: what one broken setting alone does not show."""

from __future__ import annotations

import pytest

from tests.policy.data_dataplane import PROMETHEUS
from tests.policy.fixtures_dataplane import config_map, said, topic, workload

_FLAGS = ["--storage.tsdb.path=/data", "--storage.tsdb.retention.time=7d", "--storage.tsdb.retention.size=1GB"]
_WHERE = "StatefulSet ns/server, spec.template.spec.containers[0].command"


@pytest.mark.parametrize(
    ("name", "days"),
    [("telemetry-metrics", 30), ("telemetry-traces", 7), ("telemetry-logs", 14), ("alerts-raw", 30), ("audit", 400)],
)
def test_each_topic_of_the_platform_is_kept_for_as_long_as_agreed(name: str, days: int) -> None:
    enough = days * 86_400_000
    assert said("kafka-topic-retention", topic(name, config={"retention.ms": str(enough)})) == []
    assert said("kafka-topic-retention", topic(name, config={"retention.ms": str(enough - 1)})) == [
        f'Topic {name}, config."retention.ms": retention.ms is {enough - 1}, less than {enough} ({days} d)'
        f" | set it to at least {enough}"
    ]


def test_retention_can_be_agreed_on_per_topic() -> None:
    assert said("kafka-topic-retention", topic(), topic_days={"numbers": 60}) == [
        'Topic numbers, config."retention.ms": retention.ms is 2592000000, less than 5184000000 (60 d)'
        " | set it to at least 5184000000"
    ]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (_FLAGS, []),
        ([_FLAGS[0], _FLAGS[2]], []),
        (
            [_FLAGS[0], "--storage.tsdb.retention.time=1h", _FLAGS[2]],
            ["--storage.tsdb.retention.time is 1h, less than 7d | set it to at least 7d"],
        ),
        (
            [_FLAGS[0], "--storage.tsdb.retention.time=soon", _FLAGS[2]],
            ["--storage.tsdb.retention.time is soon, less than 7d | set it to at least 7d"],
        ),
        (
            _FLAGS[:2],
            [
                "--storage.tsdb.retention.size is not given, so the volume can fill up"
                " | set it below the size of the volume"
            ],
        ),
        (
            [*_FLAGS[:2], "--storage.tsdb.retention.size=2GB"],
            [
                "--storage.tsdb.retention.size is 2GB, more than 90 % of the volume of 2Gi"
                " | lower it or enlarge the volume"
            ],
        ),
    ],
)
def test_prometheus_keeps_metrics_and_room(flags: list[str], says: list[str]) -> None:
    server = workload(["/bin/prometheus", *flags], claims={"/data": ("data", "2Gi")})
    assert said("prometheus-retention", server) == [f"{_WHERE}: {line}" for line in says]


def test_a_retention_that_is_left_out_is_fifteen_days() -> None:
    server = workload(["/bin/prometheus", *_FLAGS[::2]], claims={"/data": ("data", "2Gi")})
    assert said("prometheus-retention", server, prometheus_days=30) == [
        f"{_WHERE}: --storage.tsdb.retention.time is not given, which is 15d, less than 30d | set it to at least 30d"
    ]


def test_a_prometheus_that_nothing_feeds_takes_no_late_samples() -> None:
    plain = {key: value for key, value in PROMETHEUS.items() if key not in ("otlp", "storage")}
    assert said("prometheus-late-samples", config_map({"prometheus.yml": plain})) == []
