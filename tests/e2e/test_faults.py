"""Faults under load: nothing that was acknowledged is lost (K1, O1, O5, P1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS
from ops.core.kube import wait_until
from tests.e2e import durations
from tests.support.faults import Ticker, kill, scaled
from tests.support.load import TOPIC, OtlpLoad, ProducerLoad
from tests.support.results import recorded
from tests.support.returning import Returning
from tests.support.sequences import gaps

BROKERS = 3
MIN_IN_SYNC = 2


@pytest.fixture
def scratch_topic(settled: Context) -> Iterator[str]:
    """A topic with the platform's guarantees for direct producers, which no consumer of the platform reads."""
    name = f"e2e-{time.time_ns() // 1_000_000}"
    topic = ADMIN.NewTopic(
        name, num_partitions=6, replication_factor=BROKERS, config={"min.insync.replicas": str(MIN_IN_SYNC)}
    )
    client = settled.kafka.client
    client.create_topics([topic])[name].result(timeout=TIMEOUT_SECONDS)
    wait_until(lambda: name in settled.kafka.topics(), 30, f"topic {name}")
    yield name
    client.delete_topics([name])[name].result(timeout=TIMEOUT_SECONDS)


def account(figures: dict[str, Any], label: str, load: OtlpLoad | ProducerLoad, missing: int) -> None:
    """Note what a load sent and what is missing."""
    figures[f"{label} acknowledged"] = len(load.ledger.acknowledged)
    figures[f"{label} missing"] = missing
    figures[f"{label} retries"] = load.ledger.retries


@pytest.mark.timeout(420)
def test_a_gateway_killed_under_load_loses_nothing(settled: Context) -> None:
    with recorded("gateway-killed", settled.kube) as figures:
        start = settled.kafka.end_offsets(TOPIC)
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            victim = settled.kube.ready_pod("gateway")
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            load.run_for(durations.AFTER_FAULT)
        figures["back after s"] = returning.after()
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        account(figures, "gateway", load, len(missing))
        assert load.ledger.acknowledged
        assert missing == set()


@pytest.mark.timeout(420)
def test_a_consumer_killed_under_load_loses_nothing(settled: Context) -> None:
    replica = settled.platform.prometheus_replicas[0]
    with recorded("consumer-killed", settled.kube) as figures:
        began = time.time()
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            victim = settled.kube.ready_pod(f"metrics-consumer-{replica}")
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            load.run_for(durations.AFTER_FAULT)
            figures["back after s"] = returning.after()
        stopped = time.time()
        window = int(time.time() - began + durations.ARRIVAL + 60)
        arrived = load.in_prometheus(settled.prometheus(replica), window, durations.ARRIVAL)
        missing = load.ledger.missing(arrived)
        account(figures, f"prometheus-{replica}", load, len(missing))
        figures["caught up after s"] = round(time.time() - stopped, 1)
        assert load.ledger.acknowledged
        assert missing == set()


@pytest.mark.timeout(420)
def test_a_broker_killed_under_load_loses_nothing(settled: Context, scratch_topic: str) -> None:
    with recorded("broker-killed", settled.kube) as figures:
        start = settled.kafka.end_offsets(TOPIC)
        with OtlpLoad(settled) as load, ProducerLoad(settled, scratch_topic, timeout=60) as direct:
            load.run_for(durations.WARM_UP)
            victim = settled.kube.pods("kafka")[-1]
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            killed = time.time()
            load.run_for(durations.AFTER_FAULT)
        figures["longest pause of a producer s"] = round(direct.ledger.longest_gap(killed, time.time()), 1)
        figures["broker back after s"] = returning.after()
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
        account(figures, "gateway", load, len(missing))
        account(figures, "producer", direct, len(lost))
        assert load.ledger.acknowledged
        assert direct.ledger.acknowledged
        assert (missing, lost) == (set(), set())


@pytest.mark.timeout(600)
def test_two_brokers_killed_stop_producers_and_lose_nothing(settled: Context, scratch_topic: str) -> None:
    with recorded("two-brokers-killed", settled.kube) as figures:
        start = settled.kafka.end_offsets(TOPIC)
        direct = ProducerLoad(settled, scratch_topic, timeout=10, retries=0)
        with OtlpLoad(settled, give_up_after=240) as load, direct:
            load.run_for(durations.WARM_UP)
            victims = settled.kube.pods("kafka")[1:]
            # Scaled down first, so that nobody starts the two again; killed at once, so that they hand over nothing.
            with scaled(settled.kube, "kafka", BROKERS - len(victims), BROKERS):
                figures["how"] = ", ".join(kill(settled.kube, pod) for pod in victims)
                killed = time.time()
                load.run_for(durations.TWO_BROKERS_DOWN)
                refused_from, refused_to = killed + durations.NOTIFICATION, time.time()
            figures["down s"] = durations.TWO_BROKERS_DOWN
            figures["brokers back after s"] = round(settled.kube.wait_ready("kafka", BROKERS, durations.READY), 1)
            back = time.time()
            load.run_for(10)
        accepted = direct.ledger.count_between(refused_from, refused_to)
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
        account(figures, "gateway", load, len(missing))
        account(figures, "producer", direct, len(lost))
        figures["accepted with two brokers down"] = accepted
        figures["not accepted"] = len(direct.ledger.given_up)
        figures["refused by brokers"] = dict(direct.refusals)
        figures["given up by the client"] = dict(direct.timeouts)
        assert accepted == 0
        assert direct.ledger.given_up, "every record of the producer was accepted"
        assert direct.ledger.count_between(back, time.time()), "producers did not recover"
        assert (missing, lost) == (set(), set())


