"""Whether the platform is in a state from which a drill may start, and whether it is again afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable

from components.rules import Severity
from ops.alerts.silences import WATCHDOG
from ops.core import health
from ops.core.alertmanager import FiringAlert
from ops.core.context import Context
from ops.core.errors import OpsError

BEFORE_S, AFTER_S = 60.0, 240.0
_PAUSE_S = 3.0


def problems(context: Context) -> list[str]:
    """What is not as it must be: workloads, Kafka, the read address, Critical alerts. Empty: steady."""
    try:
        lines = health.check(context)
        messages = [f"{line.name}: {line.detail}" for line in lines if not line.healthy]
    except OpsError as error:
        return [str(error)]
    return [*messages, *_alerts(context)]


def critical(alerts: list[FiringAlert]) -> list[str]:
    """Critical alerts that nobody has silenced."""
    return sorted(
        {
            alert.identity or alert.name
            for alert in alerts
            if alert.labels.get("severity") == Severity.CRITICAL.value
            and alert.state != "suppressed"
            and alert.name != WATCHDOG
        }
    )


def wait(look: Callable[[], list[str]], seconds: float, pause: float = _PAUSE_S) -> list[str]:
    """Look until nothing is wrong, at most for so long; what is wrong in the end."""
    deadline = time.monotonic() + seconds
    while True:
        wrong = look()
        if not wrong or time.monotonic() + pause > deadline:
            return wrong
        time.sleep(pause)


def _alerts(context: Context) -> list[str]:
    try:
        firing = critical(context.alertmanager().alerts())
    except OpsError as error:
        return [str(error)]
    return [f"Critical alerts fire: {', '.join(firing)}"] if firing else []
