"""The simulator's configuration: one YAML file, closed to unknown keys."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from components.telemetry.layers import LAYER_NAMES
from lab.simulator.errors import SimulatorError
from lab.simulator.faults import Fault, number, parse_faults

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
