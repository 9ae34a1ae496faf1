"""What the exporter makes of the brokers' answers, and what it reports when some of them are missing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from services.kafka_lag import KafkaLagSettings
from services.kafka_lag import __main__ as lag_brokers
from services.kafka_lag.__main__ import Brokers, LagMetrics, PollLoop, Snapshot, main, poll
from tests.unit.services.brokers_fake import BrokersFake
from tests.unit.services.test_kafka_lag_settings import content


@pytest.fixture
def brokers() -> BrokersFake:
    return BrokersFake()


@pytest.fixture
def settings(tmp_path: Path) -> KafkaLagSettings:
    (tmp_path / "ca").write_text("CA")
    (tmp_path / "password").write_text("hunter2\n")
    return KafkaLagSettings.parse(
        content(groups=["reader"], ca_file=str(tmp_path / "ca"), password_file=str(tmp_path / "password"), interval_s=1)
    )


@pytest.fixture
def metrics() -> LagMetrics:
    return LagMetrics(1)


@pytest.fixture
def loop(settings: KafkaLagSettings, metrics: LagMetrics, brokers: BrokersFake) -> PollLoop:
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


def test_only_chosen_groups_and_topics_and_real_commits_are_read(
    brokers: BrokersFake, settings: KafkaLagSettings
) -> None:
    snapshot = poll(brokers, settings.groups, settings.topics, never)
    assert snapshot.lags() == {("reader", "telemetry-logs", 0): 10}
    assert snapshot.members == {"reader": 2}
    assert list(snapshot.topics) == ["telemetry-logs"]


def test_groups_can_be_found_by_a_pattern(brokers: BrokersFake) -> None:
    chosen = KafkaLagSettings.parse(content(groups="str.*"))
    assert list(poll(brokers, chosen.groups, chosen.topics, never).members) == ["stranger"]


def test_replicas_are_summed_up_by_topic(brokers: BrokersFake, settings: KafkaLagSettings) -> None:
    state = poll(brokers, settings.groups, settings.topics, never).topics["telemetry-logs"]
    assert (state.partitions, state.under_replicated, state.in_sync_min, state.replicas) == (2, 1, 1, 3)


def test_a_partition_without_leader_is_counted(brokers: BrokersFake, settings: KafkaLagSettings) -> None:
    brokers.isrs["telemetry-logs", 1] = []
    failures: list[tuple[str, str]] = []
    snapshot = poll(brokers, settings.groups, settings.topics, lambda *failure: failures.append(failure))
    state = snapshot.topics["telemetry-logs"]
    assert (state.leaderless, state.in_sync_min) == (1, 0)
    assert failures == [("log_end_offsets", "telemetry-logs 1: no leader")]
    assert snapshot.end_offsets == {("telemetry-logs", 0): 100}


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
    brokers.broken = {"describe_groups"}
    loop.once()
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "group_members"}) == 1
    assert 'kafka_consumergroup_lag{consumergroup="reader"' in served(metrics)
    assert metrics.registry.get_sample_value("kafka_lag_last_success_timestamp_seconds") == 0
    assert "group_members: reader" in capsys.readouterr().err


def test_unreachable_brokers_are_told_once_and_so_is_their_return(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers.broken = {"describe_topics"}
    loop.once()
    loop.once()
    brokers.broken = set()
    loop.once()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no broker answers" in lines[0]
    assert lines[1] == "kafka-lag: the brokers answer again"
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "brokers"}) == 2


def test_after_a_failure_the_next_poll_has_a_new_client(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake
) -> None:
    """A client caches the coordinator of a group for ever."""
    brokers.broken = {"list_group_offsets"}
    loop.once()
    assert (len(brokers.configurations), brokers.closed) == (1, 1)
    brokers.broken = set()
    loop.once()
    loop.once()
    assert (len(brokers.configurations), brokers.closed) == (2, 1)
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "group_offsets"}) == 1


def test_an_answer_that_the_client_does_not_understand_is_one_failed_poll(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers.ends.clear()
    loop.once()
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "brokers"}) == 1
    assert "brokers: KeyError" in capsys.readouterr().err


def test_a_group_that_does_not_exist_has_no_members(brokers: BrokersFake) -> None:
    chosen = KafkaLagSettings.parse(content(groups=["nobody"]))
    snapshot = poll(brokers, chosen.groups, chosen.topics, never)
    assert (snapshot.members, snapshot.lags()) == ({"nobody": 0}, {})


def test_a_poll_that_takes_too_long_asks_no_more_and_says_so(
    loop: PollLoop, metrics: LagMetrics, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag_brokers, "POLL_S", -1.0)
    loop.once()
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "group_offsets"}) == 1
    assert "not asked, since the poll took longer than" in capsys.readouterr().err


def test_old_lag_is_not_served_for_ever(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.once()
    metrics._published_at -= 2.9
    assert "kafka_consumergroup_lag{" in served(metrics)
    metrics._published_at -= 0.2
    assert "kafka_consumergroup_lag{" not in served(metrics)


def test_the_client_is_kept_until_the_authority_is_renewed_and_the_password_as_long_as_the_process(
    loop: PollLoop, settings: KafkaLagSettings, brokers: BrokersFake
) -> None:
    loop.once()
    loop.once()
    settings.password_file.write_text("of another user")
    loop.once()
    assert len(brokers.configurations) == 1
    settings.ca_file.write_text("renewed")
    loop.once()
    assert [(seen["ca"], seen["password"]) for seen in brokers.configurations][1:] == [("renewed", "hunter2")]
    assert brokers.closed == 1


def test_a_missing_password_file_is_an_error_of_the_collection_and_not_the_end(
    loop: PollLoop, settings: KafkaLagSettings, metrics: LagMetrics
) -> None:
    settings.password_file.unlink()
    loop.once()
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": "brokers"}) == 1


def test_no_password_is_served_or_told(
    loop: PollLoop, metrics: LagMetrics, brokers: BrokersFake, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers.broken = {"describe_topics"}
    loop.once()
    assert "hunter2" not in served(metrics) + capsys.readouterr().err


def test_the_loop_is_alive_while_it_turns_and_not_after_it_hung(loop: PollLoop) -> None:
    stop = threading.Event()
    turning = threading.Thread(target=loop.run, args=(stop,))
    turning.start()
    assert loop.alive()
    stop.set()
    turning.join(60)
    assert not turning.is_alive()
    loop._last_turn -= 100
    assert not loop.alive()


def test_a_mistake_in_the_settings_ends_the_program_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("{}")
    assert main(["--config", str(tmp_path / "c.yaml")]) == 2
    assert capsys.readouterr().err.startswith(f"kafka-lag: {tmp_path}/c.yaml: listen is missing")
