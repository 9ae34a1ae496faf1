"""The steps of one segment's way: device edge, streaming, recording, metadata, analysis UI."""

from __future__ import annotations

from random import Random

from components.telemetry.services import (
    ANALYSIS_UI,
    DEVICE_EDGE,
    METADATA,
    RECORDING,
    REGISTRATIONS_TOPIC,
    SEGMENTS_TOPIC,
    STREAMING_SERVICE,
)
from lab.simulator.devices import Device
from lab.simulator.source import Event
from lab.simulator.steps import InjectedFault, Step, StepLog, Value


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
