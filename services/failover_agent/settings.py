"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from services.regions.records import RegionError, region_key
from services.runtime.settings import SettingsError, address, mapping, read, texts
from services.runtime.storage import Login, Storage, login, storage

__all__ = ["Alertmanagers", "Settings", "SettingsError", "load", "parse"]

Role = Literal["primary", "standby"]
_ROLES = ("primary", "standby")
_LEAST_POLLS = 3
_TOP_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Alertmanagers:
    """Every member of the region's Alertmanager cluster, each by its own address.

    Attributes:
        urls: ``https://host:port`` of each.
        server_name: Name that their certificates must hold; None: the host of the address.
        ca_file: Authority of their certificates.
        login: Who may silence.
    """

    urls: tuple[str, ...]
    server_name: str | None
    ca_file: Path
    login: Login


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the failover agent of one region.

    Attributes:
        region: Its name, as in the lease.
        role: Holds the lease as long as nobody wrote one: ``primary``.
        peer: The other region, or None.
        witness: The bucket with the lease.
        alertmanagers: What follows the lease.
        egress_targets: Host and port of those that notifications are handed over to: while one of them can be reached,
            a witness that is away silences nobody.
        fingerprints: What -> hash of it, compared with the other region's.
        listen_host: Address of everything that it serves.
        listen_port: Port of it.
        cert_file: Certificate chain of the server.
        key_file: Its key.
        metrics: May read the metrics.
        poll_interval_s: Seconds between polls of the lease, and of each Alertmanager.
        heartbeat_interval_s: Seconds between heartbeats.
        isolated_s: Seconds without witness and without anybody outside, after which the region falls silent.
    """

    region: str
    role: Role
    peer: str | None
    witness: Storage
    alertmanagers: Alertmanagers
    egress_targets: tuple[tuple[str, int], ...]
    fingerprints: Mapping[str, str]
    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    metrics: Login
    poll_interval_s: float
    heartbeat_interval_s: float
    isolated_s: float


_TLS = ("cert_file", "key_file")
_WITNESS = ("endpoint", "region", "bucket", "access_key_id_file", "secret_access_key_file", "ca_file")
_ALERTMANAGERS = ("urls", "server_name", "ca_file", "user", "password_file")
_TIMES = ("poll_interval_s", "heartbeat_interval_s", "isolated_s")
_TOP = (
    "region",
    "role",
    "peer",
    "witness",
    "alertmanagers",
    "egress_targets",
    "fingerprints",
    "listen",
    "tls",
    "metrics",
    *_TIMES,
)


def load(path: Path) -> Settings:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    return read(path, parse)


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    top = mapping("", content, _TOP)
    region, peer = _region("region", top["region"]), top["peer"]
    if peer is not None and _region("peer", peer) == region:
        raise SettingsError(f"peer is {peer!r}, the region itself; it must be the other region, or null")
    tls = texts("tls", top["tls"], _TLS)
    host, port = address(top["listen"])
    times = {key: _seconds(key, top[key]) for key in _TIMES}
    if times["isolated_s"] < _LEAST_POLLS * times["poll_interval_s"]:
        raise SettingsError(
            f"isolated_s is {top['isolated_s']!r}; it must be {_LEAST_POLLS} times poll_interval_s or more, so that "
            "one poll that fails silences nobody"
        )
    return Settings(
        region=region,
        role=_role(top["role"]),
        peer=peer,
        witness=_witness(top["witness"]),
        alertmanagers=_alertmanagers(top["alertmanagers"]),
        egress_targets=_egress_targets(top["egress_targets"]),
        fingerprints=_definitions(top["fingerprints"]),
        listen_host=host,
        listen_port=port,
        cert_file=Path(tls["cert_file"]),
        key_file=Path(tls["key_file"]),
        metrics=login("metrics", top["metrics"]),
        **times,
    )


def _region(where: str, value: object) -> str:
    try:
        region_key(cast(str, value))
    except RegionError:
        raise SettingsError(
            f"{where} is {value!r}; it must be a name of small letters, digits and -, for example region-a, not lease"
        ) from None
    return cast(str, value)


def _role(value: object) -> Role:
    if value not in _ROLES:
        raise SettingsError(f"role is {value!r}; allowed: {', '.join(_ROLES)}")
    return cast(Role, value)


def _witness(value: object) -> Storage:
    content = mapping("witness", value, _WITNESS)
    try:
        return storage({**content, "prefix": ""})
    except SettingsError as error:
        raise SettingsError(str(error).replace("storage.", "witness.", 1)) from None


def _alertmanagers(value: object) -> Alertmanagers:
    content = mapping("alertmanagers", value, _ALERTMANAGERS)
    keys = tuple(key for key in _ALERTMANAGERS if key not in ("urls", "server_name"))
    text = texts("alertmanagers", {key: content[key] for key in keys}, keys)
    name = content["server_name"]
    if name is not None and (not isinstance(name, str) or not name):
        raise SettingsError(f"alertmanagers.server_name is {name!r}; it must be null or a text that is not empty")
    return Alertmanagers(
        urls=tuple(_url(url) for url in _several("alertmanagers.urls", content["urls"], "https://host:port")),
        server_name=name,
        ca_file=Path(text["ca_file"]),
        login=Login(user=text["user"], password_file=Path(text["password_file"])),
    )


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and parts.port and not parts.path.strip("/")
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"alertmanagers.urls has {value!r}; each must be https://host:port")
    return value.rstrip("/")


def _egress_targets(value: object) -> tuple[tuple[str, int], ...]:
    addresses = []
    for host_port in _several("egress_targets", value, "host:port"):
        host, _, port = host_port.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) <= _TOP_PORT:
            raise SettingsError(
                f"egress_targets has {host_port!r}; each must be host:port, for example events.pagerduty.com:443"
            )
        addresses.append((host.strip("[]"), int(port)))
    return tuple(addresses)


def _several(where: str, value: object, what: str) -> list[str]:
    right = isinstance(value, list) and value and all(isinstance(text, str) for text in value)
    if not right or len(set(cast(list[str], value))) != len(cast(list[str], value)):
        raise SettingsError(f"{where} is {value!r}; it must be a list of one {what} or more, none of them twice")
    return cast(list[str], value)


def _definitions(value: Any) -> Mapping[str, str]:
    right = isinstance(value, dict) and all(
        isinstance(digest, str) and digest for pair in value.items() for digest in pair
    )
    if not right:
        raise SettingsError("fingerprints must be a mapping of names to hashes, for example rules: 3fa9c1...")
    return MappingProxyType(dict(value))


def _seconds(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SettingsError(f"{where} is {value!r}; it must be a number of seconds above 0")
    return float(value)
