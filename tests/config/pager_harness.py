"""The pager's fake in front of the real pair: one incident for each alert, and a closer beside each member.

The fake merges as PagerDuty does, and only a new incident is a notification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from components.alerting.escalation import TIMINGS
from components.rules import Inhibition, Severity
from lab.fakes.receivers.channels import Incident, State
from services.incident_closer.__main__ import POLL_INTERVAL_S
from tests.config.alertmanager_files import ROUTING_KEYS
from tests.config.alertmanager_process import Pair, pair
from tests.config.servers import eventually

OPERATORS, SENIOR = ROUTING_KEYS["operators"], ROUTING_KEYS["senior-manager"]
REPEAT_S = 10
TOLD_S = 10.0
"""Group wait and the second member's wait, on a busy machine."""
ENDED_S = 25.0
"""A look at the group each 15 s, on a busy machine."""
CLOSED_S = 2 * POLL_INTERVAL_S + 5


@contextmanager
def pager(folder: Path, inhibitions: Sequence[Inhibition] = ()) -> Iterator[Pair]:
    """A pair that repeats soon to the pager what still fires, to other channels as late as the platform does."""
    timings = {**TIMINGS, Severity.CRITICAL: replace(TIMINGS[Severity.CRITICAL], group_interval="5s")}
    with pair(folder, timings=timings, paged_repeat=f"{REPEAT_S}s", inhibitions=tuple(inhibitions)) as both:
        for member in both.members:
            both.close_incidents(member)
        yield both


def raised(both: Pair, name: str, instance: str = "kafka-1", **options: object) -> None:
    """Raise a Critical alert, or end it."""
    both.raise_alert(
        name,
        instance=instance,
        alert_id=f"{name.removesuffix('Escalated')}/instance={instance}/job=kafka",
        **options,  # type: ignore[arg-type]
    )


def rings(both: Pair, name: str, contact: str = OPERATORS) -> int:
    """How often a phone rang for an alert."""
    return sum(incident.rang for incident in both.incidents(name) if incident.contact == contact)


def rung(both: Pair, name: str, count: int, contact: str = OPERATORS) -> list[Incident]:
    """Wait until the phone rang so often, and return the incidents."""
    eventually(lambda: rings(both, name, contact) >= count, TOLD_S, f"{count} calls about {name}")
    assert rings(both, name, contact) == count
    return [incident for incident in both.incidents(name) if incident.contact == contact]


def states(both: Pair, name: str) -> list[State]:
    """States of the incidents of an alert."""
    return [incident.state for incident in both.incidents(name)]


def closed(both: Pair, name: str, seconds: float) -> None:
    """Wait until every incident of an alert is closed."""
    eventually(lambda: set(states(both, name)) == {State.RESOLVED}, seconds, f"every incident of {name} is closed")
