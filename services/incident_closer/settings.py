"""Settings of the incident closer: one YAML or JSON file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.runtime.settings import SettingsError, address, mapping, read, texts

_KEYS = ("listen", "tls", "alertmanager", "metrics", "pager", "receivers")


@dataclass(frozen=True, kw_only=True)
class Paged:
    """A receiver that rings a phone.

    Attributes:
        route: What Alertmanager calls its route where it names groups, for example ``{}/{severity="critical"}``.
        key_file: The routing key.
    """

    route: str
    key_file: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the closer needs.

    Attributes:
        listen_host: Address of metrics and health check.
        listen_port: Their port.
        cert_file: Their certificate (chain).
        key_file: Its key.
        alertmanager_url: The Alertmanager beside it, ``https://host:port``.
        alertmanager_ca_file: Who signs for that one.
        alertmanager_user: Login name.
        alertmanager_password_file: Its password.
        metrics_user: Who may read the metrics.
        metrics_password_file: Their password.
        pager_url: Where events are handed over (PagerDuty's events, version 2).
        pager_ca_file: Who signs for the pager; None: a public authority.
        receivers: Name of a receiver that rings a phone -> what its incidents are called.
    """

    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    alertmanager_url: str
    alertmanager_ca_file: Path
    alertmanager_user: str
    alertmanager_password_file: Path
    metrics_user: str
    metrics_password_file: Path
    pager_url: str
    pager_ca_file: Path | None
    receivers: Mapping[str, Paged]


def load(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        SettingsError: It cannot be read, or a value in it is not acceptable.
    """
    return read(path, parse)


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    top = mapping("", content, _KEYS)
    host, port = address(top["listen"])
    tls = texts("tls", top["tls"], ("cert_file", "key_file"))
    alertmanager = texts("alertmanager", top["alertmanager"], ("url", "ca_file", "user", "password_file"))
    metrics = texts("metrics", top["metrics"], ("user", "password_file"))
    pager = mapping("pager", top["pager"], ("url", "ca_file"))
    authority = pager["ca_file"]
    if authority is not None and (not isinstance(authority, str) or not authority):
        raise SettingsError(f"pager.ca_file is {authority!r}; it must be a file, or null for the public authorities")
    return Settings(
        listen_host=host,
        listen_port=port,
        cert_file=Path(tls["cert_file"]),
        key_file=Path(tls["key_file"]),
        alertmanager_url=_https("alertmanager.url", alertmanager["url"]),
        alertmanager_ca_file=Path(alertmanager["ca_file"]),
        alertmanager_user=alertmanager["user"],
        alertmanager_password_file=Path(alertmanager["password_file"]),
        metrics_user=metrics["user"],
        metrics_password_file=Path(metrics["password_file"]),
        pager_url=_https("pager.url", pager["url"]),
        pager_ca_file=Path(authority) if authority else None,
        receivers=_receivers(top["receivers"]),
    )


def _https(key: str, value: Any) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
        raise SettingsError(f"{key} is {value!r}; it must be an https:// address")
    return value.rstrip("/")


def _receivers(value: object) -> Mapping[str, Paged]:
    if not isinstance(value, dict):
        raise SettingsError("receivers must be a mapping of the receivers that ring a phone")
    receivers = {}
    for name, receiver in value.items():
        given = texts(f"receivers.{name}", receiver, ("route", "key_file"))
        receivers[str(name)] = Paged(route=given["route"], key_file=Path(given["key_file"]))
    return receivers
