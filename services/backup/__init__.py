"""Backups made by jobs: PostgreSQL, Grafana's definitions, Kafka's metadata and the search cluster, and their restores.

Every object is encrypted on the way out with age for public keys of operators: who writes backups cannot read them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from services.runtime.settings import (
    File,
    SettingsModel,
    Text,
    Url,
    WritableStorageSettings,
    broken_rule,
    checked,
    whole,
)

WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between tries to reach a server: the network lets a pod out some seconds after the pod began, and whatever
takes over from a server that failed needs about as long."""


class BackupError(Exception):
    """It could not be made, stored, read or restored; the message has no credentials."""


DATABASE, GRAFANA, KAFKA_METADATA, SEARCH = "database", "grafana", "kafka-metadata", "search"
KINDS = (DATABASE, GRAFANA, KAFKA_METADATA, SEARCH)
"""Kinds made by jobs, as in the bucket and on the command line; in settings files with ``_`` for ``-``."""
MOST_DAYS = 3650
_PUBLIC_KEY = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_DATABASE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TOP_PORT = 65535
_MOST_S = 86400
_MOST_SHOWN = 80


def key_problem(text: str) -> str:
    """What is wrong with a public key of age; empty: its form is right. A secret key is not shown."""
    if text.strip().upper().startswith("AGE-SECRET-KEY-"):
        return "a recipient is a secret key of age; it must be the public one (age1...): age-keygen -y FILE"
    return "" if _PUBLIC_KEY.fullmatch(text) else no_key(text)


def no_key(text: str) -> str:
    """That a text is no public key."""
    line = " ".join(text.split())
    shown = line if len(line) <= _MOST_SHOWN else line[: _MOST_SHOWN - 3] + "..."
    return f"{shown!r} is no public key of age; it must be age1 and 58 letters: age-keygen -y FILE"


def _recipients(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(member, str) for member in value):
        raise broken_rule("recipients must be a list of public keys of age (age1...), at least one")
    for position, member in enumerate(value):
        if problem := key_problem(member):
            raise broken_rule(f"recipients[{position}]: {problem}")
    if len(set(value)) != len(value):
        raise broken_rule("recipients has a key twice; each must be there once")
    return value


Recipients = Annotated[tuple[str, ...], BeforeValidator(_recipients)]
"""Public keys of age; the holder of each of them can open what is stored."""

Days = Annotated[int, whole(1, MOST_DAYS, "days")]
_Name = Annotated[
    str,
    checked(
        lambda value: isinstance(value, str) and _DATABASE.fullmatch(value) is not None,
        "small letters, digits and _, a letter first",
    ),
]


class Database(SettingsModel):
    """One database, and who may read all of it: its owner."""

    name: _Name
    user: _Name
    password_file: File


def _databases(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value:
        raise broken_rule(f"database.databases is {value!r}; it must be a list with at least one database")
    names = [entry.get("name") if isinstance(entry, dict) else getattr(entry, "name", None) for entry in value]
    if len(set(map(str, names))) != len(names):
        raise broken_rule(f"database.databases has {', '.join(map(str, names))}; each database must be there once")
    return value


class Postgres(SettingsModel):
    """PostgreSQL, always over verified TLS.

    Attributes:
        host: Its name, also that in its certificate.
        port: Its port.
        ca_file: Authority of its certificate.
        databases: What is backed up.
    """

    host: Annotated[
        str,
        checked(
            lambda value: isinstance(value, str) and _HOST.fullmatch(value) is not None,
            "the name in the server's certificate",
        ),
    ]
    port: Annotated[int, whole(1, _TOP_PORT)]
    ca_file: File
    databases: Annotated[tuple[Database, ...], BeforeValidator(_databases)]


class Grafana(SettingsModel):
    """Grafana's HTTP API, and its administrator."""

    url: Url
    ca_file: File
    user: Text
    password_file: File


class KafkaMetadata(SettingsModel):
    """The brokers (SASL_SSL, SCRAM-SHA-512), and a user that may describe everything."""

    bootstrap: Text
    ca_file: File
    user: Text
    password_file: File


class Search(SettingsModel):
    """The search cluster, and a user that reads.

    Attributes:
        url: ``https://host:port``.
        ca_file: Authority of its certificate.
        user: Who reads.
        password_file: File with the password.
        engine: Server of the cluster.
        indices: Patterns of what is exported, for example ``logs-0*``.
    """

    url: Url
    ca_file: File
    user: Text
    password_file: File
    engine: Literal["opensearch", "elasticsearch"]
    indices: Annotated[
        tuple[str, ...],
        checked(
            lambda value: (
                isinstance(value, list | tuple)
                and len(value) > 0
                and all(isinstance(index, str) and index for index in value)
            ),
            "a list of patterns such as logs-0*",
        ),
    ]


class BackupSettings(SettingsModel):
    """What is backed up, and where to.

    Attributes:
        platform: Name of the platform.
        region: Its region.
        recipients: Public keys of those who can open backups.
        storage: Where they are stored.
        seal_key_file: File with the key of the kind: by the seal the backup exporter knows what to sign.
        limit_s: Seconds that a run may take.
        database: PostgreSQL; None: not made here. Likewise the others.
    """

    platform: Text
    region: Text
    recipients: Recipients
    storage: WritableStorageSettings
    seal_key_file: File
    limit_s: Annotated[int, whole(1, _MOST_S, "seconds")]
    database: Postgres | None = None
    grafana: Grafana | None = None
    kafka_metadata: KafkaMetadata | None = None
    search: Search | None = None

    def content(self) -> dict[str, Any]:
        """The content of a settings file, without kinds that are not made."""
        return {key: value for key, value in super().content().items() if value is not None}
