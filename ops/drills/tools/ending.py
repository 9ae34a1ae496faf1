"""A pod that is told to end, followed until it is gone: how long it took, how its containers ended, what it said."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from kubernetes import watch

from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod, call_errors
from ops.core.terminal import say
from ops.drills.tools.accounts import must

_CALL_S: Final = 15
_LOG_ENDS_S: Final = 15.0
"""After its container: whoever reads the log looks once a second whether the container still runs."""
_LAST_WORDS: Final = "Shutdown complete"
"""Of a collector that ended in good order."""


class Ending:
    """Follows a pod until it is gone. Made before the pod is told.

    Args:
        kube: The cluster.
        pod: The pod.
        beyond_s: Seconds after its grace for which it is followed.

    Attributes:
        grace_s: Seconds that it has, before it is ended by force.
        exit_codes: Container -> how it ended, once it has.
        lines: What its first container has said since.
    """

    def __init__(self, kube: Kube, pod: Pod, beyond_s: float) -> None:
        self._kube, self._pod = kube, pod
        with call_errors(f"cannot read {pod.name}"):
            spec = kube.core.read_namespaced_pod(pod.name, kube.namespace, _request_timeout=_CALL_S).spec
        self.grace_s = int(spec.termination_grace_period_seconds)
        self.exit_codes: dict[str, int] = {}
        self.lines: list[str] = []
        self._limit_s = self.grace_s + beyond_s
        self._told = time.monotonic()
        self._ended: float | None = None
        self._problem = ""
        self._threads = [
            threading.Thread(target=target, name=f"ending-{pod.name}", daemon=True)
            for target in (self._watch, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def tell(self) -> None:
        """Tell it to end, as its controller does: with the whole of its grace."""
        say(f"telling {self._pod.name} to end, it may take {self.grace_s} s")
        self._told = time.monotonic()
        with call_errors(f"cannot delete {self._pod.name}"):
            self._kube.core.delete_namespaced_pod(self._pod.name, self._kube.namespace, _request_timeout=_CALL_S)

    @property
    def ended(self) -> bool:
        """Whether its containers have ended."""
        return self._ended is not None

    def after(self) -> float:
        """Wait until it is gone; seconds from when it was told until its containers had ended.

        Raises:
            OpsError: It is not gone in time, or nobody tells.
        """
        say(f"waiting for {self._pod.name} to end, {self._limit_s:.0f} s at most")
        watching, listening = self._threads
        watching.join(self._limit_s)
        must(not self._problem, self._problem)
        must(self.ended, f"{self._pod.name} did not end within {self._limit_s:.0f} s")
        listening.join(_LOG_ENDS_S)
        return round((self._ended or 0.0) - self._told, 1)

    def _watch(self) -> None:
        limit_s = int(self._limit_s)
        try:
            with call_errors(f"cannot watch {self._pod.name}"):
                for event in _watcher().stream(
                    self._kube.core.list_namespaced_pod,
                    self._kube.namespace,
                    field_selector=f"metadata.name={self._pod.name}",
                    timeout_seconds=limit_s,
                    _request_timeout=(_CALL_S, limit_s),
                ):
                    item = event["object"]
                    if item.metadata.uid == self._pod.uid and self._seen(event["type"], item):
                        return
        except OpsError as error:
            self._problem = str(error)

    def _seen(self, kind: str, item: Any) -> bool:
        """Note how it stands; whether it is gone."""
        statuses = item.status.container_statuses or []
        self.exit_codes |= {
            status.name: status.state.terminated.exit_code for status in statuses if status.state.terminated
        }
        gone = kind == "DELETED"
        if self._ended is None and (gone or set(self._pod.containers) <= set(self.exit_codes)):
            self._ended = time.monotonic()
        return gone

    def _listen(self) -> None:
        # However it breaks off: whether all of it was read is told by its last words.
        with suppress(OpsError), call_errors(f"cannot read the log of {self._pod.name}"):
            for line in _watcher().stream(
                self._kube.core.read_namespaced_pod_log,
                self._pod.name,
                self._kube.namespace,
                container=self._pod.containers[0],
                since_seconds=1,
                _request_timeout=(_CALL_S, self._limit_s),
            ):
                self.lines.append(line)


def _watcher() -> Any:
    return watch.Watch()  # type: ignore[no-untyped-call]


def left_behind(lines: Iterable[str]) -> int | None:
    """Bytes on disk that a collector says are left when it ends (``collector/drain``), from what it logs.

    None where its last words are not among it.
    """
    texts = list(lines)
    if not any(_LAST_WORDS in text for text in texts):
        return None
    return sum(int(entry["left"]) for text in texts if '"left"' in text and "left" in (entry := _entry(text)))


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
