"""What the exporter makes of the brokers' answers, and what it reports when some of them are missing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from services.kafka_lag.brokers import Brokers
from services.kafka_lag.exporter import PollLoop, main
from services.kafka_lag.metrics import LagMetrics
from services.kafka_lag.model import Snapshot
from services.kafka_lag.settings import Settings, parse
from services.kafka_lag.snapshot import poll
from tests.unit.services.brokers_fake import BrokersFake
from tests.unit.services.test_kafka_lag_settings import content


@pytest.fixture
def brokers() -> BrokersFake:
    return BrokersFake()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "ca").write_text("CA")
    (tmp_path / "password").write_text("hunter2\n")
    return parse(
        content(groups=["reader"], ca_file=str(tmp_path / "ca"), password_file=str(tmp_path / "password"), interval_s=1)
    )


@pytest.fixture
def metrics() -> LagMetrics:
    return LagMetrics(1)


@pytest.fixture
def loop(settings: Settings, metrics: LagMetrics, brokers: BrokersFake) -> PollLoop:
    return PollLoop(settings.interval_s, metrics, Brokers(settings, brokers.connect).poll)


def served(metrics: LagMetrics) -> str:
    return generate_latest(metrics.registry).decode()


def never(stage: str, reason: str) -> None:
    raise AssertionError(f"{stage} failed: {reason}")


def test_lag_is_the_end_of_the_log_minus_the_commit() -> None:
    snapshot = Snapshot(end_offsets={("t", 0): 10}, committed={("g", "t", 0): 4})
    assert snapshot.lags() == {("g", "t", 0): 6}


def test_lag_is_never_negative_when_the_commit_is_newer_than_the_end_read_before() -> None:
    assert Snapshot(end_offsets={("t", 0): 10}, committed={("g", "t", 0): 12}).lags() == {("g", "t", 0): 0}


def test_without_the_end_of_the_log_there_is_no_lag_rather_than_a_wrong_one() -> None:
    assert Snapshot(committed={("g", "t", 0): 4}).lags() == {}


def test_only_chosen_groups_and_topics_and_real_commits_are_read(brokers: BrokersFake, settings: Settings) -> None:
    snapshot = poll(brokers, settings.groups, settings.topics, never)
    assert snapshot.lags() == {("reader", "telemetry-logs", 0): 10}
    assert snapshot.members == {"reader": 2}
    assert list(snapshot.topics) == ["telemetry-logs"]


def test_groups_can_be_found_by_a_pattern(brokers: BrokersFake) -> None:
    chosen = parse(content(groups="str.*"))
    assert list(poll(brokers, chosen.groups, chosen.topics, never).members) == ["stranger"]


def test_replicas_are_summed_up_by_topic(brokers: BrokersFake, settings: Settings) -> None:
    state = poll(brokers, settings.groups, settings.topics, never).topics["telemetry-logs"]
    assert (state.partitions, state.under_replicated, state.in_sync_min, state.replicas) == (2, 1, 1, 3)


def test_a_partition_without_leader_is_counted(brokers: BrokersFake, settings: Settings) -> None:
    brokers.isrs["telemetry-logs", 1] = []
    state = poll(brokers, settings.groups, settings.topics, never).topics["telemetry-logs"]
    assert (state.leaderless, state.in_sync_min) == (1, 0)


def test_a_collection_is_served_with_its_time(loop: PollLoop, metrics: LagMetrics) -> None:
    loop.once()
    text = served(metrics)
    assert 'kafka_consumergroup_lag{consumergroup="reader",partition="0",topic="telemetry-logs"} 10.0' in text
    assert 'kafka_consumergroup_members{consumergroup="reader"} 2.0' in text
    assert 'kafka_topic_partition_current_offset{partition="1",topic="telemetry-logs"} 50.0' in text
    assert 'kafka_topic_under_replicated_partitions{topic="telemetry-logs"} 1.0' in text
    assert 'kafka_topic_in_sync_replicas_min{topic="telemetry-logs"} 1.0' in text
    assert metrics.registry.get_sample_value("kafka_lag_last_success_timestamp_seconds")


def test_one_missing_part_is_counted_and_the_others_are_served(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers.broken = {"describe_consumer_groups"}
    loop.once()
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "group_members"}) == 1
    assert 'kafka_consumergroup_lag{consumergroup="reader"' in served(metrics)
    assert metrics.registry.get_sample_value("kafka_lag_last_success_timestamp_seconds") == 0
    assert "group_members: reader" in capsys.readouterr().err


def test_unreachable_brokers_are_told_once_and_so_is_their_return(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers.broken = {"list_topics"}
    loop.once()
    loop.once()
    brokers.broken = set()
    loop.once()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no broker answers" in lines[0]
    assert lines[1] == "kafka-lag: the brokers answer again"
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "brokers"}) == 2


def test_old_lag_is_not_served_for_ever(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.once()
    metrics._published_at -= 2.9
    assert "kafka_consumergroup_lag{" in served(metrics)
    metrics._published_at -= 0.2
    assert "kafka_consumergroup_lag{" not in served(metrics)


def test_the_client_is_kept_until_the_password_is_renewed(
    loop: PollLoop, settings: Settings, brokers: BrokersFake
) -> None:
    loop.once()
    loop.once()
    settings.password_file.write_text("renewed")
    loop.once()
    assert [configuration["sasl.password"] for configuration in brokers.configurations] == ["hunter2", "renewed"]
    assert brokers.configurations[0]["security.protocol"] == "sasl_ssl"


def test_a_missing_password_file_is_an_error_of_the_collection_and_not_the_end(
    loop: PollLoop, settings: Settings, metrics: LagMetrics
) -> None:
    settings.password_file.unlink()
    loop.once()
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "brokers"}) == 1


def test_no_password_is_served_or_told(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers.broken = {"list_topics"}
    loop.once()
    assert "hunter2" not in served(metrics) + capsys.readouterr().err


def test_the_loop_is_alive_while_it_turns_and_not_after_it_hung(loop: PollLoop) -> None:
    stop = threading.Event()
    turning = threading.Thread(target=loop.run, args=(stop,))
    turning.start()
    assert loop.alive()
    stop.set()
    turning.join(5)
    assert not turning.is_alive()
    loop._last_turn -= 100
    assert not loop.alive()


def test_a_mistake_in_the_settings_ends_the_program_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("{}")
    assert main(["--config", str(tmp_path / "c.yaml")]) == 2
    assert capsys.readouterr().err.startswith(f"kafka-lag: {tmp_path}/c.yaml: bootstrap is missing")