@pytest.mark.timeout(600 + int(durations.KAFKA_OUTAGE))
def test_the_gateway_keeps_accepting_while_kafka_is_gone(settled: Context) -> None:
    with recorded("kafka-outage", settled.kube) as figures:
        start = settled.kafka.end_offsets(TOPIC)
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            with scaled(settled.kube, "kafka", 0, BROKERS):
                figures["how"] = ", ".join(kill(settled.kube, pod) for pod in settled.kube.pods("kafka"))
                gone = time.time()
                load.run_for(durations.KAFKA_OUTAGE)
                accepted = load.ledger.count_between(gone, time.time())
            figures["outage s"] = durations.KAFKA_OUTAGE
            figures["accepted during the outage"] = accepted
        figures["brokers back after s"] = round(settled.kube.wait_ready("kafka", BROKERS, durations.READY), 1)
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        account(figures, "gateway", load, len(missing))
        assert accepted > 0
        assert missing == set()


@pytest.mark.timeout(600 + int(durations.PRIMARY_DOWN))
def test_readers_never_notice_that_the_primary_is_down_and_it_catches_up(settled: Context) -> None:
    primary = settled.platform.prometheus_replicas[0]
    workload = f"prometheus-{primary}"
    began = time.time()
    with recorded("prometheus-primary-down", settled.kube) as figures:
        with Ticker(settled, f"{int(began)}", settled.thanos) as ticker:
            wait_until(lambda: ticker.queries > 3, 60, "the marker at Thanos Query")
            with scaled(settled.kube, workload, 0, 1):
                wait_until(lambda: not settled.kube.pods(workload), 60, f"{workload} to be gone")
                time.sleep(durations.PRIMARY_DOWN)
            figures["down s"] = durations.PRIMARY_DOWN
            figures["primary back after s"] = round(settled.kube.wait_ready(workload, 1, durations.READY), 1)
            time.sleep(10)
        figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
        query = settled.prometheus(primary)

        def held() -> set[int]:
            window = int(time.time() - began + 60)
            return {int(value) for series in query.raw(ticker.selector, window).values() for _, value in series}

        caught_up = wait_until(lambda: ticker.sent <= held(), durations.ARRIVAL, f"{workload} to catch up", 2.0)
        figures["caught up after s"] = round(caught_up, 1)
        figures["markers"], figures["missing"] = len(ticker.sent), len(ticker.sent - held())
        # The sender may skip a second when a request takes longer, but then nobody has that second.
        figures["gaps"] = len(set(gaps(held(), 1.5)) - set(gaps(ticker.sent, 1.5)))
        assert ticker.failed == []
        assert figures["gaps"] == 0


@pytest.mark.timeout(900)
def test_a_rolling_restart_of_kafka_never_goes_below_min_isr(settled: Context, scratch_topic: str) -> None:
    kube, kafka = settled.kube, settled.kafka
    lowest, polls = BROKERS, 0
    with recorded("kafka-rolling-restart", kube) as figures:
        start = kafka.end_offsets(TOPIC)
        began = time.monotonic()
        with OtlpLoad(settled) as load, ProducerLoad(settled, scratch_topic, timeout=60) as direct:
            kube.restart("kafka", datetime.now(UTC).isoformat())
            while not kube.rolled("kafka"):
                assert time.monotonic() - began < 600, "the rolling restart takes more than 600 s"
                try:
                    states = kafka.topics()
                except OpsError:
                    continue
                polls += 1
                lowest = min(lowest, *(min(states[name].in_sync) for name in (*_names(settled), scratch_topic)))
                time.sleep(0.5)
            figures["seconds"] = round(time.monotonic() - began, 1)
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
        account(figures, "gateway", load, len(missing))
        account(figures, "producer", direct, len(lost))
        figures["lowest ISR"], figures["polls"] = lowest, polls
        assert polls > 10
        assert lowest >= MIN_IN_SYNC
        assert (missing, lost) == (set(), set())


def _names(context: Context) -> list[str]:
    return list(context.platform.topics)
