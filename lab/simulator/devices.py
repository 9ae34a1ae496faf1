"""Sources, each a resource with the current values of its metrics, its spans and its logs; and those of layer L1:
wearable devices whose battery, network, stream and speech recognition depend on each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from components.telemetry.attributes import DEVICE_ID
from components.telemetry.catalogue import SERVICES, Metric, metrics_of
from components.telemetry.layers import Layer
from components.telemetry.naming import Kind
from lab.simulator.config import FaultPlan

Attributes = tuple[tuple[str, str], ...]
_MAX_WAITING = 2000


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One finished piece of work, to become a span; times are seconds relative to the end of the whole trace."""

    name: str
    duration_s: float
    attributes: dict[str, str | int | float] = field(default_factory=dict)
    error: str = ""
    server: bool = False
    children: tuple[Operation, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Event:
    """One structured log record."""

    name: str
    message: str
    severity: str = "INFO"
    attributes: dict[str, str | int | float] = field(default_factory=dict)


class Source:
    """One resource. Values may only be set for metrics that the catalogue lists for the service."""

    def __init__(
        self,
        service: str,
        instance: str,
        *,
        layer: Layer | None = None,
        device_id: str = "",
        extra: dict[str, str] | None = None,
    ) -> None:
        """``layer`` is for services without metrics; the catalogue knows that of the others."""
        self.service = service
        self.layer: Layer = layer or SERVICES[service]
        self.instance = instance
        self.attributes = {DEVICE_ID: device_id} if device_id else {}
        self.attributes |= extra or {}
        self.silent = False
        self.metrics: dict[str, Metric] = {metric.name: metric for metric in metrics_of(service)}
        self.values: dict[str, dict[Attributes, float]] = {}
        self.measurements: deque[tuple[str, Attributes, float]] = deque(maxlen=_MAX_WAITING)
        self.operations: deque[Operation] = deque(maxlen=_MAX_WAITING)
        self.events: deque[Event] = deque(maxlen=_MAX_WAITING)

    def set(self, name: str, value: float, attributes: dict[str, str] | None = None) -> None:
        """Set the current value of a gauge or an up-down counter."""
        self._check(name, Kind.GAUGE, Kind.UP_DOWN_COUNTER)
        self.values.setdefault(name, {})[self._key(name, attributes)] = value

    def add(self, name: str, amount: float, attributes: dict[str, str] | None = None) -> None:
        """Add to a counter; adding 0 makes its series exist."""
        self._check(name, Kind.COUNTER)
        series = self.values.setdefault(name, {})
        key = self._key(name, attributes)
        series[key] = series.get(key, 0.0) + amount

    def measure(self, name: str, value: float, attributes: dict[str, str] | None = None) -> None:
        """Record one value of a histogram."""
        self._check(name, Kind.HISTOGRAM)
        self.measurements.append((name, self._key(name, attributes), value))

    def value(self, name: str) -> float:
        """Sum of a metric's current values over all its attributes."""
        return sum(self.values[name].values())

    def drain_measurements(self) -> Iterator[tuple[str, Attributes, float]]:
        """Take the histogram values that wait."""
        while self.measurements:
            yield self.measurements.popleft()

    def _check(self, name: str, *kinds: Kind) -> None:
        if self.metrics[name].kind not in kinds:
            raise TypeError(f"metric {name} is a {self.metrics[name].kind.value}")

    def _key(self, name: str, attributes: dict[str, str] | None) -> Attributes:
        key = tuple(sorted((attributes or {}).items()))
        if {attribute for attribute, _ in key} != set(self.metrics[name].attributes):
            raise KeyError(f"metric {name} has the attributes {self.metrics[name].attributes}, not {key}")
        return key


STATES = ("idle", "recording", "charging", "offline")
_MODELS = (("WD-200", "3.4.1"), ("WD-200", "3.5.0"), ("WD-310", "1.2.0"))
_LOW, _FULL = 0.30, 0.97
_DRAIN_RECORDING, _DRAIN_IDLE = 1 / (6 * 3600), 1 / (24 * 3600)
_CHARGE = 1 / 2400
_FAULT_DRAIN = 0.02
_FRAMES_PER_S = 25
BYTES_PER_S = 320_000
"""Media rate of one live stream."""


def clamp(value: float, lowest: float, highest: float) -> float:
    """``value``, brought into the range."""
    return max(lowest, min(highest, value))


class Device:
    """One wearable. It takes the same number of random draws in every step, so a fault changes nothing else."""

    def __init__(self, index: int, seed: int) -> None:
        self.index = index
        self._random = Random(f"{seed}/device/{index}")
        model, firmware = _MODELS[index % len(_MODELS)]
        self.id = f"dev-{index + 1:04d}"
        self.source = Source(
            "device-agent",
            self.id,
            device_id=self.id,
            extra={"device.model.identifier": model, "os.version": firmware},
        )
        self._battery = self._random.uniform(0.45, 0.95)
        self._base_latency = self._random.uniform(0.03, 0.09)
        self._latency = self._base_latency
        self._mode = "recording" if self._random.random() < 0.7 else "idle"
        self._connected = True
        self.source.add("device.delivery.frames", 0)

    @property
    def streaming(self) -> bool:
        """Whether the device sends a live stream."""
        return self._connected and self._mode == "recording"

    @property
    def delay_s(self) -> float:
        """Delivery delay of the device's stream."""
        return self.source.value("device.delivery.delay")

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds, up to the time ``now``."""
        wander, mood, noise_delay, noise_quality, noise_speech = (self._random.random() for _ in range(5))
        self.source.silent = faults.hits("silent", self.index, now) is not None
        self._connect(faults.hits("disconnected", self.index, now) is None)
        self._live(dt, mood, faults.hits("battery", self.index, now))
        self._latency += 0.3 * (self._base_latency - self._latency) + (wander - 0.5) * 0.02
        self._latency = clamp(self._latency, 0.01, 0.2)
        fault_delay = faults.hits("delivery-delay", self.index, now)
        delay = fault_delay if fault_delay is not None else 0.12 + 1.5 * self._latency + 0.08 * noise_delay
        fault_quality = faults.hits("stream-quality", self.index, now)
        quality = fault_quality if fault_quality is not None else 4.4 - 3 * self._latency - 0.2 * noise_quality
        fault_speech = faults.hits("speech-accuracy", self.index, now)
        healthy_quality = 4.4 - 3 * self._latency - 0.2 * noise_quality
        speech = fault_speech if fault_speech is not None else 0.86 + 0.025 * healthy_quality - 0.03 * noise_speech
        self._publish(delay, quality, speech)
        if self.streaming:
            self.source.add("device.delivery.frames", round(_FRAMES_PER_S * dt))

    def _connect(self, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            if connected:
                self.source.events.append(Event(name="device.connected", message="connection is back"))
            else:
                self.source.events.append(Event(name="device.disconnected", message="connection lost", severity="WARN"))

    def _live(self, dt: float, mood: float, drain_to: float | None) -> None:
        if drain_to is not None:
            self._battery = max(min(self._battery, drain_to), self._battery - _FAULT_DRAIN * dt)
            self._mode = "recording" if self._mode == "charging" else self._mode
            return
        if self._mode == "charging":
            self._battery += _CHARGE * dt
            if self._battery >= _FULL:
                self._mode = "recording"
        else:
            self._battery -= (_DRAIN_RECORDING if self._mode == "recording" else _DRAIN_IDLE) * dt
            if self._battery < _LOW:
                self._mode = "charging"
                self.source.events.append(Event(name="device.charging", message="battery low: put on the charger"))
            elif mood < dt / 900:
                self._mode = "idle" if self._mode == "recording" else "recording"
                self.source.events.append(Event(name="device.state.changed", message=f"now {self._mode}"))
        self._battery = clamp(self._battery, 0.0, 1.0)

    def _publish(self, delay: float, quality: float, speech: float) -> None:
        source = self.source
        source.set("hw.battery.charge", self._battery)
        source.set("device.connected", 1 if self._connected else 0)
        state = self._mode if self._connected else "offline"
        for known_state in STATES:
            source.set("device.state", 1 if known_state == state else 0, {"device.state": known_state})
        source.set("device.network.latency", self._latency)
        source.set("device.delivery.delay", delay)
        source.set("device.stream.quality", clamp(quality, 1, 5))
        source.set("device.speech_recognition.accuracy", clamp(speech, 0, 1))
