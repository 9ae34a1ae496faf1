"""Follows the log of one container through its restarts, and says so where lines are missing; and the API server, as
far as a pod reads it: lists, watches, and logs that are followed.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from services.audit import Kubernetes, Source
from services.audit.metrics import Metrics
from services.audit.records import GAP, Entry, Line, UnreadableLineError, note
from services.audit.sources import PARSERS

ANSWER_S: Final = 15.0
QUIET_S: Final = 300.0
"""A stream that says nothing for so long is opened again: that is how one that broke silently is noticed."""
NOT_FOUND: Final = 404
_OK: Final = 200
_LONGEST_LINE: Final = 1024 * 1024


class ApiError(Exception):
    """The API server does not answer, or refuses; in one line."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class KubernetesApi:
    """Reads the namespace; each call has a connection of its own, so that several threads may call."""

    def __init__(self, settings: Kubernetes, quiet_s: float = QUIET_S) -> None:
        self._settings, self._quiet_s = settings, quiet_s

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """A JSON document below the namespace.

        Raises:
            ApiError: There is none.
        """
        with _errors(path), self.open(path, ANSWER_S, **query) as response:
            content: dict[str, Any] = json.loads(response.read())
            return content

    def follow(self, path: str, opened: Callable[[], None], **query: str) -> Iterator[bytes]:
        """Lines of a log or of a watch, as they come, until the server ends it or nothing came for a while.

        Args:
            path: What, below the namespace.
            opened: Called when the server lets it be read. A kubelet answers with the first line, not before.
            query: Parameters.

        Raises:
            ApiError: It cannot be opened, or breaks.
        """
        try:
            with self.open(path, self._quiet_s, **query) as response:
                opened()
                while line := response.readline(_LONGEST_LINE):
                    yield line
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"{path}: broke off: {error!r}") from None

    @contextmanager
    def open(self, path: str, limit_s: float, **query: str) -> Iterator[http.client.HTTPResponse]:
        """An answer that is read by the block.

        Raises:
            ApiError: It is not ``200``, or the connection breaks before it.
            TimeoutError: Nothing came in time.
        """
        settings = self._settings
        url = f"/api/v1/namespaces/{quote(settings.namespace)}/{path}?{urlencode(query)}"
        with _errors(path):
            trust = ssl.create_default_context(cafile=str(settings.ca_file))
            token = settings.token_file.read_text().strip()
            connection = http.client.HTTPSConnection(settings.host, settings.port, timeout=ANSWER_S, context=trust)
        try:
            with _errors(path):
                connection.connect()
            connection.sock.settimeout(limit_s)
            try:
                connection.request("GET", url, headers={"Authorization": f"Bearer {token}"})
                response = connection.getresponse()
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise ApiError(f"{path}: {error!r}") from None
            if response.status != _OK:
                raise ApiError(f"{path}: the API server answers {response.status}", response.status)
            yield response
        finally:
            connection.close()


@contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ApiError(f"{path}: {error!r}") from None


