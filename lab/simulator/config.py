"""The simulator's configuration, one YAML file closed to unknown keys, and its faults as data, re-read while it runs;
mistakes are a single clear line.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from components.telemetry.file import content, explaining, text
from components.telemetry.layers import LAYER_NAMES


class SimulatorError(Exception):
    """Something the user can act on; printed without a traceback."""


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        name: Name in the configuration; that of the threshold it crosses, where there is one.
        magnitude: Default magnitude, in the unit of the metric that goes wrong.
        unit: What the magnitude means; empty where it has no meaning.
        highest: Largest magnitude that makes sense.
        devices: Whether it hits single devices, so that ``targets`` says how many.
    """

    name: str
    magnitude: float
    unit: str
    highest: float
    devices: bool = False


FAULT_KINDS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(name="battery", magnitude=0.1, unit="charge that is left", highest=1, devices=True),
        FaultKind(name="delivery-delay", magnitude=3, unit="seconds", highest=3600, devices=True),
        FaultKind(name="disconnected", magnitude=0, unit="", highest=0, devices=True),
        FaultKind(name="silent", magnitude=0, unit="", highest=0, devices=True),
        FaultKind(name="stream-quality", magnitude=1.8, unit="mean opinion score", highest=5, devices=True),
        FaultKind(name="speech-accuracy", magnitude=0.6, unit="accuracy", highest=1, devices=True),
        FaultKind(name="stream-delay", magnitude=3, unit="seconds", highest=3600),
        FaultKind(name="recording-failures", magnitude=0.3, unit="fraction that fails", highest=1),
        FaultKind(name="storage", magnitude=0.95, unit="fraction in use", highest=1),
        FaultKind(name="adls-stalled", magnitude=0, unit="", highest=0),
        FaultKind(name="api-latency", magnitude=5, unit="seconds", highest=120),
        FaultKind(name="db-pool", magnitude=0.97, unit="fraction in use", highest=1),
        FaultKind(name="event-delay", magnitude=400, unit="seconds", highest=86400),
        FaultKind(name="etl-failed", magnitude=0, unit="", highest=0),
        FaultKind(name="inconsistency", magnitude=12, unit="records", highest=1e9),
        FaultKind(name="report-late", magnitude=90000, unit="seconds", highest=1e7),
        FaultKind(name="screen-display", magnitude=15, unit="seconds", highest=600),
        FaultKind(name="sessions", magnitude=160, unit="sessions", highest=1e6),
        FaultKind(name="cpu", magnitude=0.97, unit="busy fraction", highest=1),
        FaultKind(name="trace-errors", magnitude=0.3, unit="fraction of traces in which a service fails", highest=1),
        FaultKind(name="trace-slow", magnitude=0.3, unit="fraction of traces in which a service is slow", highest=1),
    )
}
"""Every kind. ``silent`` stops a device's telemetry altogether, ``trace-*`` move the end-to-end traces; all others move
one metric."""

with explaining():
    FAULT_KINDS |= {
        name: FaultKind(name=name, magnitude=0, unit="", highest=0)
        for name in (text(row["name"]) for row in content()["thresholds"])
        if name not in FAULT_KINDS
    }
"""A threshold on a further service has a fault without magnitude (`lab.simulator.services`)."""

