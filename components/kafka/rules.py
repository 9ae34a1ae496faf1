"""Rules about Kafka: is every record safe, and does every consumer keep up?"""

from __future__ import annotations

from components.rules import Alert, Recording, RuleGroup, Severity

_LAG_STALE_S = 120

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="kafka",
        rules=(
            Alert(
                name="KafkaOfflinePartitions",
                expr='max(kafka_controller_kafkacontroller_offlinepartitionscount{job=~"kafka(-controller)?"}) > 0',
                hold="30s",
                severity=Severity.CRITICAL,
                summary="{{ $value }} partitions have no leader",
                description="Nothing can be written to them or read from them. Telemetry waits in the gateways.",
            ),
            Alert(
                name="KafkaUnderMinIsr",
                expr='sum(kafka_server_replicamanager_underminisrpartitioncount{job="kafka"}) > 0',
                hold="30s",
                severity=Severity.CRITICAL,
                summary="{{ $value }} partitions have fewer in-sync copies than a write needs",
                description="Producers are refused; one more lost disk loses records.",
            ),
            Alert(
                name="KafkaUnderReplicated",
                expr='sum(kafka_server_replicamanager_underreplicatedpartitions{job="kafka"}) > 0',
                hold="5m",
                severity=Severity.HIGH,
                summary="{{ $value }} partitions lack an in-sync copy",
                description="A broker is down or slow. One more failure stops writes.",
            ),
            Alert(
                name="KafkaControllerCount",
                expr='sum(kafka_controller_kafkacontroller_activecontrollercount{job=~"kafka(-controller)?"}) != 1',
                hold="1m",
                severity=Severity.CRITICAL,
                summary="Kafka has {{ $value }} active controllers instead of 1",
                description="Without one, no leader is elected and no topic or user changes; with two, they disagree.",
            ),
            Alert(
                name="KafkaBrokerDown",
                expr='up{job="kafka"} == 0',
                hold="1m",
                severity=Severity.HIGH,
                summary="Kafka broker {{ $labels.instance }} does not answer",
                description="Its metrics endpoint is gone: the broker has stopped, or Prometheus cannot reach it.",
            ),
        ),
    ),
    RuleGroup(
        name="kafka-lag",
        rules=(
            Recording(
                record="obs:consumer_lag:sum",
                expr='sum by (consumergroup, topic) (kafka_consumergroup_lag{job="kafka-lag"})',
            ),
            Alert(
                name="KafkaConsumerLag",
                expr="obs:consumer_lag:sum > 5000 and deriv(obs:consumer_lag:sum[5m]) > 0",
                hold="5m",
                severity=Severity.HIGH,
                summary="Group {{ $labels.consumergroup }} is {{ $value }} records behind in {{ $labels.topic }}",
                description="It is still falling behind. What it feeds shows old data; nothing is lost until the "
                "topic's retention runs out.",
            ),
            Alert(
                name="KafkaConsumerGone",
                expr='kafka_consumergroup_members{job="kafka-lag"} == 0',
                hold="3m",
                severity=Severity.HIGH,
                summary="Group {{ $labels.consumergroup }} has no consumer",
                description="Nothing reads on its behalf. What it feeds stands still.",
            ),
            Alert(
                name="KafkaLagUnknown",
                expr=f"time() - kafka_lag_last_success_timestamp_seconds > {_LAG_STALE_S} "
                'or absent(kafka_lag_last_success_timestamp_seconds{job="kafka-lag"})',
                hold="2m",
                severity=Severity.MEDIUM,
                summary="Consumer lag has not been measured for two minutes",
                description="The alerts on lag are blind until the exporter sees the brokers again.",
            ),
        ),
    ),
)
