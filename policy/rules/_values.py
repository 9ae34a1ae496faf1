"""Values as several rules read them: addresses, numbers, times, sizes and how values are shown; and formats that only
servers of their own kind read.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from policy.documents import properties
from policy.model import UNKNOWN, Finding, Node, Option, Resource, UnknownValueError

T = TypeVar("T")

FILES = frozenset({"ConfigMap", "Secret"})
"""Kinds of resources that files of servers stand in."""
DAY_MS = 24 * 60 * 60 * 1000
SAFE_VERSIONS = frozenset({"TLSv1.2", "TLSv1.3", "TLS12", "TLS13", "1.2", "1.3"})
"""How Kafka, Prometheus and collectors write the versions of TLS that nobody has broken."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|y|w|d|h|m|s)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_UNIT_S |= {"d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(i?)(B?)")
_POWERS = "KMGTPE"


def whole_number(default: int, meaning: str) -> Option:
    """An option of a rule that is a whole number."""
    return Option(default=default, schema={"type": "integer"}, meaning=meaning)


def finding(resource: Resource, where: Node | str, problem: str, fix: str) -> Finding:
    """A finding at a node or path of a resource."""
    return Finding(resource=resource, where=where.path if isinstance(where, Node) else where, problem=problem, fix=fix)


def shown(node: Node) -> str:
    """A value in a sentence: ``is not set``, ``is empty`` or ``is <value>``."""
    value = node.value
    if value is None:
        return "is not set"
    return f"is {written(value)}" if written(value) else "is empty"


def written(value: object) -> str:
    """A value as people write it: Pulumi's protocol has no whole numbers."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def stated(node: Node, default: object) -> str:
    """The same for a setting whose default is not obvious: ``is not set, which is <default>``."""
    return shown(node) if node.exists else f"is not set, which is {default}"


def flag(node: Node) -> bool | None:
    """A switch, written as a boolean or as text; None when it is absent or neither."""
    value = node.value
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower())


def number(node: Node) -> float | None:
    """A number, written as one or as text; None when it is absent or none."""
    value = node.value
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def seconds(text: str) -> float | None:
    """Seconds of a duration of Go or Prometheus (``90s``, ``1h30m``, ``7d``); None for anything else."""
    stripped = text.strip()
    if stripped in ("0", "0s"):
        return 0
    parts = _DURATION.findall(stripped)
    if not parts or "".join(f"{amount}{unit}" for amount, unit in parts) != stripped:
        return None
    return float(sum(float(amount) * _UNIT_S[unit] for amount, unit in parts))


def size(text: str, *, binary: bool = False) -> float | None:
    """Bytes of a size (``350GB``, ``2Gi``); None for anything else.

    Args:
        text: The size.
        binary: Whether ``GB`` means powers of 1024 too, as Prometheus reads it.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        return None
    amount, unit, two, _ = match.groups()
    return float(amount) * float((1024 if two or binary else 1000) ** (_POWERS.index(unit) + 1 if unit else 0))


def host_of(address: str) -> str:
    """Host of ``host:port``, of a URL or of a bare host; empty when it names none (every address)."""
    rest = address.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]
    if rest.startswith("["):
        return rest[1:].split("]", 1)[0]
    return rest.rsplit(":", 1)[0] if rest.count(":") <= 1 else rest


def loopback(address: str) -> bool:
    """Whether only processes of the same pod reach an address."""
    host = host_of(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Unknowns:
    """Puts off what is not known yet, so that one unknown file does not hide what the others hold."""

    def __init__(self) -> None:
        self._first: UnknownValueError | None = None

    def known(self, items: Iterable[T]) -> Iterator[T]:
        """Items up to the first that is not known."""
        try:
            yield from items
        except UnknownValueError as error:
            self._first = self._first or error

    def tell(self) -> None:
        """Say at the end what was not known.

        Raises:
            UnknownValueError: Something was not.
        """
        if self._first is not None:
            raise self._first


def each_known(parts: Iterable[Iterable[Finding]]) -> Iterator[Finding]:
    """Findings of every part; a value that one of them does not know is raised after all the others have spoken."""
    unknown = Unknowns()
    for part in parts:
        yield from unknown.known(part)
    unknown.tell()


def client_tls(resource: Resource, tls: Node, *, what: str) -> Iterator[Finding]:
    """What is wrong with the TLS section of a client of ours (collector and Prometheus write it alike).

    Args:
        resource: Whose it is.
        tls: The section.
        what: Whom the client talks to, for the message.
    """
    if not tls.exists:
        yield finding(resource, tls, f"{what} is reached without TLS settings", "set ca_file to the platform's CA")
        return
    for key in ("insecure", "insecure_skip_verify", "insecureSkipVerify"):
        if tls[key].exists and flag(tls[key]) is not False:
            yield finding(resource, tls[key], f"{what} is not verified: {key} {shown(tls[key])}", f"remove {key}")
    if not any(tls[key].text() for key in ("ca_file", "ca_pem", "ca")):
        yield finding(
            resource,
            tls["ca_file"],
            f"no authority is named that {what} is verified by",
            "set ca_file to the platform's CA",
        )
    yield from old_versions(resource, tls)


def server_tls(resource: Resource, tls: Node, *, what: str) -> Iterator[Finding]:
    """What is wrong with the TLS section of a server of ours."""
    if not tls.exists:
        yield finding(
            resource, tls, f"{what} speaks clear text", "set cert_file and key_file to the workload's certificate"
        )
        return
    for key, inline in (("cert_file", "cert_pem"), ("key_file", "key_pem")):
        if not tls[key].text() and not tls[inline].text():
            yield finding(
                resource, tls[key], f"{what} has no {key}, so no TLS", f"set {key} to the workload's certificate"
            )
    yield from old_versions(resource, tls)


def old_versions(resource: Resource, tls: Node) -> Iterator[Finding]:
    """Versions of TLS that are broken; not to name one is right, since every default is 1.2 or later."""
    for key in ("min_version", "max_version"):
        if tls[key].exists and tls[key].text() not in SAFE_VERSIONS:
            yield finding(
                resource, tls[key], f"{key} {shown(tls[key])}, which allows broken versions of TLS", f"remove {key}"
            )


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
