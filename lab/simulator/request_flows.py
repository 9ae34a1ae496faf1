"""Request flows: when devices send segments, the steps of a segment's way through five services (device edge,
streaming, recording, metadata, analysis UI), and what goes wrong on it.

A request flow becomes one trace (`lab.simulator.pipeline`). The device itself sends no spans, so its edge begins.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from components.telemetry.attributes import DATA_CLASSIFICATION
from components.telemetry.services import (
    ANALYSIS_UI,
    DEVICE_EDGE,
    METADATA,
    RECORDING,
    REGISTRATIONS_TOPIC,
    SEGMENTS_TOPIC,
    STREAMING_SERVICE,
    TRACED_SERVICES,
    TracedService,
)
from lab.simulator.config import FaultPlan
from lab.simulator.devices import Device, Event, Source

Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class StepLog:
    """A log record that belongs to a step; ``instance`` writes it, or the step's own service."""

    event: Event
    instance: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One piece of work, to become a span.

    Attributes:
        service: Who does it.
        operation: Name of one of its operations.
        work_s: Own time, before and after what it waits for.
        attributes: Attributes of the span.
        error: Value of ``error.type``; empty when all went well.
        calls: Steps that it waits for, one after the other.
        handed: Step of a consumer that begins `delay_s` after this one, a producer's, has ended.
        delay_s: Time that the message takes.
        logs: Log records.
    """

    service: TracedService
    operation: str
    work_s: float
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    calls: tuple[Step, ...] = ()
    handed: Step | None = None
    delay_s: float = 0.0
    logs: tuple[StepLog, ...] = ()

    @property
    def duration_s(self) -> float:
        """From its beginning to its end."""
        return self.work_s + sum(call.duration_s for call in self.calls)

    @property
    def whole_s(self) -> float:
        """From its beginning to the end of everything that it set off."""
        ends, begin = [self.duration_s], self.work_s / 2
        for call in self.calls:
            ends.append(begin + call.whole_s)
            begin += call.duration_s
        if self.handed is not None:
            ends.append(self.duration_s + self.delay_s + self.handed.whole_s)
        return max(ends)


@dataclass(frozen=True, kw_only=True)
class RequestFlow:
    """One trace: its first step, and the baggage that all its services are given."""

    root: Step
    baggage: dict[str, str]


@dataclass(frozen=True)
class InjectedFault:
    """Which service fails or is slow in one request flow; empty: none."""

    fails: str = ""
    slow: str = ""

    def error(self, service: TracedService, kind: str) -> str:
        return kind if self.fails == service.name else ""

    def work(self, service: TracedService, usual_s: float) -> float:
        return usual_s + (1.5 * service.latency_limit_ms / 1000 if self.slow == service.name else 0.0)


class TraceTemplate:
    """The steps of one request flow, from the last to the first, since each contains those it waits for."""

    def __init__(
        self, random: Random, injected_fault: InjectedFault, device: Device, pseudonym: str, told: bool
    ) -> None:
        self._random, self._injected_fault, self._device, self._told = random, injected_fault, device, told
        self._pseudonym = pseudonym
        # The letter keeps it from looking like a number that means somebody.
        self._stream = f"s{random.getrandbits(44):011x}"
        self._partition = str(random.randrange(8))

    def upload(self) -> Step:
        """The edge takes the segment on and passes it to streaming."""
        relayed = self._relayed()
        broken = self._injected_fault.error(DEVICE_EDGE, "500")
        status = 500 if broken else 502 if relayed.error else 202
        route = "/v1/devices/{device}/segments"
        return Step(
            service=DEVICE_EDGE,
            operation=f"POST {route}",
            work_s=self._injected_fault.work(DEVICE_EDGE, self._usual(0.01)),
            attributes=_served("POST", route, route.replace("{device}", self._pseudonym), status),
            error=broken or ("502" if relayed.error else ""),
            calls=() if broken else (relayed,),
            logs=(
                *self._tell("segment.uploaded", "segment was taken by the edge", instance=self._device.id),
                *self._trouble("segment.refused", "segment could not be taken", broken),
            ),
        )

    def _relayed(self) -> Step:
        received = self._received()
        route = "/v1/streams/{stream}/segments"
        status = 500 if received.error else 202
        return Step(
            service=DEVICE_EDGE,
            operation=f"POST {route}",
            work_s=self._usual(0.002),
            attributes=_called("POST", "streaming", route, route.replace("{stream}", self._stream), status),
            error=received.error,
            calls=(received,),
        )

    def _received(self) -> Step:
        route = "/v1/streams/{stream}/segments"
        broken = self._injected_fault.error(STREAMING_SERVICE, "500")
        steps = (
            Step(
                service=STREAMING_SERVICE,
                operation="decode segment",
                work_s=self._usual(0.02),
                error="DecodeError" if broken else "",
            ),
            self._handed_over(),
        )
        return Step(
            service=STREAMING_SERVICE,
            operation=f"POST {route}",
            work_s=self._injected_fault.work(STREAMING_SERVICE, self._usual(0.005)),
            attributes=_served("POST", route, route.replace("{stream}", self._stream), 500 if broken else 202),
            error=broken,
            calls=steps[:1] if broken else steps,
            logs=(
                *self._tell("segment.received", "segment is on its way to the recording"),
                *self._trouble("segment.undecodable", "segment could not be decoded", broken),
            ),
        )

    def _handed_over(self) -> Step:
        return Step(
            service=STREAMING_SERVICE,
            operation=f"send {SEGMENTS_TOPIC}",
            work_s=self._usual(0.004),
            attributes=self._message(SEGMENTS_TOPIC, "send"),
            handed=self._recorded(),
            delay_s=self._usual(0.03),
        )

    def _recorded(self) -> Step:
        broken = self._injected_fault.error(RECORDING, "timeout")
        put = Step(
            service=RECORDING,
            operation="PUT",
            work_s=self._usual(0.06),
            attributes=_called("PUT", "storage", "", f"/recordings/{self._stream}", 0 if broken else 200),
            error=broken,
        )
        registered = self._registered()
        encode = Step(service=RECORDING, operation="encode segment", work_s=self._usual(0.015))
        return Step(
            service=RECORDING,
            operation=f"process {SEGMENTS_TOPIC}",
            work_s=self._injected_fault.work(RECORDING, self._usual(0.004)),
            attributes=self._message(SEGMENTS_TOPIC, "process", group="recording"),
            error=broken or registered.error,
            calls=(encode, put) if broken else (encode, put, registered),
            logs=self._trouble("recording.failed", "segment was not stored", broken),
        )

    def _registered(self) -> Step:
        inserted = self._inserted()
        return Step(
            service=RECORDING,
            operation="POST /v1/recordings",
            work_s=self._usual(0.002),
            attributes=_called("POST", "metadata", "/v1/recordings", "/v1/recordings", 500 if inserted.error else 201),
            error=inserted.error,
            calls=(inserted,),
        )

    def _inserted(self) -> Step:
        broken = self._injected_fault.error(METADATA, "500")
        insert = Step(
            service=METADATA,
            operation="INSERT recordings",
            work_s=self._usual(0.008),
            attributes={
                "db.system.name": "postgresql",
                "db.namespace": "metadata",
                "db.collection.name": "recordings",
                "db.operation.name": "INSERT",
                "db.query.summary": "INSERT recordings",
                "server.address": "metadata-db",
                **({"db.response.status_code": "40001"} if broken else {}),
            },
            error="40001" if broken else "",
        )
        told = Step(
            service=METADATA,
            operation=f"send {REGISTRATIONS_TOPIC}",
            work_s=self._usual(0.003),
            attributes=self._message(REGISTRATIONS_TOPIC, "send"),
            handed=self._shown(),
            delay_s=self._usual(0.03),
        )
        return Step(
            service=METADATA,
            operation="POST /v1/recordings",
            work_s=self._injected_fault.work(METADATA, self._usual(0.004)),
            attributes=_served("POST", "/v1/recordings", "/v1/recordings", 500 if broken else 201),
            error=broken,
            calls=(insert,) if broken else (insert, told),
            logs=(
                *self._tell("recording.registered", "recording can be found"),
                *self._tell("recording.indexed", "recording is in the analysis store", instance="etl-1"),
                *self._trouble("recording.unregistered", "recording could not be registered", broken),
            ),
        )

    def _shown(self) -> Step:
        broken = self._injected_fault.error(ANALYSIS_UI, "RenderError")
        return Step(
            service=ANALYSIS_UI,
            operation=f"process {REGISTRATIONS_TOPIC}",
            work_s=self._injected_fault.work(ANALYSIS_UI, self._usual(0.01)),
            attributes=self._message(REGISTRATIONS_TOPIC, "process", group="analysis-ui"),
            error=broken,
            calls=(
                Step(
                    service=ANALYSIS_UI,
                    operation="render site totals",
                    work_s=self._usual(0.03),
                    error=broken,
                ),
            ),
            logs=(
                *self._tell("recording.shown", "recording is on the analysts' screens"),
                *self._trouble("recording.hidden", "screen could not be brought up to date", broken),
            ),
        )

    def _usual(self, seconds: float) -> float:
        return seconds * (0.7 + 0.6 * self._random.random())

    def _message(self, topic: str, action: str, *, group: str = "") -> dict[str, Value]:
        return {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": self._partition,
            "messaging.operation.name": action,
            "messaging.operation.type": action,
            **({"messaging.consumer.group.name": group} if group else {}),
        }

    def _tell(self, name: str, message: str, *, instance: str = "") -> tuple[StepLog, ...]:
        """One of the step's logs; only one request flow of a tick writes them, and none that went wrong."""
        quiet = not self._told or bool(self._injected_fault.fails)
        return () if quiet else (StepLog(event=Event(name=name, message=message), instance=instance),)

    def _trouble(self, name: str, message: str, error: str) -> tuple[StepLog, ...]:
        if not error:
            return ()
        attributes: dict[str, Value] = {"error.type": error}
        return (StepLog(event=Event(name=name, message=message, severity="ERROR", attributes=attributes)),)


