"""Asks every source about an incident, over clients that are connected on first use. Any server may be down: then the
report says so, and what was seen before stays.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr

from components.telemetry.attributes import CLASSES
from ops.core import platform as platform_module
from ops.core.alertmanager import Alertmanager, client_of
from ops.core.errors import OpsError, one_line
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.core.platform import Platform
from ops.core.tunnel import Tunnels
from ops.core.web import Metrics, Web
from ops.incidents import alerts as kafka_events
from ops.incidents.alerts import silences
from ops.incidents.evidence import Evidence, Source, cleaned
from ops.incidents.record import Incident, TimeWindow
from ops.incidents.series import firing, measured
from ops.incidents.sources import WindowReader, changes, cluster, logs, merged, services_of, traces
from ops.telemetry.logs import SEARCH, SEARCH_PORT
from ops.telemetry.traces import choose, fetch_token

T = TypeVar("T")


class Lazy(Generic[T]):
    """Something that is made when it is first asked for; when that fails, it fails for everybody in the same way."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []
        self._problem = ""

    def get(self) -> T:
        """The value.

        Raises:
            OpsError: It could not be made, now or before.
        """
        with self._lock:
            if self._problem:
                raise OpsError(self._problem)
            if not self._made:
                try:
                    self._made.append(self._make())
                except OpsError as error:
                    self._problem = str(error)
                    raise
            return self._made[0]

    def existing(self) -> T | None:
        """The value, if it was made already."""
        return self._made[0] if self._made else None


class Clients:
    """Clients of one platform, made one by one; all may be used from several threads.

    Args:
        load: Reads what the platform tells about itself; by default from the selected stack.
        connect: Connects with the Kubernetes of a platform; by default with the cluster that it names.
    """

    def __init__(
        self, load: Callable[[], Platform] | None = None, connect: Callable[[Platform], Kube] | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="obs-incident-")
        self._platform = Lazy(load or platform_module.load)
        self._web = Lazy(self._make_web)
        self._kube = Lazy(lambda: (connect or Kube.of)(self.platform))
        self._tunnels = Lazy(lambda: Tunnels(self.platform.namespace, self.kube.context))
        self._token = Lazy(lambda: fetch_token(self.web, self.platform))

    @property
    def platform(self) -> Platform:
        """What the platform tells about itself."""
        return self._platform.get()

    @property
    def web(self) -> Web:
        """A session that trusts the platform."""
        return self._web.get()

    @property
    def kube(self) -> Kube:
        """Kubernetes."""
        return self._kube.get()

    @property
    def metrics(self) -> Metrics:
        """The one read address over both Prometheus."""
        return Metrics(self.web, self.platform.query_url, self.platform.query_reader.pair, "Thanos Query")

    @property
    def alertmanager(self) -> Alertmanager:
        """Alertmanager, as its operator.

        Raises:
            OpsError: The stack has none.
        """
        return client_of(self.platform, self.web)

    @property
    def kafka(self) -> KafkaAdmin:
        """Kafka."""
        return KafkaAdmin(self.platform)

    @property
    def token(self) -> str:
        """The tool's own token for reading traces."""
        return self._token.get()

    @property
    def logs_url(self) -> str:
        """Address of a search node, through a tunnel."""
        return self._tunnels.get().url(self.kube.ready_pod(SEARCH).name, SEARCH_PORT)

    def secrets(self) -> frozenset[str]:
        """Every password that the platform told; nothing when it told nothing."""
        platform = self._platform.existing()
        return frozenset() if platform is None else frozenset(_secrets(platform))

    def close(self) -> None:
        """Close connections and tunnels."""
        for client in (self._tunnels.existing(), self._web.existing(), self._kube.existing()):
            if client is not None:
                client.close()
        self._folder.cleanup()

    def _make_web(self) -> Web:
        path = Path(self._folder.name) / "ca.pem"
        path.write_text(self.platform.ca_certificate)
        return Web(str(path))


_SHORTEST_SECRET = 8


def _secrets(value: object) -> set[str]:
    """All secret values inside a model; very short ones would hit innocent words."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return {text} if len(text) >= _SHORTEST_SECRET else set()
    if isinstance(value, BaseModel):
        return _secrets(list(vars(value).values()))  # without what this command does not read
    if isinstance(value, Mapping):
        return _secrets(list(value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_secrets(nested) for nested in value))
    return set()


LIMIT_S = 90.0
"""Longest time for all sources together."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a source is asked about.

    Attributes:
        incident: The incident.
        window: The time.
        clearance: Most restricted class of traces that may be read.
        deadline: When to come to an end (monotonic clock).
    """

    incident: Incident
    window: TimeWindow
    clearance: str
    deadline: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a source found: fields of the evidence, and what is left out."""

    fields: Mapping[str, Any]
    remark: str = ""


Collector = Callable[[Clients, Case], Answer]


def _firing(clients: Clients, case: Case) -> Answer:
    collected = firing(clients.metrics, case.incident, case.window)
    return Answer(fields={"firing": collected.firing}, remark=collected.remark)


def _metrics(clients: Clients, case: Case) -> Answer:
    collected = measured(clients.metrics, case.incident, case.window, lambda: time.monotonic() < case.deadline)
    return Answer(fields={"measured": collected.measured}, remark=collected.remark)


def _events(clients: Clients, case: Case) -> Answer:
    read, alert_id = kafka_events.Read(), case.incident.alert.alert_id
    raw_events = kafka_events.raw_events(clients.kafka, alert_id, case.window, read)
    events = kafka_events.transitions(raw_events, alert_id, read)
    shown, cut = kafka_events.first_and_last(events, "events")
    return Answer(fields={"events": shown}, remark=_remark(_partly(read), cut))


