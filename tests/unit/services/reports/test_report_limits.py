"""What is beyond its limit already is recommended first, from a real Prometheus, and what is cut is counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from services.reports.metrics import QueryRunner, make_runner
from services.reports.model import Kind, Paragraph, Table, period
from services.reports.recommendations import judge, section
from tests.unit.services.reports import harness
from tests.unit.services.reports.harness import DAY, HOUR, TOKYO, Gauge, Series, at

pytestmark = pytest.mark.timeout(120)
START = at("2026-11-23 00:00")
END = START + 4 * DAY


def disk(instance: str, first: float, per_day: float) -> Gauge:
    return Gauge(
        name="obs:kafka_disk_used:ratio",
        labels={"instance": instance},
        value=lambda time: first + per_day * (time - START) / DAY,
    )


SERIES: list[Series] = [
    Gauge(name="up", labels={"job": "kafka", "instance": "kafka-0"}, value=lambda _: 1.0),
    disk("kafka-0", 0.80, 0.0),
    disk("kafka-1", 0.76, 0.01),
    disk("kafka-2", 0.79, -0.005),
    disk("kafka-3", 0.755, 0.0001),
    disk("kafka-4", 0.5, 0.01),
    Gauge(
        name="probe_ssl_earliest_cert_expiry",
        labels={"endpoint": "gateway/otlp", "instance": "gateway"},
        value=lambda _: END - 5 * HOUR,
    ),
    Gauge(
        name="probe_ssl_earliest_cert_expiry",
        labels={"endpoint": "kafka/client", "instance": "kafka"},
        value=lambda _: END + 2 * DAY,
    ),
]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryRunner]:
    with harness.prometheus(tmp_path_factory.mktemp("past"), SERIES, START, END) as served:
        metrics = served.metrics()
        yield make_runner(metrics, period(Kind.WEEKLY, date(2026, 11, 24), TOKYO), END)
        metrics.close()


def test_what_is_over_its_limit_is_told_as_such_whether_it_grows_or_not(runner: QueryRunner) -> None:
    texts = [recommendation.text.en for recommendation in judge(runner).recommendations]
    over = [text for text in texts if "beyond its limit" in text]
    assert [text.split(" of ")[1].split(" is ")[0] for text in over] == ["kafka-0", "kafka-1", "kafka-2"]
    assert "is 80 % full" in over[0]
    (reached,) = [text for text in texts if "reaches its limit in" in text]
    assert "kafka-4" in reached
    certificates = [text for text in texts if text.startswith("The certificate of")]
    assert certificates == [
        "The certificate of gateway/otlp ended 5 h ago: renew it now",
        "The certificate of kafka/client ends in 2 d and was not renewed: look at its issuer",
    ]
    assert runner.problems == []


def test_subjects_beyond_those_that_are_shown_are_counted(runner: QueryRunner) -> None:
    assert judge(runner).left_out == {"kafka-disk-over": 1}
    blocks = section(runner, None).blocks
    said = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert any("More beyond their limit: kafka-disk-over (1)." in text.en for text in said)
    assert any("ほかに上限を超えたもの：kafka-disk-over (1)" in text.ja for text in said)
    assert isinstance(blocks[0], Table)


def test_what_is_over_its_limit_needs_no_history(runner: QueryRunner) -> None:
    young = QueryRunner(metrics=runner.metrics, period=runner.period, start=END - HOUR, end=END, history=END - HOUR)
    texts = [recommendation.text.en for recommendation in judge(young).recommendations]
    assert any("kafka-0 is 80 % full" in text for text in texts)
    assert not any("reaches its limit" in text for text in texts)
