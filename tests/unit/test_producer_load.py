"""The direct producer of the drills: what a broker refused is not what the client gave up itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from confluent_kafka import KafkaError

from ops.core.context import Context
from ops.drills.tools.load import ProducerLoad


def producer(retries: int | None = None) -> ProducerLoad:
    login = SimpleNamespace(pair=("user", "password"))
    platform = SimpleNamespace(kafka_bootstrap="127.0.0.1:1", ca_certificate="", kafka_admin=login)
    return ProducerLoad(cast(Context, SimpleNamespace(platform=platform)), "topic", retries=retries)


def test_answers_of_brokers_and_the_clients_own_time_outs_are_counted_apart() -> None:
    load = producer()
    for number, code in enumerate(
        (
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError._MSG_TIMED_OUT,
            KafkaError._TRANSPORT,
        )
    ):
        load._noted((0, number))(KafkaError(code), None)
    load._noted((0, 9))(None, None)
    assert load.refusals == {"NOT_ENOUGH_REPLICAS": 2, "REQUEST_TIMED_OUT": 1}
    assert load.timeouts == {"MSG_TIMED_OUT": 1, "TRANSPORT": 1}
    assert load.ledger.given_up == {(0, number) for number in range(5)}
    assert set(load.ledger.acknowledged) == {(0, 9)}


def test_a_client_that_does_not_try_again_shows_what_a_broker_answered() -> None:
    assert producer(retries=0)._settings["retries"] == 0
    assert "retries" not in producer()._settings
