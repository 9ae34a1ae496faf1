"""Scenarios of Kafka's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

MIN_INSYNC_REPLICAS = 2
VOLUME_BYTES = 1000

_OFFLINE = 'kafka_controller_kafkacontroller_offlinepartitionscount{job="kafka",instance="kafka-0"}'
_UNDER_MIN = 'kafka_server_replicamanager_underminisrpartitioncount{job="kafka",instance="kafka-0"}'
_UNDER = 'kafka_server_replicamanager_underreplicatedpartitions{job="kafka",instance="kafka-0"}'
_VOTER = 'kafka_controller_kafkacontroller_activecontrollercount{job="kafka-controller",instance="kafka-controller-%d"}'
_FOLLOWS = 'kafka_server_raft_current_leader{job="kafka-controller",instance="kafka-controller-%d"}'
_QUORUM = {
    'up{job="kafka",instance="kafka-0"}': "1x50",
    'kafka_server_raft_number_of_voters{job="kafka",instance="kafka-0"}': "3x50",
    'kafka_server_raft_current_leader{job="kafka",instance="kafka-0"}': "1000x50",
}
_UP = 'up{job="kafka",instance="kafka-%d"}'
_LOGINS = (
    'kafka_server_authentications_total{job="kafka",instance="kafka-0",listener="CLIENT",processor="%d",result="%s"}'
)
_IMBALANCE = 'kafka_controller_kafkacontroller_preferredreplicaimbalancecount{job="kafka",instance="kafka-0"}'
_PARTITIONS = 'kafka_controller_kafkacontroller_globalpartitioncount{job="kafka",instance="kafka-0"}'
_DELAY = 'kafka_server_quota_throttle_milliseconds{job="kafka",instance="kafka-0",user="%s",quota="%s"}'
_SIZE = 'kafka_log_size_bytes{job="kafka",instance="kafka-0",topic="telemetry-metrics",partition="%d"}'
_BROKER = {"job": "kafka", "instance": "kafka-0"}
_GROUP = 'job="kafka-lag",consumergroup="metrics-consumer-primary"'
_LAG = f'kafka_consumergroup_lag{{{_GROUP},topic="telemetry-metrics",partition="0"}}'
_MEMBERS = f"kafka_consumergroup_members{{{_GROUP}}}"
_SUCCESS = 'kafka_lag_last_success_timestamp_seconds{job="kafka-lag",instance="i"}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="KafkaOfflinePartitions",
        bad={_OFFLINE: "0x9 1x40"},
        good={_OFFLINE: "0x50"},
        silent_at="4m45s",
        firing_at="5m",
    ),
    Scenario(
        alert="KafkaUnderMinIsr",
        bad={_UNDER_MIN: "0x9 1x40"},
        good={_UNDER_MIN: "0x50", _UNDER: "0x9 1x40"},
        silent_at="4m45s",
        firing_at="5m",
    ),
    Scenario(
        alert="KafkaTooFewBrokers",
        bad={_UP % 0: "1x50", _UP % 1: "1x9 0x40", _UP % 2: "1x9 0x40"},
        good={_UP % 0: "1x50", _UP % 1: "1x50", _UP % 2: "1x9 0x40"},
        silent_at="5m",
        firing_at="5m15s",
        labels={"job": "kafka"},
    ),
    # Pods whose names are gone.
    Scenario(
        alert="KafkaTooFewBrokers",
        bad={_UP % 0: "1x9 stale", _UP % 1: "1x9 stale", 'up{job="gateway",instance="gateway-0"}': "1x50"},
        good={_UP % 0: "1x50", _UP % 1: "1x50"},
        silent_at="5m",
        firing_at="5m15s",
        labels={"job": "kafka"},
    ),
    # A Prometheus that has just started waits until it knows its targets.
    Scenario(
        alert="KafkaTooFewBrokers",
        bad={_UP % 0: "1x50"},
        good={_UP % 0: "1x50", _UP % 1: "_ 1x50"},
        silent_at="1m",
        firing_at="1m15s",
        labels={"job": "kafka"},
    ),
    Scenario(
        # Two of three are gone. Who is left, voter or not, goes on naming the leader that was.
        alert="KafkaControllerCount",
        bad={**_QUORUM, _VOTER % 0: "1x9 stale", _VOTER % 1: "0x9 stale", _VOTER % 2: "0x50"},
        good={**_QUORUM, _VOTER % 0: "1x9 stale", _VOTER % 1: "0x50", _VOTER % 2: "0x50"},
        silent_at="5m15s",
        firing_at="5m30s",
    ),
    Scenario(
        alert="KafkaControllerCount",
        bad={**_QUORUM, _VOTER % 0: "1x9 stale", _VOTER % 1: "0x9 stale", _VOTER % 2: "0x9 stale"},
        good={**_QUORUM, _VOTER % 0: "1x9 stale", _VOTER % 1: "0x9 1x40", _VOTER % 2: "0x9 stale"},
        silent_at="5m15s",
        firing_at="5m30s",
    ),
    Scenario(
        # All answer, cut off from each other.
        alert="KafkaControllerCount",
        bad={**_QUORUM, _VOTER % 0: "1x9 0x40", _VOTER % 1: "0x50", _VOTER % 2: "0x50"},
        good={**_QUORUM, _VOTER % 0: "1x9 0x40", _VOTER % 1: "0x9 1x40", _VOTER % 2: "0x50"},
        silent_at="5m15s",
        firing_at="5m30s",
    ),
    Scenario(
        alert="KafkaControllerCount",
        bad={**_QUORUM, _VOTER % 0: "1x50", _VOTER % 1: "0x9 1x40", _VOTER % 2: "0x50"},
        good={**_QUORUM, _VOTER % 0: "1x9 0x40", _VOTER % 1: "0x9 1x40", _VOTER % 2: "0x50"},
        silent_at="5m15s",
        firing_at="5m30s",
    ),
    Scenario(
        # The active one is not scraped: the two that are know nobody, or follow it.
        alert="KafkaControllerCount",
        bad={**_QUORUM, _VOTER % 1: "0x50", _VOTER % 2: "0x50", _FOLLOWS % 1: "1000x9 -1x40"},
        good={**_QUORUM, _VOTER % 1: "0x50", _VOTER % 2: "0x50", _FOLLOWS % 1: "1000x50", _FOLLOWS % 2: "-1x50"},
        silent_at="5m15s",
        firing_at="5m30s",
    ),
    Scenario(
        alert="KafkaUnderReplicated",
        bad={_UNDER: "0x9 1x40"},
        good={_UNDER: "0x9 1x8 0x40"},
        silent_at="9m30s",
        firing_at="10m30s",
    ),
    Scenario(
        alert="KafkaBrokerDown",
        bad={_UP % 1: "1x9 0x40"},
        good={_UP % 1: "1x9 0 1x40", 'up{job="other",instance="o"}': "0x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "kafka", "instance": "kafka-1"},
    ),
    Scenario(
        alert="KafkaLoginsFail",
        bad={_LOGINS % (0, "failed"): "0x9 0+4x60", _LOGINS % (1, "failed"): "0x9 0+5x60"},
        good={_LOGINS % (0, "failed"): "0x9 0+5x60", _LOGINS % (0, "successful"): "0+300x70"},
        silent_at="12m",
        firing_at="14m",
        labels={"job": "kafka", "listener": "CLIENT"},
    ),
    Scenario(
        alert="KafkaUserThrottled",
        bad={_DELAY % ("archive", "Fetch"): "_x10 250x60", _DELAY % ("gateway", "Produce"): "0x70"},
        # A reader that has caught up after eight minutes, and a login that is not delayed.
        good={_DELAY % ("archive", "Fetch"): "_x10 250x16 0x40", _DELAY % ("gateway", "Produce"): "0x70"},
        silent_at="14m30s",
        firing_at="16m",
        labels={"job": "kafka", "user": "archive", "quota": "Fetch"},
    ),
    Scenario(
        alert="KafkaLeadersUneven",
        bad={_IMBALANCE: "0x9 21x60", _PARTITIONS: "100x70"},
        good={_IMBALANCE: "0x9 20x60", _PARTITIONS: "100x70"},
        silent_at="39m30s",
        firing_at="40m15s",
        interval="1m",
    ),
    Scenario(
        alert="KafkaDiskFilling",
        bad={_SIZE % 0: "700x9 740x40", _SIZE % 1: "20x50"},
        good={_SIZE % 0: "700x9 720x40", _SIZE % 1: "20x50"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_BROKER,
    ),
    Scenario(
        alert="KafkaDiskFull",
        bad={_SIZE % 0: "700x9 890x40", _SIZE % 1: "20x50"},
        good={_SIZE % 0: "700x9 870x40", _SIZE % 1: "20x50"},
        silent_at="5m",
        firing_at="5m30s",
        labels=_BROKER,
    ),
    Scenario(
        alert="KafkaConsumerLag",
        bad={_LAG: "0x9 6000x60"},
        # In 20 minutes it has caught up.
        good={_LAG: "0x9 26000-650x40 0x20"},
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"consumergroup": "metrics-consumer-primary", "topic": "telemetry-metrics"},
    ),
    # A lag that stands still wavers.
    Scenario(
        alert="KafkaConsumerLag",
        bad={_LAG: "0x9 " + " ".join(str(500_000 + wavers) for wavers in (9000, 4000, -2000, -7000, 1000) * 12)},
        good={_LAG: "0x9 500000-25000x20 0x40"},
        silent_at="9m30s",
        firing_at="39m",
        labels={"consumergroup": "metrics-consumer-primary", "topic": "telemetry-metrics"},
    ),
    Scenario(
        alert="KafkaConsumerGone",
        bad={_MEMBERS: "1x9 0x40"},
        good={_MEMBERS: "1x9 0x2 1x40"},
        silent_at="6m15s",
        firing_at="6m30s",
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
