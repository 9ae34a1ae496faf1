"""The search cluster: definition and documents of every index, of one moment each, and their restore.

Documents are compressed lines of JSON. They are read shard by shard: within one shard and one point in time a
document's place is unique, so pages neither skip nor repeat any. OpenSearch and Elasticsearch differ in how a point
in time is taken and ended, and in what they call a document's place.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.backup import SEARCH, BackupError, Search
from services.backup.manifest import RunSummary, RunWriter
from services.backup.restore import Outcome, connected, content, opened
from services.runtime import one_line
from services.runtime.json_api import ApiError, JsonApi
from services.runtime.settings import secret

INDICES = "indices.json"
DOCUMENTS = ".ndjson.gz"
_PAGE = 1000
_KEEP_ALIVE = "5m"
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 6
_OWN_SETTINGS = ("uuid", "creation_date", "version", "provided_name", "history", "resize", "routing")
"""Settings of an index that its cluster gives it; a new one gets others."""
_BULK_BYTES = 4 * 2**20
_CHUNK = 2**18
_CREATED = 201
_COPIES = "number_of_replicas"
_WRITTEN = "-write"
"""What the alias of a family that documents are written through ends with; one index at a time has it."""


@dataclass(frozen=True, kw_only=True)
class _Api:
    """What one engine calls differently.

    Attributes:
        program: Asks a cluster for engine and version.
        open_path: Path below an index that opens a point in time.
        id_field: Its id in the answer.
        close_path: Path that closes a point in time.
        close_body: Id -> the request that closes it.
        sort: Order of documents in a shard.
    """

    program: Callable[[JsonApi], str]
    open_path: str
    id_field: str
    close_path: str
    close_body: Callable[[str], dict[str, Any]]
    sort: str


def _elasticsearch(web: JsonApi) -> str:
    nodes: dict[str, Any] = (web.ask("GET", "/_nodes/_all/none") or {}).get("nodes", {})
    return " ".join(["Elasticsearch", *sorted({str(node["version"]) for node in nodes.values()})])


def _opensearch(web: JsonApi) -> str:
    """The version of the node that answers: a reader may not ask for the others'."""
    told = (web.ask("GET", "/") or {}).get("version", {})
    if told.get("distribution") != "opensearch":
        raise BackupError(
            f"search cluster: search.engine is opensearch, and version {told.get('number', 'unknown')} is no OpenSearch"
        )
    return f"OpenSearch {told.get('number')}"


_APIS = {
    "opensearch": _Api(
        program=_opensearch,
        open_path="_search/point_in_time",
        id_field="pit_id",
        close_path="/_search/point_in_time",
        close_body=lambda point: {"pit_id": [point]},
        sort="_doc",
    ),
    "elasticsearch": _Api(
        program=_elasticsearch,
        open_path="_pit",
        id_field="id",
        close_path="/_pit",
        close_body=lambda point: {"id": point},
        sort="_shard_doc",
    ),
}


def back_up(settings: Search, target: RunWriter) -> RunSummary:
    """Export every index that the patterns name.

    Raises:
        BackupError: The cluster refuses or does not answer, or an index changed its shards meanwhile.
        SettingsError: The password cannot be read.
    """
    login = (settings.user, secret(settings.password_file))
    with connected("search cluster", settings.url, settings.ca_file, login=login) as web:
        api = _APIS[settings.engine]
        program = api.program(web)
        indices = definitions(web, settings.indices)
        if not indices:
            raise BackupError(
                f"search cluster: no index is named like {', '.join(settings.indices)}; see search.indices"
            )
        counts: dict[str, int] = {"indices": len(indices)}
        for name, index in indices.items():
            export = _Export(web, api, name, int(index["settings"]["number_of_shards"]))
            target.add_chunks(file_name(name), compressed(export.documents()))
            counts[name] = export.count
        target.add_json(INDICES, indices)
    return RunSummary(program=program, counts=counts)


def file_name(index: str) -> str:
    """Name of the object with the documents of an index."""
    return f"{quote(index, safe='')}{DOCUMENTS}"


