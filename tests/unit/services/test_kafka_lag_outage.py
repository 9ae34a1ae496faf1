"""Brokers that are away for longer than a question waits, which aborts librdkafka 2.16.0: the exporter outlives it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.kafka_lag.child_process import ChildProcess
from services.kafka_lag.exporter import PollLoop
from services.kafka_lag.metrics import LagMetrics
from tests.config.servers import eventually
from tests.support.mock_brokers import MockBrokers, mock_brokers

BROKERS = 3
AWAY_S, BACK_S = 2.5, 1.5

_CHILD = """
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from confluent_kafka.admin import AdminClient
from services.kafka_lag import snapshot
from services.kafka_lag.child_process import answer
from services.kafka_lag.brokers import Brokers
from services.kafka_lag.settings import parse
from tests.unit.services.test_kafka_lag_settings import content

class Client(AdminClient):
    def describe_consumer_groups(self, *_, **__):
        return {}  # The mock brokers do not know this question.

def connect(settings):
    return Client({"bootstrap.servers": settings["bootstrap.servers"], "log_level": 0})

snapshot.REQUEST_S = 1.0
groups = [f"reader-{number}" for number in range(14)]
secret = sys.argv[2]
settings = parse(content(bootstrap=sys.argv[1], groups=groups, ca_file=secret, password_file=secret))
answer(Connection(int(sys.argv[3])), Brokers(settings, connect).poll)
"""


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers(BROKERS) as cluster:
        yield cluster


def test_an_outage_of_each_broker_in_turn_ends_polls_and_not_the_exporter(brokers: MockBrokers, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    process = ChildProcess((sys.executable, "-c", _CHILD, brokers.bootstrap, str(tmp_path / "secret")), limit_s=20)
    metrics = LagMetrics(1)
    loop = PollLoop(1, metrics, process.poll)

    def succeeded() -> float:
        loop.once()
        return metrics.registry.get_sample_value("kafka_lag_last_success_timestamp_seconds") or 0.0

    with closing(process):
        eventually(lambda: succeeded() > 0, 20, "a first poll")
        for broker in range(1, BROKERS + 1):
            brokers.stop(broker)
            polled_until(loop, AWAY_S)
            brokers.start(broker)
            polled_until(loop, BACK_S)
        back = time.time()
        eventually(lambda: succeeded() > back, 20, "a poll with all brokers")
        process.kill()


def polled_until(loop: PollLoop, seconds: float) -> None:
    """Poll again and again for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        loop.once()
        time.sleep(0.1)
