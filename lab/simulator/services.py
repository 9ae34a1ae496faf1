"""The observed system: the services of layers L2 to L5, each with the metrics, spans and logs of its work, and all of
it stepped in the order in which devices and services depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from components.telemetry.file import content
from components.telemetry.naming import Kind
from lab.simulator.config import FaultPlan
from lab.simulator.devices import BYTES_PER_S, Device, Event, Operation, Source, clamp
from lab.simulator.request_flows import RequestFlows

_TIB = 1024**4


class Service:
    """One service with its own random numbers, so that services do not disturb each other's."""

    name = ""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"{seed}/{self.name}")
        self.source = Source(self.name, f"{self.name}-1", extra={"host.name": f"{self.name}-1"})
        self._waited: dict[str, float] = {}

    def due(self, what: str, every_s: float, dt: float) -> bool:
        """Whether something that happens every ``every_s`` seconds happens in this step; the first time at once."""
        waited = self._waited.get(what, every_s) + dt
        happens = waited >= every_s
        self._waited[what] = waited - every_s * (waited // every_s) if happens else waited
        return happens

    def say(self, name: str, message: str, severity: str = "INFO") -> None:
        """Write a structured log record."""
        self.source.events.append(Event(name=name, message=message, severity=severity))


class StreamServer(Service):
    """Receives the devices' streams."""

    name = "stream-server"

    def step(self, dt: float, now: float, faults: FaultPlan, devices: list[Device]) -> int:
        """Live through ``dt`` seconds; returns the number of live streams."""
        jitter, loss = self.random.random(), self.random.random()
        live = sum(device.streaming for device in devices)
        fault = faults.magnitude("stream-delay", now)
        delay = fault if fault is not None else 0.25 + 0.15 * jitter + 0.002 * live
        self.source.set("stream.active", live)
        self.source.set("stream.delay", delay)
        self.source.set("stream.throughput", live * BYTES_PER_S * (0.95 + 0.1 * jitter))
        self.source.set("stream.packet.loss", 0.002 + 0.008 * loss)
        decode = Operation(name="decode", duration_s=0.004 + 0.004 * jitter)
        self.source.operations.append(
            Operation(
                name="stream.receive",
                server=True,
                duration_s=0.02 + 0.02 * loss,
                attributes={"stream.active": live},
                children=(decode, Operation(name="relay", duration_s=0.003)),
            )
        )
        if fault is not None and self.due("delay-log", 60, dt):
            self.say("stream.delayed", f"play-out is {delay:.1f} s behind", "WARN")
        return live


class Recorder(Service):
    """Cuts live streams into segments and stores them."""

    name = "recorder"
    _ERRORS = ("timeout", "storage")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._owed = 0.0
        self.source.add("recording.attempts", 0)
        for error in self._ERRORS:
            self.source.add("recording.failures", 0, {"error.type": error})

    def step(self, dt: float, now: float, faults: FaultPlan, live: int) -> float:
        """Live through ``dt`` seconds; returns the bytes that were stored."""
        fault = faults.magnitude("recording-failures", now)
        self._owed += live * dt / 10
        attempts, self._owed = int(self._owed), self._owed % 1
        draws = [(self.random.random(), self.random.random()) for _ in range(attempts)]
        failed = 0
        for chance, which in draws:
            if chance < (fault if fault is not None else 0.004):
                error = self._ERRORS[which > 0.5]
                failed += 1
                self.source.add("recording.failures", 1, {"error.type": error})
                self.say("recording.failed", f"segment was not stored: {error}", "ERROR")
        stored = (attempts - failed) * 10 * BYTES_PER_S
        self.source.add("recording.attempts", attempts)
        self.source.add("recording.stored", stored)
        self.source.set("recording.active", live)
        if attempts:
            put = Operation(name="PUT segment", duration_s=0.05 + 0.05 * draws[0][1], error="timeout" if failed else "")
            self.source.operations.append(
                Operation(
                    name="recording.segment",
                    duration_s=put.duration_s + 0.02,
                    error=put.error,
                    children=(Operation(name="encode", duration_s=0.015), put),
                )
            )
        return stored


class Storage(Service):
    """Object storage (MinIO) that holds recordings until they are in ADLS."""

    name = "storage"
    _SIZE = 4 * _TIB
    _BASE = 0.42

    def step(self, dt: float, now: float, faults: FaultPlan, backlog: float) -> None:
        """Live through ``dt`` seconds with ``backlog`` bytes that wait for their transfer."""
        fault = faults.magnitude("storage", now)
        used = fault if fault is not None else min(self._BASE + backlog / self._SIZE, 0.79)
        self.source.set("system.filesystem.limit", self._SIZE)
        self.source.set("system.filesystem.utilization", used)
        for state, part in (("used", used), ("free", 1 - used)):
            self.source.set("system.filesystem.usage", round(part * self._SIZE), {"system.filesystem.state": state})
        if used > 0.9 and self.due("full-log", 60, dt):
            self.say("storage.filling", f"storage is {used:.0%} full", "ERROR")


class AdlsTransfer(Service):
    """Moves recordings to ADLS."""

    name = "adls-transfer"
    _RATE = 25_000_000

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.backlog = 200e6
        self._age = 0.0
        self.source.add("adls.transfer.failures", 0, {"error.type": "timeout"})

    def step(self, dt: float, now: float, faults: FaultPlan, stored: float) -> None:
        """Live through ``dt`` seconds in which ``stored`` bytes came in."""
        jitter = self.random.random()
        self.backlog += stored
        if faults.magnitude("adls-stalled", now) is not None:
            self._age += dt
            self.source.add("adls.transfer.io", 0)
            self.source.add("adls.transfer.failures", 1, {"error.type": "timeout"})
            self.say("adls.transfer.failed", "no answer from ADLS", "ERROR")
        else:
            moved = min(self.backlog, self._RATE * dt * (0.8 + 0.4 * jitter))
            self.backlog -= moved
            self._age = 0.0
            self.source.add("adls.transfer.io", round(moved))
        failed = self._age > 0
        self.source.set("adls.transfer.backlog", round(self.backlog))
        self.source.set("adls.transfer.age", self._age if self.backlog else 0)
        self.source.operations.append(
            Operation(name="adls.upload", duration_s=0.3 + 0.3 * jitter, error="timeout" if failed else "")
        )


class WorkApi(Service):
    """Answers the business API from its database."""

    name = "work-api"
    _ROUTES = (("GET", "/api/works"), ("GET", "/api/works/{id}"), ("POST", "/api/works"), ("POST", "/api/events"))
    _POOL = 40

    def step(self, dt: float, now: float, faults: FaultPlan, sessions: int) -> None:
        """Live through ``dt`` seconds with this many signed-in sessions."""
        fault = faults.magnitude("api-latency", now)
        requests = max(1, min(round(dt * 2), 200))
        for _ in range(requests):
            self._answer(fault)
        full = faults.magnitude("db-pool", now)
        jitter = self.random.random()
        used = round(full * self._POOL) if full is not None else round(6 + 0.08 * min(sessions, 200) + 6 * jitter)
        pool = {"db.client.connection.pool.name": "works"}
        self.source.set("db.client.connection.max", self._POOL, pool)
        for state, count in (("used", used), ("idle", self._POOL - used)):
            self.source.set("db.client.connection.count", count, pool | {"db.client.connection.state": state})
        self.source.set("http.server.active_requests", round(2 + 6 * jitter))

    def _answer(self, fault: float | None) -> None:
        method, route = self._ROUTES[int(self.random.random() * len(self._ROUTES))]
        normal = clamp(self.random.lognormvariate(-2.4, 0.5), 0.01, 1.8)
        fails = self.random.random() < 0.003
        traced = self.random.random() < 0.1
        duration = fault * (0.9 + normal) if fault is not None else normal
        status = 500 if fails else 201 if method == "POST" else 200
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": str(status)}
        self.source.measure("http.server.request.duration", duration, attributes)
        if traced or fails:
            query = Operation(
                name="SELECT works", duration_s=duration * 0.6, attributes={"db.system.name": "postgresql"}
            )
            self.source.operations.append(
                Operation(
                    name=f"{method} {route}",
                    server=True,
                    duration_s=duration,
                    attributes={**attributes, "http.response.status_code": status},
                    error="500" if fails else "",
                    children=(query,),
                    events=(_failure(method, route),) if fails else (),
                )
            )


def _failure(method: str, route: str) -> Event:
    """The log of a failed request: it carries the ids of the request's span."""
    return Event(name="http.server.error", message=f"{method} {route} answered 500", severity="ERROR")


class EventProcessor(Service):
    """Turns the devices' work events into records."""

    name = "event-processor"
    _TYPES = ("started", "paused", "finished")

    def step(self, dt: float, now: float, faults: FaultPlan, live: int) -> None:
        """Live through ``dt`` seconds with this many live streams."""
        jitter = self.random.random()
        late = faults.magnitude("event-delay", now)
        delay = late if late is not None else 0.5 + 3 * jitter
        arrivals = max(live, 1) * dt / 60
        self.source.set("work_event.processing.delay", delay)
        self.source.set("work_event.queue.length", round(max(live, 1) / 60 * delay))
        for kind in self._TYPES:
            count = round(arrivals * self.random.uniform(0.2, 0.5)) if late is None else 0
            self.source.add("work_event.processed", count, {"work_event.type": kind})
        self.source.operations.append(
            Operation(
                name="work_event.process",
                duration_s=0.02 + 0.03 * jitter,
                children=(Operation(name="INSERT work_events", duration_s=0.008),),
            )
        )


class Etl(Service):
    """Loads work records into the analysis store, job by job."""

    name = "etl"
    _JOBS = (("works-hourly", 45.0), ("recordings-index", 90.0), ("speech-transcripts", 240.0))
    _EVERY_S = 300.0

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds; a fault fails the first job at once, and until a run succeeds again."""
        fault = faults.magnitude("etl-failed", now) is not None
        due = self.due("run", self._EVERY_S, dt)
        for position, (job, usual) in enumerate(self._JOBS):
            jitter = self.random.random()
            name = {"etl.job.name": job}
            failed = fault and position == 0
            was_failed = self.source.values.get("etl.job.last_status", {}).get(tuple(name.items())) == 0
            for outcome in ("success", "failure"):
                self.source.add("etl.job.runs", 0, name | {"outcome": outcome})
            if due or failed != was_failed:
                self.source.set("etl.job.last_status", 0 if failed else 1, name)
                self.source.add("etl.job.runs", 1, name | {"outcome": "failure" if failed else "success"})
                self.source.measure("etl.job.duration", usual * (0.8 + 0.4 * jitter), name)
                outcome, severity = ("failed", "ERROR") if failed else ("succeeded", "INFO")
                self.say("etl.job.finished", f"{job} {outcome}", severity)


class ConsistencyCheck(Service):
    """Compares stores with each other."""

    name = "consistency-check"
    _CHECKS = ("works-vs-events", "recordings-vs-metadata")

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds; a fault is found by the first check."""
        magnitude = faults.magnitude("inconsistency", now) or 0.0
        due = self.due("run", 60, dt)
        for position, check in enumerate(self._CHECKS):
            name = {"consistency.check.name": check}
            records = magnitude if position == 0 else 0.0
            self.source.set("consistency.check.inconsistencies", records, name)
            self.source.add("consistency.check.runs", 1 if due else 0, name)
            if due and records:
                self.say("consistency.check.failed", f"{check}: {records:.0f} records disagree", "ERROR")


class ReportGenerator(Service):
    """Writes the daily and weekly reports."""

    name = "report-generator"
    _REPORTS = ("daily", "weekly")
    _EVERY_S = 600.0

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds; a fault keeps the daily report from being written."""
        late = faults.magnitude("report-late", now) or 0.0
        due = self.due("run", self._EVERY_S, dt)
        for report in self._REPORTS:
            name = {"report.name": report}
            delay = late if report == "daily" else 0.0
            self.source.set("report.generation.delay", delay, name)
            self.source.add("report.generated", 1 if due and not delay else 0, name)
            if due:
                self.say("report.missing" if delay else "report.generated", report, "ERROR" if delay else "INFO")


class DashboardUi(Service):
    """The users' screens."""

    name = "dashboard-ui"
    _SCREENS = ("overview", "work-detail", "analysis")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._sessions = self.random.uniform(25, 45)

    def step(self, dt: float, now: float, faults: FaultPlan) -> int:
        """Live through ``dt`` seconds; returns the number of signed-in sessions."""
        self._sessions = clamp(self._sessions + self.random.uniform(-2, 2), 15, 70)
        surge = faults.magnitude("sessions", now)
        sessions = round(surge if surge is not None else self._sessions)
        self.source.set("user.session.active", sessions)
        slow = faults.magnitude("screen-display", now)
        for screen in self._SCREENS:
            for _ in range(max(1, min(round(dt / 2), 50))):
                normal = clamp(self.random.lognormvariate(-0.2, 0.4), 0.2, 4)
                duration = normal if slow is None else slow * (0.9 + normal / 10)
                self.source.measure("screen.display.duration", duration, {"screen.name": screen})
            if self.random.random() < 0.3:
                self.source.operations.append(
                    Operation(
                        name=f"screen {screen}",
                        server=True,
                        duration_s=duration,
                        children=(Operation(name="GET /api/works", duration_s=duration * 0.5),),
                    )
                )
        return sessions


class AnalysisWorker(Service):
    """Runs the analyses; its processors follow the number of users."""

    name = "analysis-worker"

    def step(self, dt: float, now: float, faults: FaultPlan, sessions: int) -> None:
        """Live through ``dt`` seconds with this many signed-in sessions."""
        jitter, memory = self.random.random(), self.random.random()
        busy = faults.magnitude("cpu", now)
        load = busy if busy is not None else clamp(0.2 + 0.003 * sessions + 0.15 * jitter, 0.05, 0.85)
        self.source.set("system.cpu.utilization", load)
        self.source.set("system.memory.utilization", 0.45 + 0.1 * memory)
        self.source.set("analysis.job.queue.length", round(10 * load * load))
        self.source.operations.append(Operation(name="analysis.run", duration_s=0.5 + 2 * load * jitter))
        if busy is not None and self.due("busy-log", 60, dt):
            self.say("analysis.overloaded", f"processors are {busy:.0%} busy", "WARN")


_MEASUREMENTS = 10
"""Values of a histogram in one step."""


class CatalogService:
    """One entry under ``services``. Metrics without ``simulated`` are not sent."""

    def __init__(self, entry: Mapping[str, Any], thresholds: list[Mapping[str, Any]]) -> None:
        """``thresholds`` are the entries of the file: their faults are the services' faults."""
        name = entry["name"]
        self.source = Source(name, f"{name}-further", extra={"host.name": f"{name}-further"})
        self._simulated = {
            metric["name"]: metric["simulated"] for metric in entry.get("metrics", ()) if "simulated" in metric
        }
        self._faults = {name: [row["name"] for row in thresholds if name in row["metrics"]] for name in self._simulated}

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds."""
        for name, simulated in self._simulated.items():
            faulty = any(faults.magnitude(kind, now) is not None for kind in self._faults[name])
            value = simulated.get("faulty", simulated["usual"]) if faulty else simulated["usual"]
            self._send(name, value, dict(simulated.get("attributes", {})), dt)

    def _send(self, name: str, value: float, attributes: dict[str, str], dt: float) -> None:
        kind = self.source.metrics[name].kind
        if kind is Kind.COUNTER:
            self.source.add(name, value * dt, attributes)
        elif kind is Kind.HISTOGRAM:
            for _ in range(_MEASUREMENTS):
                self.source.measure(name, value, attributes)
        else:
            self.source.set(name, value, attributes)


def catalog_services() -> list[CatalogService]:
    """All services that the file adds and that send metrics."""
    file = content()
    return [CatalogService(service, file["thresholds"]) for service in file["services"] if service.get("metrics")]


class Simulation:
    """All sources. The same seed and fault plan give the same values, step by step."""

    def __init__(self, *, seed: int, devices: int) -> None:
        self.devices = [Device(index, seed) for index in range(devices)]
        self._stream, self._recorder, self._storage, self._adls = (
            StreamServer(seed),
            Recorder(seed),
            Storage(seed),
            AdlsTransfer(seed),
        )
        self._api, self._events = WorkApi(seed), EventProcessor(seed)
        self._etl, self._check, self._reports = Etl(seed), ConsistencyCheck(seed), ReportGenerator(seed)
        self._ui, self._worker = DashboardUi(seed), AnalysisWorker(seed)
        self._catalog_services = catalog_services()
        self.request_flows = RequestFlows(seed)
        self.now = 0.0

    @property
    def sources(self) -> list[Source]:
        """Every resource, devices first."""
        services = (
            self._stream,
            self._recorder,
            self._storage,
            self._adls,
            self._api,
            self._events,
            self._etl,
            self._check,
            self._reports,
            self._ui,
            self._worker,
        )
        return [
            *(device.source for device in self.devices),
            *(service.source for service in services),
            *(service.source for service in self._catalog_services),
            *self.request_flows.sources,
        ]

    def step(self, dt: float, faults: FaultPlan) -> None:
        """Advance by ``dt`` seconds."""
        self.now += dt
        now = self.now
        for device in self.devices:
            device.step(dt, now, faults)
        live = self._stream.step(dt, now, faults, self.devices)
        stored = self._recorder.step(dt, now, faults, live)
        self._adls.step(dt, now, faults, stored)
        self._storage.step(dt, now, faults, self._adls.backlog)
        self._events.step(dt, now, faults, live)
        sessions = self._ui.step(dt, now, faults)
        self._api.step(dt, now, faults, sessions)
        self._worker.step(dt, now, faults, sessions)
        self._etl.step(dt, now, faults)
        self._check.step(dt, now, faults)
        self._reports.step(dt, now, faults)
        for service in self._catalog_services:
            service.step(dt, now, faults)
        self.request_flows.step(dt, now, faults, self.devices)