def watched(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Type and object of a line of a watch.

    Raises:
        ApiError: The watch cannot go on from where it was.
    """
    try:
        content = json.loads(line)
        kind, item = content["type"], content["object"]
    except (ValueError, KeyError, TypeError):
        raise ApiError("a watch gave no JSON") from None
    if kind == "ERROR":
        raise ApiError(f"the watch ends: {item.get('message', '')}", int(item.get("code", 0)))
    return kind, item


_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


def stamp(text: str) -> str | None:
    """A timestamp of a log line in UTC with nine digits, so that later ones are greater as texts; None: it is none."""
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    second = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).astimezone(UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{(match[2] or '').ljust(9, '0')}Z"


def moment(position: str) -> datetime:
    """The moment of a `stamp`."""
    return datetime.fromisoformat(position[:26] + "+00:00")


class Positions:
    """How far each source was read; read and written by several threads."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)
        self._lock = threading.Lock()

    def get(self, key: str) -> str:
        """The position; empty: from the beginning."""
        with self._lock:
            return self._known.get(key, "")

    def set(self, key: str, position: str) -> None:
        """Read up to here."""
        with self._lock:
            self._known[key] = position

    def drop(self, key: str) -> None:
        """There is nothing more to read of it."""
        with self._lock:
            self._known.pop(key, None)

    def all(self) -> dict[str, str]:
        """Those of now."""
        with self._lock:
            return dict(self._known)


@dataclass(frozen=True, kw_only=True)
class Life:
    """One life of a container: from a start of it to its end.

    Attributes:
        source: What its lines tell of.
        workload: Workload of the pod.
        pod: Name of the pod.
        uid: Its UID.
        container: Name of the container.
        restarts: How often the container was started again before.
    """

    source: Source
    workload: str
    pod: str
    uid: str
    container: str
    restarts: int

    @property
    def stream(self) -> str:
        """The container through all of its lives."""
        return f"{self.pod}/{self.uid}/{self.container}"

    @property
    def key(self) -> str:
        """Key of its position."""
        return f"{self.stream}/{self.restarts}"


def gap(source: Source, part: str, reason: str, now: datetime) -> Entry:
    """The record that lines of a source are missing."""
    return Entry(access=note(GAP, f"source:{source}", now, reason=reason), source=Source.AUDIT, part=part)


def restarts_of(pod: Mapping[str, Any], container: str) -> int | None:
    """How often a container was started again; None: it has never run."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == container:
            ran = status.get("containerID") or status["restartCount"]
            return int(status["restartCount"]) if ran else None
    return None


class Follower:
    """Reads one container until its pod is gone."""

    def __init__(
        self,
        api: KubernetesApi,
        life: Life,
        positions: Positions,
        emit: Callable[[Entry], None],
        metrics: Metrics,
        *,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._api, self._life, self._positions, self._emit, self._metrics = api, life, positions, emit, metrics
        self._first_pause_s = first_pause_s

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``, or until the pod is gone."""
        try:
            self._run(stop)
        finally:
            self._opened(False)

    def _run(self, stop: threading.Event) -> None:
        pause, broken = self._first_pause_s, "it was never opened"
        while not stop.is_set():
            began = time.monotonic()
            try:
                if not self._catch_up(broken):
                    return
                self._stream()
                broken = ""
            except Exception as error:  # Whatever it is, the log is opened again; meanwhile it counts as not followed.
                # A pod that went between two questions has left nothing behind what its last stream told.
                if not (isinstance(error, ApiError) and error.status == NOT_FOUND):
                    broken = str(error) if isinstance(error, ApiError | TimeoutError) else type(error).__name__
                self._opened(False)
            if time.monotonic() - began > _LONGEST_PAUSE_S:
                pause = self._first_pause_s
            stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _opened(self, is_open: bool) -> None:
        self._metrics.opened(self._life.source, self._life.stream, is_open)

    def _catch_up(self, broken: str) -> bool:
        """Read what earlier lives of the container left; whether the pod is still there.

        Args:
            broken: Why the last stream did not come to its end.

        Raises:
            ApiError: The API server does not answer.
        """
        life = self._life
        try:
            pod = self._api.get(f"pods/{life.pod}")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            pod = {"metadata": {"uid": ""}}
        if pod["metadata"]["uid"] != life.uid:
            if broken:
                self._missing(f"the pod is gone, and its log was not read to its end: {broken}")
            self._positions.drop(life.key)
            return False
        now = restarts_of(pod, life.container)
        if now is None or now <= life.restarts:
            return True
        if now > life.restarts + 1:
            self._missing(f"{now - life.restarts} restarts since it was read last, the log of one is kept")
            self._become(now - 1)
        self._read(previous="true")
        self._become(now)
        return True

    def _become(self, restarts: int) -> None:
        self._positions.drop(self._life.key)
        self._life = replace(self._life, restarts=restarts)

    def _stream(self) -> None:
        """Follow this life."""
        if self._positions.get(self._life.key):
            self._check_rotation()
        self._take_all(self._lines(follow="true"))

    def _read(self, **query: str) -> None:
        try:
            self._take_all(self._lines(**query))
        except ApiError as error:
            if error.status == 0:
                raise
            self._missing(f"the log of an earlier start cannot be read any more: {error}")

    def _lines(self, **query: str) -> Iterator[bytes]:
        life = self._life
        position = self._positions.get(life.key)
        since = {"sinceTime": position} if position else {}
        query = {"container": life.container, "timestamps": "true", **since, **query}
        return self._api.follow(f"pods/{life.pod}/log", lambda: self._opened(True), **query)

    def _check_rotation(self) -> None:
        """The kubelet keeps the newest file only: does it begin after the last line that was read?"""
        life = self._life
        path = f"pods/{life.pod}/log"
        query = {"container": life.container, "timestamps": "true", "limitBytes": "64"}
        with _errors(path), self._api.open(path, ANSWER_S, **query) as response:
            first = stamp(response.readline(64).partition(b" ")[0].decode(errors="replace").strip())
        if first and first > self._positions.get(life.key):
            self._missing("the log was rotated while nobody read it")

    def _take_all(self, lines: Iterator[bytes]) -> None:
        """Take the lines of one stream, but for those at its begin that were read before.

        Behind the first new one every line is new, whatever its time: a container's two outputs are stamped apart, and
        a node's clock may be set back.
        """
        read_before = self._positions.get(self._life.key)
        for line in lines:
            at, _, text = line.decode(errors="replace").rstrip("\n").partition(" ")
            time_of_line = stamp(at)
            if time_of_line is None or time_of_line <= read_before:
                continue
            read_before = ""
            self._take(time_of_line, text)

    def _take(self, time_of_line: str, text: str) -> None:
        life = self._life
        position = max(time_of_line, self._positions.get(life.key))
        try:
            access = PARSERS[life.source](Line(time=moment(time_of_line), workload=life.workload, text=text))
        except Exception as error:  # A line that no parser expects costs its own record, not those behind it.
            self._metrics.unreadable.labels(life.source).inc()
            reason = str(error) if isinstance(error, UnreadableLineError) else "a line cannot be read"
            missing = gap(life.source, life.pod, reason, datetime.now(UTC))
            self._emit(replace(missing, positions={life.key: position}))
            access = None
        if access is not None:
            self._emit(Entry(access=access, source=life.source, part=life.pod, positions={life.key: position}))
        self._positions.set(life.key, position)

    def _missing(self, reason: str) -> None:
        self._metrics.gaps.labels(self._life.source).inc()
        self._emit(gap(self._life.source, self._life.pod, reason, datetime.now(UTC)))
