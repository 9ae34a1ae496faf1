"""Restores indices of the search cluster: definition, documents and aliases."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.backup.errors import BackupError, one_line
from services.backup.restore import Outcome, content, opened
from services.backup.search_export import INDICES, file_name
from services.backup.settings import SEARCH
from services.backup.web import connected
from services.runtime.json_api import JsonApi

_BULK_BYTES = 4 * 2**20
_CHUNK = 2**18
_CREATED = 201
_COPIES = "number_of_replicas"


def restore(
    folder: Path,
    url: str,
    login: tuple[str, str] | None,
    *,
    ca_file: Path,
    certificate: tuple[Path, Path] | None = None,
    replace: bool = False,
) -> Outcome:
    """Restore a fetched run.

    An index of a name in the backup that is there without a document is made anew, since the index manager makes such
    ones as soon as a cluster runs. Other indices are left alone.

    Args:
        folder: Where the run was fetched to.
        url: Address of the cluster, ``https://host:port``.
        login: Name and password of somebody who may make and fill these indices; None: the certificate says who.
        ca_file: Authority of its certificate.
        certificate: Files with chain and key of the administrator.
        replace: Whether indices of these names may be removed with their documents.

    Returns:
        Documents of each index, counted anew.

    Raises:
        BackupError: An index has documents already, or the cluster refuses or does not answer.
    """
    opened(folder, SEARCH)
    indices: dict[str, Any] = content(folder, INDICES)
    with connected("search cluster", url, ca_file, login=login, certificate=certificate) as web:
        there = {name: _count(web, name) for name in indices}
        held = [f"{name}: {count}" for name, count in there.items() if count]
        if held and not replace:
            raise BackupError(f"search cluster: is not empty (documents of {', '.join(held)}); nothing was changed")
        for name, count in there.items():
            if count is not None:
                _done(web, "DELETE", f"/{quote(name, safe='')}")
        for name, index in indices.items():
            _index(web, name, index, folder / file_name(name))
        counts = {name: _count(web, name) for name in indices}
    counts_by_index = {name: count for name, count in counts.items() if count is not None}
    return Outcome(counts={"indices": len(counts_by_index), **counts_by_index})


def documents(file: Path) -> Iterator[dict[str, Any]]:
    """The documents of an index in a fetched run.

    Raises:
        BackupError: The file cannot be read, or is cut off.
    """
    unpress, rest = zlib.decompressobj(16 + zlib.MAX_WBITS), b""
    try:
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                *lines, rest = (rest + unpress.decompress(chunk)).split(b"\n")
                yield from (json.loads(line) for line in lines)
        *lines, rest = (rest + unpress.flush()).split(b"\n")
        yield from (json.loads(line) for line in lines)
    except OSError as error:
        raise BackupError(f"{file}: cannot be read: {error.strerror}; fetch the run again") from None
    except (zlib.error, ValueError):
        raise BackupError(f"{file}: holds no compressed lines of JSON; fetch the run again") from None
    if rest or not unpress.eof:
        raise BackupError(f"{file}: is cut off; fetch the run again")


def _index(web: JsonApi, name: str, index: dict[str, Any], file: Path) -> None:
    path = f"/{quote(name, safe='')}"
    settings = {key: value for key, value in index["settings"].items() if key != "blocks"}
    # Copies and aliases come when the documents are there: they are cheaper to make, and nobody reads a part.
    _done(web, "PUT", path, {"mappings": index["mappings"], "settings": {"index": {**settings, _COPIES: 0}}})
    for body in _bulks(file):
        answer = web.ask("POST", f"{path}/_bulk", body=body, again=False)
        failed = [outcome["create"] for outcome in answer["items"] if outcome["create"].get("status") != _CREATED]
        if failed:
            reason = one_line(failed[0].get("error", {}).get("reason", failed[0].get("status")))
            raise BackupError(f"search cluster: {len(failed)} documents of {name} are refused, the first one: {reason}")
    _done(web, "POST", f"{path}/_refresh")
    last = {_COPIES: index["settings"].get(_COPIES, "0"), **_blocks(index["settings"])}
    _done(web, "PUT", f"{path}/_settings", {"index": last})
    if index["aliases"]:
        actions = [{"add": {"index": name, "alias": alias, **more}} for alias, more in index["aliases"].items()]
        _done(web, "POST", "/_aliases", {"actions": actions})


def _blocks(settings: dict[str, Any]) -> dict[str, Any]:
    return {"blocks": settings["blocks"]} if "blocks" in settings else {}


def _bulks(file: Path) -> Iterator[bytes]:
    waiting = bytearray()
    for document in documents(file):
        action = {"_id": document["_id"], **({"routing": document["_routing"]} if "_routing" in document else {})}
        for line in ({"create": action}, document["_source"]):
            waiting += json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if len(waiting) >= _BULK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _count(web: JsonApi, name: str) -> int | None:
    """Documents of an index; None for one that is not there."""
    answer = web.ask("GET", f"/{quote(name, safe='')}/_count")
    return None if answer is None else int(answer["count"])


def _done(web: JsonApi, method: str, path: str, body: object = None) -> None:
    if web.ask(method, path, body=body) is None:
        raise BackupError(f"search cluster: {method} {path}: it is not there")