DEFAULT_TARGETS = 3


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of a plan; times are seconds since the plan was read."""

    kind: str
    start: float = 0.0
    duration: float = 300.0
    magnitude: float = 0.0
    targets: int = DEFAULT_TARGETS

    def active(self, elapsed: float) -> bool:
        """Whether the fault is on, ``elapsed`` seconds after the plan was read."""
        return self.start <= elapsed < self.start + self.duration


@dataclass(frozen=True)
class FaultPlan:
    """The faults that are to happen, and the time that counts as their second 0."""

    faults: tuple[Fault, ...] = ()
    read_at: float = 0.0

    def magnitude(self, kind: str, now: float) -> float | None:
        """Magnitude of an active fault of this kind (the last in the plan wins), or None."""
        fault = self._active(kind, now)
        return None if fault is None else fault.magnitude

    def hits(self, kind: str, index: int, now: float) -> float | None:
        """Like `magnitude`, for the device with this index: a fault hits the first ``targets`` devices."""
        fault = self._active(kind, now)
        return None if fault is None or index >= fault.targets else fault.magnitude

    def names(self, now: float) -> tuple[str, ...]:
        """Kinds that are active now, in order."""
        return tuple(sorted({fault.kind for fault in self.faults if fault.active(now - self.read_at)}))

    def _active(self, kind: str, now: float) -> Fault | None:
        for fault in reversed(self.faults):
            if fault.kind == kind and fault.active(now - self.read_at):
                return fault
        return None


def parse_faults(entries: object, where: str) -> tuple[Fault, ...]:
    """Check a ``faults`` section.

    Args:
        entries: What the YAML holds: a list of mappings, or nothing.
        where: File and key, for the message.

    Raises:
        SimulatorError: An unknown key or kind, or a number out of range.
    """
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise SimulatorError(f"{where}: must be a list of faults, is {type(entries).__name__}")
    return tuple(_fault(entry, f"{where}[{position}]") for position, entry in enumerate(entries))


def _fault(entry: object, where: str) -> Fault:
    if not isinstance(entry, Mapping):
        raise SimulatorError(f"{where}: must be a mapping like {{kind: battery, start: 0, duration: 300}}")
    allowed = tuple(Fault.__dataclass_fields__)
    for key in entry:
        if key not in allowed:
            raise SimulatorError(f"{where}.{key}: unknown key; allowed are {', '.join(allowed)}")
    kind = FAULT_KINDS.get(str(entry.get("kind")))
    if kind is None:
        raise SimulatorError(f"{where}.kind is {entry.get('kind')!r}: use one of {', '.join(FAULT_KINDS)}")
    if "targets" in entry and not kind.devices:
        raise SimulatorError(f"{where}.targets: fault {kind.name} does not hit single devices; remove the key")
    targets = number(entry, "targets", DEFAULT_TARGETS, 1, 1e6, where)
    return Fault(
        kind=kind.name,
        start=number(entry, "start", 0.0, 0, 1e7, where),
        duration=number(entry, "duration", 300.0, 0, 1e7, where),
        magnitude=number(entry, "magnitude", kind.magnitude, 0, kind.highest, where),
        targets=int(targets),
    )


def number(values: Mapping[str, Any], key: str, default: float, lowest: float, highest: float, where: str) -> float:
    """A number of a mapping, checked.

    Raises:
        SimulatorError: It is not a number, or out of range.
    """
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise SimulatorError(f"{where}.{key} is {value!r}: must be a number from {lowest:g} to {highest:g}")
    return float(value)


class FaultFile:
    """A fault plan in a file that may change, appear or vanish while the simulator runs."""

    def __init__(self, path: Path | None, initial: tuple[Fault, ...], report: Callable[[str], None]) -> None:
        self._path = path
        self._initial = initial
        self._report = report
        self._text: str | None = None
        self._plan = FaultPlan(initial)

    def plan(self, now: float) -> FaultPlan:
        """The plan that counts now; a file that cannot be used leaves the last plan in force and is reported."""
        text = self._read()
        if text != self._text:
            self._text = text
            try:
                faults = parse_document(text or "", str(self._path))
            except SimulatorError as error:
                self._report(f"{error}; the faults in force are kept")
            else:
                self._plan = FaultPlan((*self._initial_left(now), *faults), now)
                self._report(f"faults read from {self._path}: {len(faults)}")
        return self._plan

    def _initial_left(self, now: float) -> tuple[Fault, ...]:
        """The configuration's own faults keep their times when a file is read later."""
        return tuple(
            Fault(
                kind=fault.kind,
                start=fault.start - now,
                duration=fault.duration,
                magnitude=fault.magnitude,
                targets=fault.targets,
            )
            for fault in self._initial
        )

    def _read(self) -> str | None:
        if self._path is None:
            return None
        try:
            return self._path.read_text(encoding="utf-8")
        except OSError:
            return None


