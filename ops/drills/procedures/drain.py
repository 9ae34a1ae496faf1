"""A gateway is told to end while Kafka does not answer and its disk holds some: it waits, and leaves nothing (O1, S1).

Kafka's brokers stand still through their control groups, and go on in the instant in which they are let: so it is known
when Kafka answers again, sooner after the pod was told than the 30 s after which it would give up (ADR 55).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from kubernetes import watch
from prometheus_client.parser import text_string_to_metric_families

from components.collector.config import METRICS_PORT
from components.gateway.config import DRAIN_STALLED_S
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod, call_errors, wait_until
from ops.core.terminal import say
from ops.drills.gate_target import WORKLOAD
from ops.drills.procedure import is_settled
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, must, unmet
from ops.drills.tools.faults import Returning, groups, groups_frozen
from ops.drills.tools.load import TOPIC, OtlpLoad

_SIZE: Final = "otelcol_exporter_queue_size"
_ON_DISK: Final = "-disk"
"""At the end of the name of an exporter behind a queue on disk."""


def on_disk(context: Context) -> dict[str, int]:
    """Pod of every gateway that is ready -> bytes in its queues on disk, of at most five seconds ago.

    Raises:
        OpsError: One does not answer.
    """
    auth = context.platform.scrape_credentials[WORKLOAD].pair
    return {pod.name: _bytes(context, pod.name, auth) for pod in context.kube.pods(WORKLOAD) if pod.ready}


def _bytes(context: Context, pod: str, auth: tuple[str, str]) -> int:
    try:
        with context.web.call("GET", f"{context.tunnels.url(pod, METRICS_PORT)}/metrics", auth=auth) as response:
            status, text = response.status_code, response.text
    except OpsError:
        # A pod of that name that came since is behind another tunnel.
        context.tunnels.drop(pod, METRICS_PORT)
        raise
    if status != 200:
        raise OpsError(f"the metrics of {pod} answered {status}")
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == _SIZE and sample.labels.get("exporter", "").endswith(_ON_DISK)
        )
    )


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


STILL_AWAY_S: Final = DRAIN_STALLED_S / 3
"""Kafka stays away for so long after the gateway was told to end. The rest is for leaders and the next write."""
EMPTY_S: Final = 60.0
FILLED_S: Final = 60.0
"""A write that Kafka does not answer goes to disk after 5 s, and gateways tell of it after at most 5 s more."""
BEYOND_S: Final = 60.0
WHOLE_S: Final = 300.0
_LOOK_S: Final = 0.5
_BY_ITSELF: Final = frozenset({0, 1})
"""1: in good order, but for its last own metrics, which nobody takes any more: it sends them to itself."""


def end_gateway(context: Context, figures: dict[str, Any]) -> list[str]:
    """Freeze all brokers, tell the gateway to end whose disk holds most, let the brokers go on; count what is missing.

    Raises:
        CannotRunError: The brokers do not run on this machine.
    """
    kube, start = context.kube, context.kafka.end_offsets(TOPIC)
    brokers = groups(kube.pods("kafka"))
    wait_until(lambda: _is_empty(context), EMPTY_S, "the gateways' queues on disk to be empty")
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        with groups_frozen(brokers):
            gone, gone_at = time.monotonic(), time.time()
            wait_until(lambda: not _is_empty(context), FILLED_S, "a gateway's queue on disk to hold something", _LOOK_S)
            victim, size = _fullest(context)
            ending, returning = Ending(kube, victim, BEYOND_S), Returning(kube, victim, durations.READY)
            ending.tell()
            told = time.monotonic()
            load.run_for(STILL_AWAY_S)
            waited = not ending.ended
        back = time.monotonic()
        figures["how"] = (
            f"{len(brokers)} brokers frozen at once, {victim.name} deleted with {ending.grace_s} s of grace"
        )
        figures["bytes on disk when told to end"] = size
        figures["Kafka away s"] = round(back - gone, 1)
        figures["of it after the gateway was told s"] = round(back - told, 1)
        figures["accepted meanwhile"] = load.ledger.count_between(gone_at, time.time())
        figures["ended after s"], figures["it may take s"] = ending.after(), ending.grace_s
        figures["exit codes"] = dict(ending.exit_codes)
        figures["bytes left behind"] = left_behind(ending.lines)
        load.run_for(durations.AFTER_FAULT)
    figures["gateway back after s"] = returning.after()
    whole = wait_until(lambda: is_settled(context), WHOLE_S, "all pods ready and all replicas in sync")
    figures["whole again after s"] = round(whole, 1)
    wait_until(lambda: _is_empty(context), durations.ARRIVAL, "the gateways' queues on disk to be empty")
    arrived = load.counts_in_kafka(start, durations.ARRIVAL)
    figures["doubled"] = load.doubled(arrived)
    return [
        *account(figures, "gateway", load, len(load.ledger.missing(arrived))),
        *problems(figures, victim.name, waited=waited),
    ]


def problems(figures: dict[str, Any], name: str, *, waited: bool) -> list[str]:
    """What did not hold of how the gateway ended.

    Args:
        figures: Of the run.
        name: The gateway's pod.
        waited: Whether it was still there when Kafka answered again.
    """
    took, grace, left = figures["ended after s"], figures["it may take s"], figures["bytes left behind"]
    codes = figures["exit codes"]
    return unmet(
        (waited, f"{name} ended while Kafka did not answer and its disk held what it had acknowledged"),
        (took < grace, f"{name} was ended by force after {grace} s"),
        (
            bool(codes) and set(codes.values()) <= _BY_ITSELF,
            f"{name} did not end by itself: exit codes {codes or 'unknown'}",
        ),
        (left is not None, f"the log of {name} was not read to its end: what it left on its disk is not known"),
        (not left, f"{name} left {left} bytes on its disk"),
        (figures["accepted meanwhile"] > 0, f"{WORKLOAD}s accepted nothing while Kafka did not answer"),
    )


def _fullest(context: Context) -> tuple[Pod, int]:
    """The gateway whose disk holds most, and how many bytes."""
    sizes = on_disk(context)
    pods = [pod for pod in context.kube.pods(WORKLOAD) if sizes.get(pod.name)]
    must(bool(pods), "no gateway that is ready holds anything on its disk any more")
    fullest = max(pods, key=lambda pod: sizes[pod.name])
    return fullest, sizes[fullest.name]


def _is_empty(context: Context) -> bool:
    """Whether no gateway that is ready holds anything on its disk, and there is one."""
    sizes = on_disk(context)
    return bool(sizes) and not any(sizes.values())