def _served(method: str, route: str, path: str, status: int) -> dict[str, Value]:
    return {
        "http.request.method": method,
        "http.route": route,
        "url.scheme": "https",
        "url.path": path,
        "http.response.status_code": status,
    }


def _called(method: str, server: str, template: str, path: str, status: int) -> dict[str, Value]:
    return {
        "http.request.method": method,
        "server.address": server,
        "server.port": 443,
        "url.full": f"https://{server}{path}",
        **({"url.template": template} if template else {}),
        **({"http.response.status_code": status} if status else {}),
    }


_EVERY_S = 10.0
_MOST = 500
_BATCH_EVERY_S = 30.0


class RequestFlows:
    """Makes the request flows, and owns the five services' sources."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}/journeys")
        self._key = f"{seed}/pseudonyms".encode()
        self.sources = [
            Source(
                service.name,
                f"{service.name}-1",
                layer=service.layer,
                extra={"host.name": f"{service.name}-1", DATA_CLASSIFICATION: service.classification},
            )
            for service in TRACED_SERVICES
        ]
        self.waiting: deque[RequestFlow] = deque(maxlen=_MOST)
        self.batch_due = False
        self._owed: dict[str, float] = {}
        self._since_batch = 0.0

    def step(self, dt: float, now: float, faults: FaultPlan, devices: Sequence[Device]) -> None:
        """Live through ``dt`` seconds: each streaming device uploads a segment every ten."""
        self._since_batch += dt
        self.batch_due = self._since_batch >= _BATCH_EVERY_S
        if self.batch_due:
            self._since_batch = 0.0
        first = True
        for device in devices:
            owed = self._owed.get(device.id, max(0.0, _EVERY_S - dt)) + (dt if device.streaming else 0.0)
            count, self._owed[device.id] = (int(owed // _EVERY_S), owed % _EVERY_S) if device.streaming else (0, owed)
            for _ in range(min(count, 10)):
                self.waiting.append(self._request_flow(device, self._injected_fault(faults, now), told=first))
                first = False

    def pseudonym(self, kind: str, name: str) -> str:
        """Keyed hash in the place of a device's or a worker's id: joins, and says nothing."""
        return hmac.new(self._key, f"{kind}/{name}".encode(), hashlib.sha256).hexdigest()[:16]

    def _injected_fault(self, faults: FaultPlan, now: float) -> InjectedFault:
        draws = [self._random.random() for _ in range(4)]
        failing = draws[0] < (faults.magnitude("trace-errors", now) or 0.0)
        slow = draws[1] < (faults.magnitude("trace-slow", now) or 0.0)
        chosen = [TRACED_SERVICES[int(draw * len(TRACED_SERVICES))].name for draw in draws[2:]]
        return InjectedFault(fails=chosen[0] if failing else "", slow=chosen[1] if slow else "")

    def _request_flow(self, device: Device, injected_fault: InjectedFault, *, told: bool) -> RequestFlow:
        pseudonym = self.pseudonym("device", device.id)
        worker = self.pseudonym("worker", f"of {device.id}")
        template = TraceTemplate(self._random, injected_fault, device, pseudonym, told)
        return RequestFlow(root=template.upload(), baggage={"device.id": pseudonym, "enduser.pseudo.id": worker})