def parse_document(text: str, where: str) -> tuple[Fault, ...]:
    """Faults of a YAML document with the one key ``faults``.

    Raises:
        SimulatorError: No YAML, another key, or a fault that is wrong.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SimulatorError(f"{where}: is not YAML ({' '.join(str(error).split())})") from error
    if document is None:
        return ()
    if not isinstance(document, dict) or set(document) - {"faults"}:
        raise SimulatorError(f"{where}: must have the one key `faults`")
    return parse_faults(document.get("faults"), f"{where}: faults")


PROTOCOLS = ("http/protobuf", "grpc")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run needs.

    Attributes:
        endpoint: ``https://host:port`` of the gateway: 4318 for ``http/protobuf``, 4317 for ``grpc``.
        protocol: One of `PROTOCOLS`.
        ca_file: Certificates that the gateway's must chain to.
        credentials_dir: Folder with one file per layer that holds its password.
        seed: Same seed, same values.
        devices: Number of wearable devices.
        interval_s: Seconds between exports.
        timeout_s: Seconds that one export may take, its transport's retries included.
        max_pending: Exports kept per layer and signal while the gateway is away; the oldest go first.
        max_attempts: Times an export is tried before it counts as refused.
        environment: Value of ``deployment.environment.name``.
        faults_file: Fault plan that is re-read when it changes.
        faults: Fault plan that counts from the start.
        ready_file: Exists while the last export of every layer was accepted.
    """

    endpoint: str
    protocol: str = PROTOCOLS[0]
    ca_file: Path
    credentials_dir: Path
    seed: int = 1
    devices: int = 36
    interval_s: float = 10.0
    timeout_s: float = 10.0
    max_pending: int = 60
    max_attempts: int = 20
    environment: str = "local"
    faults_file: Path | None = None
    faults: tuple[Fault, ...] = ()
    ready_file: Path | None = None

    def authorization(self, layer: str) -> str:
        """Value of the ``Authorization`` header of a layer's clients.

        Raises:
            SimulatorError: The layer's password file is missing or empty.
        """
        file = self.credentials_dir / layer
        try:
            password = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SimulatorError(f"password of layer {layer}: cannot read {file} ({error.strerror})") from error
        if not password:
            raise SimulatorError(f"password of layer {layer}: {file} is empty")
        return "Basic " + base64.b64encode(f"{layer}:{password}".encode()).decode()


def load(file: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        SimulatorError: The file, a key or a value is wrong; the message says what is allowed.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SimulatorError(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SimulatorError(f"{file}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(document, dict):
        raise SimulatorError(f"{file}: must be a mapping with the keys {', '.join(Config.__dataclass_fields__)}")
    return parse(document, str(file))


def parse(values: Mapping[str, Any], where: str) -> Config:
    """Check a configuration that was read from ``where``.

    Raises:
        SimulatorError: A key or a value is wrong.
    """
    allowed = tuple(Config.__dataclass_fields__)
    for key in values:
        if key not in allowed:
            raise SimulatorError(f"{where}: {key}: unknown key; allowed are {', '.join(allowed)}")
    for key in ("endpoint", "ca_file", "credentials_dir"):
        if not values.get(key):
            raise SimulatorError(f"{where}: {key}: is required")
    ready_file, faults_file = values.get("ready_file"), values.get("faults_file")
    config = Config(
        endpoint=_endpoint(str(values["endpoint"]), where),
        protocol=str(values.get("protocol", PROTOCOLS[0])),
        ca_file=Path(str(values["ca_file"])),
        credentials_dir=Path(str(values["credentials_dir"])),
        seed=_whole(values, "seed", 1, 0, 2**31, where),
        devices=_whole(values, "devices", 36, 1, 5000, where),
        interval_s=number(values, "interval_s", 10.0, 0.1, 3600, where),
        timeout_s=number(values, "timeout_s", 10.0, 2, 120, where),
        max_pending=_whole(values, "max_pending", 60, 1, 10000, where),
        max_attempts=_whole(values, "max_attempts", 20, 1, 1000, where),
        environment=str(values.get("environment", "local")),
        faults_file=Path(str(faults_file)) if faults_file else None,
        faults=parse_faults(values.get("faults"), f"{where}: faults"),
        ready_file=Path(str(ready_file)) if ready_file else None,
    )
    if config.protocol not in PROTOCOLS:
        raise SimulatorError(f"{where}: protocol is {config.protocol!r}: use one of {', '.join(PROTOCOLS)}")
    return config


def check_files(config: Config) -> None:
    """Fail early when a file that every export needs is not there.

    Raises:
        SimulatorError: The CA file or a layer's password cannot be read.
    """
    try:
        config.ca_file.read_bytes()
    except OSError as error:
        raise SimulatorError(f"ca_file: cannot read {config.ca_file} ({error.strerror})") from error
    for layer in LAYER_NAMES:
        config.authorization(layer)


def _endpoint(endpoint: str, where: str) -> str:
    parts = urlsplit(endpoint)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "https" or not parts.hostname or port is None or parts.path.strip("/"):
        raise SimulatorError(
            f"{where}: endpoint is {endpoint!r}: must be https://host:port, since the gateway takes TLS only"
        )
    return f"https://{parts.netloc}"


def _whole(values: Mapping[str, Any], key: str, default: int, lowest: int, highest: int, where: str) -> int:
    value = number(values, key, default, lowest, highest, where)
    if value != int(value):
        raise SimulatorError(f"{where}.{key} is {value!r}: must be a whole number")
    return int(value)
