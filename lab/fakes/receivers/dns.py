"""Fake of the zone that both regions' names stand in: Amazon Route 53, provided by moto, behind AWS' own check of
signatures. It answers the API and no DNS queries: who wants a name's address asks the API.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.route53.models import FakeZone, Route53Backend, route53_backends

from lab.fakes.receivers import moto_backend
from lab.fakes.receivers.answers import Answer
from lab.fakes.receivers.paths import DNS_TTL_S
from lab.fakes.receivers.sigv4 import Signatures
from lab.private_file import write_private

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

VERSION = "2013-04-01"
"""First part of every path of the API."""
_NAMESPACE = f"https://route53.amazonaws.com/doc/{VERSION}/"
_KEPT = ("A", "CNAME")
_READ = ("hostedzone", "hostedzonesbyname", "hostedzonecount", "change")


@dataclass(frozen=True, kw_only=True)
class Name:
    """A record of the zone: its whole name without the last dot, type, seconds that others keep it, values."""

    name: str
    type: str = "A"
    ttl_s: int = DNS_TTL_S
    values: tuple[str, ...]


class Dns:
    """One zone, and a key that may read it and change its records, and nothing else."""

    def __init__(self, zone: str, names: Sequence[Name], signatures: Signatures | None, file: Path | None) -> None:
        """Make the zone; what another fake of this process had is gone.

        Args:
            zone: Its name, without the last dot.
            names: What it holds at first.
            signatures: What checks that a request is signed with the right key; None takes every key.
            file: Where records are kept, so that a restart forgets none; None keeps none.

        Raises:
            OSError: The file is there and cannot be read.
        """
        self._signatures, self._file, self._lock = signatures, file, threading.Lock()
        backend = _backend()
        backend.reset()
        self._zone: FakeZone = backend.create_hosted_zone(name=f"{zone}.", private_zone=False)
        # As changes: moto knows what may be created or deleted from those it has seen.
        stored_names = _read(file) if file is not None else None
        backend.change_resource_record_sets(self._zone.id, [_created(name) for name in stored_names or names])
        self._moto = create_backend_app("route53")

    def names(self) -> list[Name]:
        """Addresses and aliases of the zone."""
        return [
            Name(name=rrset.name.rstrip("."), type=rrset.type, ttl_s=int(rrset.ttl or 0), values=tuple(rrset.records))
            for rrset in self._zone.rrsets
            if rrset.type in _KEPT and rrset.records
        ]

    def call(self, environ: WSGIEnvironment, body: bytes) -> Answer:
        """Answer a call of the API."""
        refusal = self._signatures.refusal(environ, body) if self._signatures else None
        if refusal is not None:
            return _error(HTTPStatus.FORBIDDEN, refusal.code, refusal.message)
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "").rstrip("/")
        first = path.removeprefix(f"/{VERSION}/").partition("/")[0]
        change = method == "POST" and path == f"/{VERSION}/hostedzone/{_plain(self._zone.id)}/rrset"
        if not change and (method != "GET" or first not in _READ):
            return _error(HTTPStatus.FORBIDDEN, "AccessDenied", f"User is not authorized to {method} {path}")
        with self._lock:
            answer = moto_backend.ask(self._moto, environ, body)
            if change and answer.accepted and self._file is not None:
                _write(self._file, self.names())
        return answer


def _backend() -> Route53Backend:
    return route53_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _created(name: Name) -> dict[str, Any]:
    record = {
        "Name": name.name,
        "Type": name.type,
        "TTL": name.ttl_s,
        "ResourceRecords": [{"Value": value} for value in name.values],
    }
    return {"Action": "CREATE", "ResourceRecordSet": record}


def _plain(zone: str) -> str:
    return zone.rpartition("/")[2]


def _read(file: Path) -> list[Name] | None:
    if not file.exists():
        return None
    entries: list[Mapping[str, Any]] = json.loads(file.read_text())
    return [Name(**{**entry, "values": tuple(entry["values"])}) for entry in entries]


def _write(file: Path, names: Sequence[Name]) -> None:
    write_private(file, json.dumps([name.__dict__ for name in names], indent=1).encode() + b"\n")


def _error(status: HTTPStatus, code: str, message: str) -> Answer:
    return moto_backend.refused(status, code, message, namespace=_NAMESPACE, request=str(uuid.uuid4()))
