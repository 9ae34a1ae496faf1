"""Whether those that notices are handed over to can be reached: a TCP connection, and no more."""

from __future__ import annotations

import socket

from services.region_guard.judging import Judging

_LOOKS = 5
_MOST_S = 3.0


def every_s(isolated_s: float) -> float:
    """Seconds between two looks: several before the region counts as isolated."""
    return isolated_s / _LOOKS


class Outside:
    """One address. Each has a thread of its own: a name that nobody resolves holds up no other one."""

    def __init__(self, address: tuple[str, int], judging: Judging, isolated_s: float) -> None:
        self.name = f"{address[0]}:{address[1]}"
        self._address, self._judging = address, judging
        self._timeout_s = min(_MOST_S, every_s(isolated_s))

    def look(self) -> None:
        """Look once."""
        asked = self._judging.clock()
        try:
            socket.create_connection(self._address, self._timeout_s).close()
        except OSError:
            return
        self._judging.reached(asked)
