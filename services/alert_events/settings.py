"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.runtime.settings import SettingsError, address, mapping, read, texts

__all__ = ["Kafka", "Login", "Settings", "SettingsError", "load", "parse"]


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who may enter, and the file with the password."""

    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """The brokers, and who this program is there."""

    bootstrap: str
    ca_file: Path
    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where events come from and where they go.

    Attributes:
        listen_host: Address of both endpoints and the metrics.
        listen_port: Port of them.
        kafka: Where events go.
        raw_topic: Topic of alerts as Prometheus raised them.
        processed_topic: Topic of notifications as Alertmanager sent them.
        cert_file: Certificate chain of the server.
        key_file: Its key.
        prometheus: May post alerts.
        alertmanager: May post notifications.
        metrics: May read the metrics.
    """

    listen_host: str
    listen_port: int
    kafka: Kafka
    raw_topic: str
    processed_topic: str
    cert_file: Path
    key_file: Path
    prometheus: Login
    alertmanager: Login
    metrics: Login


_KAFKA = ("bootstrap", "ca_file", "user", "password_file")
_TOPICS = ("raw", "processed")
_TLS = ("cert_file", "key_file")
_LOGIN = ("user", "password_file")
_TOP = ("listen", "kafka", "topics", "tls", "prometheus", "alertmanager", "metrics")


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
    kafka, topics, tls = (
        texts(key, top[key], keys) for key, keys in (("kafka", _KAFKA), ("topics", _TOPICS), ("tls", _TLS))
    )
    if topics["raw"] == topics["processed"]:
        raise SettingsError(f"topics.raw and topics.processed are both {topics['raw']!r}; they must be two topics")
    host, port = address(top["listen"])
    return Settings(
        listen_host=host,
        listen_port=port,
        kafka=Kafka(
            bootstrap=kafka["bootstrap"],
            ca_file=Path(kafka["ca_file"]),
            user=kafka["user"],
            password_file=Path(kafka["password_file"]),
        ),
        raw_topic=topics["raw"],
        processed_topic=topics["processed"],
        cert_file=Path(tls["cert_file"]),
        key_file=Path(tls["key_file"]),
        **{name: _login(name, top[name]) for name in ("prometheus", "alertmanager", "metrics")},
    )


def _login(where: str, value: object) -> Login:
    login = texts(where, value, _LOGIN)
    return Login(user=login["user"], password_file=Path(login["password_file"]))
