"""Checks TCP reachability of the notification channels."""

from __future__ import annotations

import socket

from services.failover_agent.notification_gate import NotificationGate

_POLLS = 5
_MOST_S = 3.0


def interval_s(isolated_s: float) -> float:
    """Seconds between two polls: several before the region counts as isolated."""
    return isolated_s / _POLLS


class EgressProbe:
    """One address. Each has a thread of its own: a name that nobody resolves holds up no other one."""

    def __init__(self, address: tuple[str, int], gate: NotificationGate, isolated_s: float) -> None:
        self.name = f"{address[0]}:{address[1]}"
        self._address, self._gate = address, gate
        self._timeout_s = min(_MOST_S, interval_s(isolated_s))

    def poll(self) -> None:
        """Poll once."""
        asked_at = self._gate.clock()
        try:
            socket.create_connection(self._address, self._timeout_s).close()
        except OSError:
            return
        self._gate.reached(asked_at)
