"""More Critical alerts at once than the pager takes in a minute, in front of the real pair."""

from __future__ import annotations

import time
from pathlib import Path

from lab.fakes.receivers.channels import EVENTS, WINDOW_S
from tests.config.alertmanager_process import pair
from tests.config.pager_harness import raised, rings
from tests.config.servers import eventually

ALERTS, NAME = EVENTS + 30, "StormCritical"


def test_a_storm_rings_for_every_alert_as_soon_as_the_pager_takes_it(tmp_path: Path) -> None:
    with pair(tmp_path) as both:
        began = time.monotonic()
        for number in range(ALERTS):
            raised(both, NAME, f"kafka-{number}", layer="data")
        eventually(lambda: rings(both, NAME) >= EVENTS, WINDOW_S, f"{EVENTS} calls")
        eventually(lambda: rings(both, NAME) >= ALERTS, 2 * WINDOW_S, f"{ALERTS} calls")
        assert time.monotonic() - began >= WINDOW_S - 1, "the pager took them all at once"
        assert {incident.rang for incident in both.incidents(NAME)} == {1}
        assert rings(both, NAME) == ALERTS
        for channel in ("sms", "slack"):
            assert len(both.notifications(NAME, channel)) >= 1
