"""Values as several rules read them: addresses, numbers, times, sizes and how values are shown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from policy.model import Finding, Node, Resource, UnknownValueError

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
