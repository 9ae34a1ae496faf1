"""What is there to be read: pods whose containers are followed, and Events with commands of operators."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from services.audit import FollowedContainer, Source
from services.audit.follower import ApiError, Follower, KubernetesApi, Life, Positions, gap, restarts_of, watched
from services.audit.metrics import Metrics
from services.audit.records import REASON, UNKNOWN, Entry, access, event_key

NAME_LABEL: Final = "app.kubernetes.io/name"
_WATCH_S: Final = 280
"""Shorter than the time after which a quiet stream counts as broken."""
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
EVENTS_KEPT_S: Final = 3600.0
"""So long Kubernetes keeps Events (``--event-ttl``)."""


class _Watch:
    """Lists objects, then takes their changes, for ever."""

    def __init__(self, api: KubernetesApi, path: str, query: Mapping[str, str], *, pause_s: float = _PAUSE_S) -> None:
        self._api, self._path, self._query, self._pause_s = api, path, dict(query), pause_s

    def run(
        self,
        stop: threading.Event,
        listed: Callable[[list[Mapping[str, Any]]], None],
        changed: Callable[[str, Mapping[str, Any]], None],
        opened: Callable[[bool], None],
    ) -> None:
        """Until ``stop``.

        Args:
            stop: Ends it.
            listed: Takes all objects, each time that they were listed.
            changed: Takes a change: its type and the object.
            opened: Takes whether changes are being told.
        """
        pause, version = self._pause_s, ""
        while not stop.is_set():
            try:
                if not version:
                    listing = self._api.get(self._path, **self._query)
                    version = listing["metadata"]["resourceVersion"]
                    listed(listing["items"])
                query = {**self._query, "watch": "true", "timeoutSeconds": str(_WATCH_S), "resourceVersion": version}
                for line in self._api.follow(self._path, lambda: opened(True), **query):
                    kind, item = watched(line)
                    version = item["metadata"]["resourceVersion"]
                    changed(kind, item)
                pause = self._pause_s
            except (ApiError, TimeoutError):
                opened(False)
                version = ""
                stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)


class Pods:
    """Starts a follower for each container that is to be followed."""

    def __init__(
        self,
        api: KubernetesApi,
        followed: Iterable[FollowedContainer],
        positions: Positions,
        emit: Callable[[Entry], None],
        metrics: Metrics,
        *,
        first: bool,
    ) -> None:
        """Prepare.

        Args:
            api: The API server.
            followed: What is followed.
            positions: How far each container was read.
            emit: Takes accesses.
            metrics: Counters.
            first: Whether nobody has ever read anything here: then what containers logged in earlier lives is no gap.
        """
        self._api, self._positions, self._emit, self._metrics, self._first = api, positions, emit, metrics, first
        self._followed = tuple(followed)
        names = ",".join(sorted({container.workload for container in self._followed}))
        self._query = {"labelSelector": f"{NAME_LABEL} in ({names})"}
        self._started: set[str] = set()
        self._reading: list[tuple[str, threading.Thread]] = []
        self._over = threading.Event()
        self._present: dict[str, tuple[Source, str]] = {}
        self._known = frozenset(positions.all())

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``; what is followed by then is read until `end`."""
        _Watch(self._api, "pods", self._query).run(stop, self._listed, self._changed, lambda _: None)

    def end(self, limit_s: float) -> int:
        """Read pods that are ending to their end, then stop reading.

        Whoever reads next finds them gone, and could not tell that nothing is missing.

        Args:
            limit_s: How long that may take.

        Returns:
            How many containers were left before their end.

        Raises:
            ApiError: The API server does not say which pods those are. Nothing is read any more.
        """
        deadline = time.monotonic() + limit_s
        try:
            pods = self._api.get("pods", **self._query)["items"]
            staying = {pod["metadata"]["uid"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}
            ending = [thread for uid, thread in self._reading if uid not in staying]
            for thread in ending:
                thread.join(max(0.0, deadline - time.monotonic()))
            return sum(thread.is_alive() for thread in ending)
        finally:
            self._over.set()

    def _listed(self, pods: list[Mapping[str, Any]]) -> None:
        self._present = {}
        for pod in pods:
            self._take(pod)
        self._show()
        for key in self._known:
            stream, _, _ = key.rpartition("/")
            if stream not in self._started:
                self._lost(key)
        self._known = frozenset()
        self._first = False

    def _changed(self, kind: str, pod: Mapping[str, Any]) -> None:
        if kind == "DELETED":
            uid = pod["metadata"]["uid"]
            self._present = {stream: value for stream, value in self._present.items() if value[1] != uid}
        else:
            self._take(pod)
        self._show()

    def _take(self, pod: Mapping[str, Any]) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        workload = pod["metadata"]["labels"][NAME_LABEL]
        for container in self._followed:
            restarts = restarts_of(pod, container.container)
            if container.workload != workload or restarts is None:
                continue
            life = Life(
                source=container.source,
                workload=workload,
                pod=name,
                uid=uid,
                container=container.container,
                restarts=restarts,
            )
            running = pod.get("status", {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
            if running:
                self._present[life.stream] = (life.source, uid)
            else:
                self._present.pop(life.stream, None)
            if life.stream not in self._started:
                self._started.add(life.stream)
                follower = Follower(self._api, self._begin(life), self._positions, self._emit, self._metrics)
                thread = threading.Thread(target=follower.run, args=(self._over,), name=life.stream, daemon=True)
                thread.start()
                self._reading = [*((of, one) for of, one in self._reading if one.is_alive()), (uid, thread)]

    def _begin(self, life: Life) -> Life:
        """The life of a container with which reading begins: the last one that was read, else its first."""
        read = [int(key.rpartition("/")[2]) for key in self._known if key.rpartition("/")[0] == life.stream]
        begin = max(read) if read else (life.restarts if self._first else 0)
        for restarts in read:
            if restarts != begin:
                self._positions.drop(f"{life.stream}/{restarts}")
        return Life(**{**vars(life), "restarts": begin})

    def _lost(self, key: str) -> None:
        """A container that was read by an earlier process and is not there any more."""
        pod, _, _ = key.partition("/")
        source = self._source_of(pod)
        self._positions.drop(key)
        self._metrics.gaps.labels(source).inc()
        reason = "the pod went while nobody read it: its last lines may be missing"
        self._emit(gap(source, pod, reason, datetime.now(UTC)))

    def _source_of(self, pod: str) -> Source:
        fits = [container for container in self._followed if pod.startswith(f"{container.workload}-")]
        return max(fits, key=lambda container: len(container.workload)).source if fits else Source.AUDIT

    def _show(self) -> None:
        for source in {container.source for container in self._followed}:
            self._metrics.expect(source, [key for key, value in self._present.items() if value[0] is source])


class Commands:
    """Takes commands of operators from Events; each of them once."""

    def __init__(
        self,
        api: KubernetesApi,
        written: Iterable[str],
        emit: Callable[[Entry], None],
        metrics: Metrics,
        *,
        away_s: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            api: The API server.
            written: Names of Events that were written lately.
            emit: Takes accesses.
            metrics: Counters.
            away_s: How long nobody has taken any.
        """
        self._api, self._emit, self._metrics, self._away_s = api, emit, metrics, away_s
        self._written = set(written)

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``."""
        self._metrics.expect(Source.OPS, ["events"])
        if self._away_s > EVENTS_KEPT_S:
            self._metrics.gaps.labels(Source.OPS).inc()
            reason = f"nobody took Events of commands for {self._away_s:.0f} s: Kubernetes keeps them for an hour"
            self._emit(gap(Source.OPS, UNKNOWN, reason, datetime.now(UTC)))
        watch = _Watch(self._api, "events", {"fieldSelector": f"reason={REASON}"})
        watch.run(
            stop,
            self._listed,
            lambda kind, item: self._take(item) if kind == "ADDED" else None,
            lambda is_open: self._metrics.opened(Source.OPS, "events", is_open),
        )

    def _listed(self, items: list[Mapping[str, Any]]) -> None:
        names = {item["metadata"]["name"] for item in items}
        for item in sorted(items, key=lambda item: str(item.get("eventTime"))):
            self._take(item)
        self._written &= names

    def _take(self, item: Mapping[str, Any]) -> None:
        name = item["metadata"]["name"]
        if name in self._written:
            return
        self._written.add(name)
        told = access(item)
        if told is None:
            self._metrics.unreadable.labels(Source.OPS).inc()
            missing = gap(Source.OPS, UNKNOWN, "an Event of a command cannot be read", datetime.now(UTC))
            self._emit(replace(missing, positions={event_key(name): str(item.get("eventTime"))}))
            return
        self._emit(Entry(access=told, source=Source.OPS, positions={event_key(name): str(item["eventTime"])}))
