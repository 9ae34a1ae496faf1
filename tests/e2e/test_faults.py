"""Faults under load: nothing that was acknowledged is lost (K1, O1, O5, P1)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("gateway")
def test_a_gateway_killed_under_load_loses_nothing(settled: Context) -> None:
    assert problems("gateway", settled) == []


@limit("gateway-drain")
def test_a_gateway_that_is_to_end_waits_for_kafka_and_leaves_nothing(settled: Context) -> None:
    assert problems("gateway-drain", settled) == []


@limit("consumer")
def test_a_consumer_killed_under_load_loses_nothing(settled: Context) -> None:
    assert problems("consumer", settled) == []


@limit("broker")
def test_a_broker_killed_under_load_loses_nothing(settled: Context) -> None:
    assert problems("broker", settled) == []


@limit("two-brokers")
def test_two_brokers_killed_stop_producers_and_lose_nothing(settled: Context) -> None:
    assert problems("two-brokers", settled) == []


@limit("kafka")
def test_the_gateway_keeps_accepting_while_kafka_is_gone(settled: Context) -> None:
    assert problems("kafka", settled) == []


@limit("prometheus")
def test_readers_never_notice_that_the_primary_is_down_and_it_catches_up(settled: Context) -> None:
    assert problems("prometheus", settled) == []


@limit("kafka-roll")
def test_a_rolling_restart_of_kafka_never_goes_below_min_isr(settled: Context) -> None:
    assert problems("kafka-roll", settled) == []


@limit("disk-full")
def test_a_full_disk_of_a_broker_is_told_and_loses_nothing(settled: Context) -> None:
    assert problems("disk-full", settled) == []


@limit("disk-slow")
def test_a_slow_disk_of_a_broker_loses_nothing_and_delays_no_critical_alert(settled: Context) -> None:
    assert problems("disk-slow", settled) == []


@limit("clock")
def test_what_a_client_with_a_wrong_clock_sends_is_kept(settled: Context) -> None:
    assert problems("clock", settled) == []
