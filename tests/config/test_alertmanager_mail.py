"""A mail server that takes connections and says nothing: Alertmanager waits for it without a limit of time."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.alerting.escalation import TIMINGS
from components.rules import Severity
from tests.config import alertmanager_process
from tests.config.alertmanager_process import LATEST_S, pair
from tests.config.servers import eventually


class SilentMail:
    """Takes connections, and never greets."""

    def __init__(self, record: object, *, host: str, port: int, **options: Any) -> None:
        self._address = (host, port)

    def start(self) -> None:
        """Listen."""
        self._server = socket.create_server(self._address, backlog=128)

    def stop(self) -> None:
        """Hang up."""
        self._server.close()


def test_the_other_channels_tell_what_comes_later_though_mail_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alertmanager_process, "MailFake", SilentMail)
    timings = {**TIMINGS, Severity.HIGH: replace(TIMINGS[Severity.HIGH], group_wait="1s", group_interval="10s")}
    with pair(tmp_path, timings=timings) as both:
        for count, instance in enumerate(("kafka-1", "kafka-2", "kafka-3"), start=1):
            both.raise_alert("MuteMail", "high", instance=instance)
            # The first attempt may take as long as the group's interval.
            eventually(
                lambda count=count: len(both.notifications("MuteMail", "slack")) >= count,
                LATEST_S + 20,
                f"Slack tells of {instance}",
            )
        eventually(
            lambda: len([1 for _, _, event in both.brokers.records if event["labels"]["alertname"] == "MuteMail"]) >= 6,
            LATEST_S,
            "Kafka has heard of all",
        )
        for name, counted in (("notifications_total", True), ("notification_latency_seconds_count", False)):
            # AlertmanagerNotificationsFail goes by this: what has begun neither succeeds nor fails.
            assert (sum(by_mail(member.metrics(), name) for member in both.members) > 0) is counted


def by_mail(metrics: str, name: str) -> float:
    """What a counter of Alertmanager says of mail."""
    lines = [line for line in metrics.splitlines() if line.startswith(f"alertmanager_{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'integration="email"' in line)
