"""Configuration formats that only servers of their own kind read."""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from policy.documents import properties
from policy.model import UNKNOWN

_POSTGRES_KEYS = frozenset(
    {"ssl", "password_encryption", "fsync", "full_page_writes", "synchronous_commit", "shared_buffers", "wal_level"}
    | {"ssl_cert_file", "ssl_key_file", "ssl_min_protocol_version", "hba_file", "listen_addresses"}
    | {"max_connections", "max_wal_senders"}
)
_HBA_TYPES = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")


@dataclass(frozen=True)
class HbaLine:
    """One line of ``pg_hba.conf``: who may come how, and how the login is checked."""

    number: int
    type: str
    method: str
    text: str


def is_hba(text: str) -> bool:
    """Whether every entry of a text is one of ``pg_hba.conf``, and there is one."""
    entries = _entries(text)
    return bool(entries) and all(words[0].lower() in (*_HBA_TYPES, "include") for _, words in entries)


@functools.lru_cache(maxsize=64)
def hba(text: str) -> tuple[HbaLine, ...]:
    """Lines of ``pg_hba.conf`` without comments; the method is empty where a line is broken."""
    lines = []
    for number, words in _entries(text):
        kind = words[0].lower()
        at = 3 if kind == "local" else 4
        if len(words) > 5 and kind != "local" and re.fullmatch(r"[\d.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", words[4]):
            at = 5  # address and mask as two words
        lines.append(HbaLine(number, kind, words[at].lower() if len(words) > at else "", " ".join(words)))
    return tuple(lines)


def _entries(text: str) -> list[tuple[int, list[str]]]:
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        words = re.findall(r'"[^"]*"|[^\s"]+', line.split("#", 1)[0])
        if words:
            entries.append((number, words))
    return entries


def is_postgres(text: str) -> bool:
    """Whether a text is a ``postgresql.conf``."""
    content = postgres(text)
    return len(_POSTGRES_KEYS & set(content)) >= 2


@functools.lru_cache(maxsize=64)
def postgres(text: str) -> Mapping[str, str]:
    """Settings of ``postgresql.conf``: ``name = value`` or ``name value``, quoted or not, the last one counts."""
    parameters: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([A-Za-z_][\w.]*)(?:\s*=\s*|\s+)('(?:[^']|'')*'|[^\s#']+)\s*(?:#.*)?", line)
        if match:
            parameters[match[1].lower()] = match[2].strip("'").replace("''", "'")
    return parameters


@dataclass(frozen=True)
class Login:
    """How a PostgreSQL client connects, with the parameters of libpq that protect it."""

    host: str
    sslmode: str
    sslrootcert: str
    password: str


def connection(text: str) -> Login | None:
    """A connection URL (also JDBC's) or ``key=value`` string of PostgreSQL; None for anything else."""
    text = text.strip()
    bare = text.removeprefix("jdbc:")
    if re.match(r"postgres(ql)?(\+\w+)?://", bare):
        parts = urlsplit(bare)
        given = dict(parse_qsl(parts.query))
        host = given.get("host", parts.netloc.rsplit("@", 1)[-1])
        password = unquote(parts.password or "") or given.get("password", "")
        return Login(host, given.get("sslmode", ""), given.get("sslrootcert", ""), password)
    pairs = dict(re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']+)", text))
    if "host" in pairs and ({"dbname", "user"} & set(pairs)):
        values = {key: value.strip("'") for key, value in pairs.items()}
        return Login(
            values["host"], values.get("sslmode", ""), values.get("sslrootcert", ""), values.get("password", "")
        )
    return None


@functools.lru_cache(maxsize=64)
def toml(text: str) -> Mapping[str, Any] | None:
    """A TOML file with keys in small letters, since Go reads them in any; or None.

    Where several keys differ in that alone, each is left as it is: nobody knows which one counts.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return dict(_small_keys(content))


def _small_keys(value: Any) -> Any:
    if isinstance(value, dict):
        times = Counter(map(str.lower, value))
        return {key.lower() if times[key.lower()] == 1 else key: _small_keys(entry) for key, entry in value.items()}
    return [_small_keys(entry) for entry in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Mirror:
    """Properties of a dedicated MirrorMaker 2."""

    content: Mapping[str, str]

    @property
    def clusters(self) -> list[str]:
        """Aliases of the clusters."""
        return [alias.strip() for alias in self.content.get("clusters", "").split(",") if alias.strip()]

    @property
    def flows(self) -> list[tuple[str, str]]:
        """Source and target of every flow that is switched on."""
        pairs = [(a, b) for a in self.clusters for b in self.clusters if a != b]
        return [(a, b) for a, b in pairs if self.of(f"{a}->{b}", "enabled", default="false")[1].lower() == "true"]

    def of(self, scope: str, key: str, *, default: str = "") -> tuple[str, str]:
        """Key that decides a setting, and its value: the scope's own one, else the common one, else the default."""
        for name in (f"{scope}.{key}", key):
            if name in self.content:
                return name, self.content[name]
        return f"{scope}.{key}", default


def mirror(text: str) -> Mirror | None:
    """MirrorMaker 2 properties, recognised by their list of clusters with an address each; None for other files."""
    content = properties(text)
    parsed_mirror = Mirror(content)
    addressed = any(f"{alias}.bootstrap.servers" in content for alias in parsed_mirror.clusters)
    return parsed_mirror if addressed or any("->" in key for key in content) else None


def connections(text: str) -> Iterator[tuple[str, Login]]:
    """Every PostgreSQL URL in a text of any format, with its place ``line N``."""
    for number, line in enumerate(text.splitlines(), 1) if "postgres" in text else ():
        for match in re.finditer(r"(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://[^\s\"'`,;]+", line):
            login = connection(match[0])
            if login:
                yield f"line {number}", login


def true(value: Any) -> bool:
    """Whether a setting is switched on, in any usual spelling."""
    return value is not UNKNOWN and str(value).strip().lower() in ("true", "1", "yes", "on", "t", "y")