def definitions(web: JsonApi, patterns: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Index -> its ``aliases``, ``mappings`` and ``settings``, as a new one could be made of them.

    Raises:
        BackupError: The cluster refuses or does not answer.
    """
    indices: dict[str, Any] = web.ask("GET", f"/{','.join(quote(pattern, safe='*') for pattern in patterns)}") or {}
    return {name: definition(indices[name]) for name in sorted(indices)}


def definition(index: Mapping[str, Any]) -> dict[str, Any]:
    """What an index is, without what its cluster gave it."""
    settings = {key: value for key, value in index["settings"]["index"].items() if key not in _OWN_SETTINGS}
    return {"aliases": index["aliases"], "mappings": index["mappings"], "settings": settings}


def compressed(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines as one gzip stream."""
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for line in lines:
        yield press.compress(line)
    yield press.flush()


class _Export:
    """Documents of one index.

    Attributes:
        count: How many were read so far.
    """

    def __init__(self, web: JsonApi, api: _Api, index: str, shards: int) -> None:
        self._web, self._api, self._index, self._shards = web, api, index, shards
        self.count = 0

    def documents(self) -> Iterator[bytes]:
        """A line for each: ``_id``, ``_source`` and, where it has one, ``_routing``."""
        for shard in range(self._shards):
            yield from self._shard(shard)

    def _shard(self, shard: int) -> Iterator[bytes]:
        path = f"/{quote(self._index, safe='')}/{self._api.open_path}"
        query = {"keep_alive": _KEEP_ALIVE, "preference": f"_shards:{shard}"}
        point_in_time = self._web.ask("POST", path, params=query, again=True)
        if point_in_time is None:
            raise BackupError(f"search cluster: index {self._index} went away while it was read")
        point = str(point_in_time[self._api.id_field])
        try:
            yield from self._pages(point, shard)
        finally:
            # One that stays ends by itself soon.
            with suppress(ApiError):
                self._web.ask("DELETE", self._api.close_path, body=self._api.close_body(point))

    def _pages(self, point: str, shard: int) -> Iterator[bytes]:
        after: list[Any] | None = None
        read, total = 0, 0
        while True:
            body = {
                "size": _PAGE,
                "pit": {"id": point, "keep_alive": _KEEP_ALIVE},
                "sort": [self._api.sort],
                "track_total_hits": after is None,
                **({} if after is None else {"search_after": after}),
            }
            params = {"allow_partial_search_results": "false"}
            answer = self._web.ask("POST", "/_search", body=body, params=params, again=True)
            if answer is None or answer.get("timed_out") or answer["_shards"]["failed"]:
                raise BackupError(f"search cluster: shard {shard} of index {self._index} cannot be read whole")
            hits = answer["hits"]["hits"]
            total = int(answer["hits"]["total"]["value"]) if after is None else total
            for hit in hits:
                yield _line(hit)
            read += len(hits)
            self.count += len(hits)
            if len(hits) < _PAGE:
                break
            after = hits[-1]["sort"]
        if read != total:
            raise BackupError(
                f"search cluster: shard {shard} of index {self._index} gave {read} documents of {total}; run it again"
            )


def _line(hit: Mapping[str, Any]) -> bytes:
    kept = {key: hit[key] for key in ("_id", "_routing", "_source") if key in hit}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


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
    ones as soon as a cluster runs. Other indices are left alone, and so is an alias that writes to one of them.

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
        notes = _aliases(web, indices)
        counts = {name: _count(web, name) for name in indices}
    counts_by_index = {name: count for name, count in counts.items() if count is not None}
    return Outcome(counts={"indices": len(counts_by_index), **counts_by_index}, notes=notes)


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
    # Copies come when the documents are there, when they are cheaper to make; aliases last: nobody reads a part.
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


def _aliases(web: JsonApi, indices: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Give the indices their aliases, all at once, so that no alias writes to two of them; what stays as it is."""
    actions: list[dict[str, Any]] = []
    notes = []
    for alias in sorted({alias for index in indices.values() for alias in index["aliases"]}):
        wanted = {name: index["aliases"][alias] for name, index in indices.items() if alias in index["aliases"]}
        if alias.endswith(_WRITTEN) or any(more.get("is_write_index") for more in wanted.values()):
            holders = sorted(web.ask("GET", f"/_alias/{quote(alias, safe='')}") or {})
            if others := [name for name in holders if name not in indices]:
                notes.append(f"alias {alias} stays with {', '.join(others)}, which is not in the backup")
                continue
            actions += [{"remove": {"index": name, "alias": alias}} for name in holders if name not in wanted]
        actions += [{"add": {"index": name, "alias": alias, **more}} for name, more in wanted.items()]
    if actions:
        _done(web, "POST", "/_aliases", {"actions": actions})
    return tuple(notes)


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
