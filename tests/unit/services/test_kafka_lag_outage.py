"""Brokers that are away for longer than a question waits, which aborts librdkafka 2.16.0: the exporter outlives it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.kafka_lag.asking import Asking
from services.kafka_lag.exporter import Watch
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
from services.kafka_lag import reading
from services.kafka_lag.asking import answer
from services.kafka_lag.brokers import Brokers
from services.kafka_lag.settings import parse
from tests.unit.services.test_kafka_lag_settings import content

class Client(AdminClient):
    def describe_consumer_groups(self, *_, **__):
        return {}  # The mock brokers do not know this question.

def connect(settings):
    return Client({"bootstrap.servers": settings["bootstrap.servers"], "log_level": 0})

reading.REQUEST_S = 1.0
groups = [f"reader-{number}" for number in range(14)]
secret = sys.argv[2]
settings = parse(content(bootstrap=sys.argv[1], groups=groups, ca_file=secret, password_file=secret))
answer(Connection(int(sys.argv[3])), Brokers(settings, connect).look)
"""


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers(BROKERS) as found:
        yield found


def test_an_outage_of_each_broker_in_turn_ends_looks_and_not_the_exporter(brokers: MockBrokers, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    asking = Asking((sys.executable, "-c", _CHILD, brokers.bootstrap, str(tmp_path / "secret")), limit_s=20)
    metrics = LagMetrics(1)
    watch = Watch(1, metrics, asking.look)

    def succeeded() -> float:
        watch.once()
        return metrics.registry.get_sample_value("kafka_lag_last_success_timestamp_seconds") or 0.0

    with closing(asking):
        eventually(lambda: succeeded() > 0, 20, "a first look")
        for broker in range(1, BROKERS + 1):
            brokers.stop(broker)
            looked_until(watch, AWAY_S)
            brokers.start(broker)
            looked_until(watch, BACK_S)
        back = time.time()
        eventually(lambda: succeeded() > back, 20, "a look with all brokers")
        asking.kill()


def looked_until(watch: Watch, seconds: float) -> None:
    """Look again and again for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.once()
        time.sleep(0.1)
