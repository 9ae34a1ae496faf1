"""What the operators' pager shows of conditions that a test raised."""

from __future__ import annotations

import time
from typing import Any

from lab.fakes.receivers.channels import Incident, State
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import PHONE
from ops.core.kube import wait_until
from ops.drills.procedures.alerts import LATE_S, firing
from ops.drills.tools.notifications import Raised


class Calls:
    """Incidents and calls since it was made."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers, self._start = receivers, receivers.newest()

    def of(self, raised: Raised) -> list[Incident]:
        """Incidents of a condition."""
        keys = self._keys(raised)
        return [incident for incident in self._receivers.incidents() if incident.dedup_key in keys]

    def notices(self, *conditions: Raised) -> list[dict[str, Any]]:
        """What people noticed of conditions that have an incident each, in the order of arrival; no secret is in it."""
        by_key = {key: raised for raised in conditions for key in self._keys(raised)}
        return [
            {
                "contact": notification.audience,
                "action": notification.body["event_action"],
                "title": notification.title,
                "dedup key": notification.body["dedup_key"],
                "s after its condition": round(notification.received_at - by_key[notification.body["dedup_key"]].at, 1),
            }
            for notification in self._receivers.since(self._start)
            if notification.channel == PHONE and notification.body["dedup_key"] in by_key
        ]

    def rung_after_s(self, raised: Raised) -> float:
        """Wait until the phone rang for a condition: seconds since its first bad value."""
        wait_until(lambda: bool(self.of(raised)), LATE_S, f"a call about {raised.name}", 0.5)
        (incident,) = self.of(raised)
        return round(incident.opened_at - raised.at, 1)

    def closed_after_s(self, raised: Raised, since: float) -> float:
        """Wait until every incident of a condition is closed: seconds since a moment."""
        wait_until(
            lambda: {incident.state for incident in self.of(raised)} == {State.RESOLVED},
            LATE_S,
            f"the end of the incident of {raised.name}",
            0.5,
        )
        return round(time.time() - since, 1)

    def _keys(self, raised: Raised) -> set[str]:
        return {one.body["dedup_key"] for one in firing(raised, self._receivers.since(self._start))}