def _notifications(clients: Clients, case: Case) -> Answer:
    read, alert_id = kafka_events.Read(), case.incident.alert.alert_id
    processed_events = kafka_events.processed_events(clients.kafka, alert_id, case.window, read)
    shown, cut = kafka_events.first_and_last(kafka_events.notifications(processed_events, alert_id), "notifications")
    return Answer(fields={"notifications": shown}, remark=_remark(_partly(read), cut))


def _remark(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _partly(read: kafka_events.Read) -> str:
    return "" if read.whole else f"only {read.records} records were read"


def _silences(clients: Clients, case: Case) -> Answer:
    shown, cut = kafka_events.first_and_last(silences(clients.alertmanager, case.incident, case.window), "silences")
    return Answer(fields={"silences": shown}, remark=cut)


def _traces(clients: Clients, case: Case) -> Answer:
    services = services_of(case.incident)
    if not services:
        return Answer(fields={"traces": ()}, remark="no service of this alert or its layer sends traces")
    clearance, url = choose(clients.platform, case.clearance or None)
    trace_list, cut = traces(WindowReader(clients.web, url, clients.token, clearance), services, case.window)
    remark = _remark(f"services: {', '.join(services)}", "there may be more" if cut else "")
    return Answer(fields={"traces": trace_list, "clearance": clearance}, remark=remark)


def _logs(clients: Clients, case: Case) -> Answer:
    login = clients.platform.log_reader
    if login is None:
        raise OpsError("the stack has no reader of logs")
    log_lines, total = logs(clients.web, clients.logs_url, login.pair, case.incident, case.window)
    remark = "" if total == len(log_lines) else f"the first {len(log_lines)} of {total} lines"
    return Answer(fields={"logs": log_lines}, remark=remark)


def _cluster(clients: Clients, case: Case) -> Answer:
    cluster_events, total = cluster(clients.kube, case.window)
    remark = "" if total == len(cluster_events) else f"{len(cluster_events)} of {total}, the most telling ones"
    return Answer(fields={"cluster": cluster_events}, remark=remark)


def _changes(clients: Clients, case: Case) -> Answer:
    del clients
    updates, total = changes(case.window)
    remark = "" if total == len(updates) else f"the last {len(updates)} of {total} updates"
    return Answer(fields={"changes": updates}, remark=remark)


SOURCES: Mapping[str, Collector] = {
    "firing": _firing,
    "metrics": _metrics,
    "events": _events,
    "notifications": _notifications,
    "silences": _silences,
    "traces": _traces,
    "logs": _logs,
    "cluster": _cluster,
    "changes": _changes,
}
"""All sources, by the name that reports call them."""


@dataclass
class _Results:
    """Answers as they come, and problems."""

    answers: dict[str, Answer] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def collect(
    clients: Clients,
    incident: Incident,
    window: TimeWindow,
    *,
    clearance: str,
    before: Evidence | None = None,
    sources: Mapping[str, Collector] = SOURCES,
    limit_s: float = LIMIT_S,
    done: Callable[[str], None] = lambda name: None,
) -> Evidence:
    """Ask all sources at the same time, for a limited time.

    Args:
        clients: The servers.
        incident: What it is about.
        window: The time that is looked at.
        clearance: Most restricted class of traces that may be read; empty for the tool's highest.
        before: What was collected before; it stays where a source cannot be read now, or has forgotten it.
        sources: The sources.
        limit_s: Seconds for all of them.
        done: Told the name of each source that has ended.
    """
    if clearance and clearance not in CLASSES:
        raise OpsError(f"--clearance is {clearance!r}, must be one of {', '.join(CLASSES)}")
    case = Case(incident=incident, window=window, clearance=clearance, deadline=time.monotonic() + limit_s)
    results = _run(clients, case, sources, done)
    now = datetime.now(UTC)
    values: dict[str, Any] = {}
    states: dict[str, Source] = {}
    for name in sources:
        if answer := results.answers.get(name):
            values |= answer.fields
            states[name] = Source(collected=now, remark=answer.remark)
        else:
            states[name] = Source(
                collected=None, problem=results.problems.get(name) or f"no answer within {limit_s:g} s"
            )
    evidence = Evidence(start=window.start, end=window.end, cut=window.cut, sources=states, **values)
    secrets = clients.secrets()
    return merged(cleaned(evidence, secrets), cleaned(before, secrets) if before else None)


def _run(clients: Clients, case: Case, sources: Mapping[str, Collector], done: Callable[[str], None]) -> _Results:
    results = _Results()

    def ask(name: str, collector: Collector) -> None:
        try:
            answer = collector(clients, case)
        except OpsError as error:
            _record(results, name, problem=one_line(error))
        except Exception as error:  # A source may fail in any way; the report must come.
            _record(results, name, problem=f"{type(error).__name__}: {one_line(error, 160)}")
        else:
            _record(results, name, answer=answer)

    threads = {
        name: threading.Thread(target=ask, args=(name, collector), name=f"collect-{name}", daemon=True)
        for name, collector in sources.items()
    }
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, case.deadline - time.monotonic()))
        done(name)
    with results.lock:
        return _Results(answers=dict(results.answers), problems=dict(results.problems))


def _record(results: _Results, name: str, *, answer: Answer | None = None, problem: str = "") -> None:
    with results.lock:
        if answer is not None:
            results.answers[name] = answer
        else:
            results.problems[name] = problem


def missing(evidence: Evidence) -> Sequence[tuple[str, Source]]:
    """Sources that could not be read the last time."""
    return [(name, source) for name, source in evidence.sources.items() if source.problem]
