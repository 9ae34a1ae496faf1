"""How long killed pods are away: watched from before the kill on, since some are back before anybody asks."""

from __future__ import annotations

import threading
import time

from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod

LOOK_EVERY_S = 0.25


class Returning:
    """Notes when a workload has all its pods again. Made right before the kill, from which it counts.

    Args:
        kube: The cluster.
        victim: The pod that is about to be killed: it has to start again, or to be replaced.
        limit_s: Seconds after which it stops looking.
    """

    def __init__(self, kube: Kube, victim: Pod, limit_s: float) -> None:
        self._kube, self._workload, self._limit_s = kube, victim.workload, limit_s
        self._pods = len(kube.pods(self._workload))
        self._victim = victim
        self._took: float | None = None
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def after(self) -> float:
        """Seconds from the kill until every pod worked again.

        Raises:
            OpsError: They did not in time.
        """
        self._thread.join(self._limit_s)
        if self._took is None:
            raise OpsError(f"waited {self._limit_s:.0f} s in vain for {self._pods} ready pods of {self._workload}")
        return round(self._took, 1)

    def _whole(self) -> bool:
        try:
            pods = self._kube.pods(self._workload)
        except OpsError:
            return False
        return len(pods) == self._pods and all(
            pod.ready and (pod.uid != self._victim.uid or pod.restarts > self._victim.restarts) for pod in pods
        )

    def _poll(self) -> None:
        while time.monotonic() - self._began < self._limit_s:
            if self._whole():
                self._took = time.monotonic() - self._began
                return
            time.sleep(LOOK_EVERY_S)
