"""Scenarios of Kafka's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_OFFLINE = 'kafka_controller_kafkacontroller_offlinepartitionscount{job="kafka",instance="kafka-0"}'
_UNDER_MIN = 'kafka_server_replicamanager_underminisrpartitioncount{job="kafka",instance="kafka-0"}'
_UNDER = 'kafka_server_replicamanager_underreplicatedpartitions{job="kafka",instance="kafka-0"}'
_ACTIVE = 'kafka_controller_kafkacontroller_activecontrollercount{job="kafka",instance="kafka-%d"}'
_GROUP = 'job="kafka-lag",consumergroup="metrics-consumer-primary"'
_LAG = f'kafka_consumergroup_lag{{{_GROUP},topic="telemetry-metrics",partition="0"}}'
_MEMBERS = f"kafka_consumergroup_members{{{_GROUP}}}"
_SUCCESS = 'kafka_lag_last_success_timestamp_seconds{job="kafka-lag",instance="i"}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="KafkaOfflinePartitions",
        bad={_OFFLINE: "0x9 1x40"},
        good={_OFFLINE: "0x50"},
        silent_at="5m15s",
        firing_at="5m45s",
    ),
    Scenario(
        alert="KafkaUnderMinIsr",
        bad={_UNDER_MIN: "0x9 1x40"},
        good={_UNDER_MIN: "0x50"},
        silent_at="5m15s",
        firing_at="5m45s",
    ),
    Scenario(
        alert="KafkaUnderReplicated",
        bad={_UNDER: "0x9 1x40"},
        good={_UNDER: "0x9 1x8 0x40"},
        silent_at="9m30s",
        firing_at="10m30s",
    ),
    Scenario(
        alert="KafkaControllerCount",
        bad={_ACTIVE % 0: "1x9 0x40", _ACTIVE % 1: "0x50"},
        good={_ACTIVE % 0: "1x9 0x40", _ACTIVE % 1: "0x9 1x40"},
        silent_at="5m45s",
        firing_at="6m30s",
    ),
    Scenario(
        alert="KafkaBrokerDown",
        bad={'up{job="kafka",instance="kafka-1"}': "1x9 0x40"},
        good={'up{job="kafka",instance="kafka-1"}': "1x9 0 1x40", 'up{job="other",instance="o"}': "0x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "kafka", "instance": "kafka-1"},
    ),
    Scenario(
        alert="KafkaConsumerLag",
        bad={_LAG: "0x9 6000+100x60"},
        good={_LAG: "0x9 6000-10x60"},
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"consumergroup": "metrics-consumer-primary", "topic": "telemetry-metrics"},
    ),
    Scenario(
        alert="KafkaConsumerGone",
        bad={_MEMBERS: "1x9 0x40"},
        good={_MEMBERS: "1x9 0x4 1x40"},
        silent_at="7m30s",
        firing_at="8m30s",
        labels={"job": "kafka-lag", "consumergroup": "metrics-consumer-primary"},
    ),
    Scenario(
        alert="KafkaLagUnknown",
        bad={_SUCCESS: "0+30x10 300x60"},
        good={_SUCCESS: "0+30x70"},
        silent_at="8m45s",
        firing_at="9m30s",
        labels={"job": "kafka-lag", "instance": "i"},
    ),
)
