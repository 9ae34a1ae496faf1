"""Times of Prometheus and Alertmanager that belong together (docs/adr/0021)."""

from __future__ import annotations

import pytest

from components.alerting.timings import TIMINGS, milliseconds
from components.prometheus.config import prometheus_command
from components.rules import Severity
from tests.support import engine


def resend_delay() -> int:
    [option] = [
        part for part in prometheus_command(retention_time="1d", retention_size="1GB") if "resend-delay" in part
    ]
    return milliseconds(option.partition("=")[2])


@pytest.mark.parametrize("severity", list(Severity))
def test_every_look_at_a_group_finds_all_alerts_that_are_over(severity: Severity) -> None:
    longest_round = 10_000 if severity is Severity.CRITICAL else 30_000
    sent_again_every = -(-resend_delay() // longest_round) * longest_round
    assert sent_again_every < milliseconds(TIMINGS[severity].group_interval)


def test_the_replicas_of_prometheus_are_updated_one_after_the_other() -> None:
    recording = engine.recorded("local")
    order = [
        recorded.name for recorded in recording.of("kubernetes:apps/v1:StatefulSet") if "prometheus" in recorded.name
    ]
    assert order == ["prometheus-primary", "prometheus-secondary"]
