"""Metrics back from the object storage, and whether they are the same then, sample by sample.

Thanos sidecars shipped blocks there, a folder each, with ``meta.json`` written last. `restore` puts all blocks of one
replica into an empty folder, which a Prometheus then opens as its own data.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from services.backup import BackupError
from services.backup.store import NotStoredError, Store
from services.runtime import one_line

EXTERNAL_LABELS = ("platform", "region", "prometheus_replica")
"""Labels that Thanos adds to every series and a Prometheus does not."""
META, DELETED = "meta.json", "deletion-mark.json"
SHIPPED = "thanos.shipper.json"
"""File by which a sidecar knows which blocks are in the storage already."""
_BLOCK = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_FILE = re.compile(r"index|chunks/\d{6}")
_HALF = ".tmp-for-creation"
"""What the folder of an unfinished block ends with: Prometheus removes such folders when it starts."""
_LATE = "from-out-of-order"
"""What Prometheus notes of a block of nothing but late samples."""
_MOST_BLOCKS, _MOST_META = 50_000, 2**26
_AT_ONCE = 4
_TIMEOUT_S = (10.0, 120.0)
_NO_ENTRY = (401, 403)
_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class BlockFile:
    """A file of a block: path below its folder, size in bytes, SHA-256 (empty where Thanos wrote none)."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """A whole block in the storage.

    Attributes:
        name: Its ULID, which is also its folder.
        labels: External labels of the Prometheus that made it.
        start_ms, end_ms: Time that it covers, without the end, in milliseconds since 1970.
        samples: Number of samples.
        resolution_ms: 0 for raw samples; else it is a coarser copy of another one.
        late: Whether all its samples came late. It may be shipped before the block with the others of its time.
        files: Its files but ``meta.json``.
        meta: Content of ``meta.json``.
    """

    name: str
    labels: Mapping[str, str]
    start_ms: int
    end_ms: int
    samples: int
    resolution_ms: int
    late: bool
    files: tuple[BlockFile, ...]
    meta: bytes = field(repr=False)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return len(self.meta) + sum(file.bytes for file in self.files)


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was restored: number of blocks, samples and bytes, the time from the first to the last (milliseconds).

    Attributes:
        in_order_until_ms: Until when samples are there that did not come late; None: there are late ones alone.
        damaged: What is wrong with blocks that were left out, one line each.
    """

    blocks: int
    samples: int
    bytes: int
    start_ms: int
    end_ms: int
    in_order_until_ms: int | None
    damaged: tuple[str, ...] = ()


class DamagedBlockError(BackupError):
    """A block is not what was shipped; others may be."""


def blocks(store: Store, left_out: Callable[[str], None] | None = None) -> list[Block]:
    """Whole blocks, raw and coarser, oldest first.

    Left out are folders without ``meta.json``, which are being shipped, and blocks that are marked for deletion: they
    were merged into others, or are too old.

    Args:
        store: The bucket, below the prefix of the metrics.
        left_out: Gets what is wrong with each damaged block, which is left out; None: the first one is an error.

    Raises:
        DamagedBlockError: A file of a block is missing or has another size, and nobody is told.
        BackupError: The storage refuses, or does not answer.
    """
    folders: dict[str, dict[str, int]] = {}
    for stored_object in store.objects():
        name, _, path = stored_object.name.partition("/")
        if _BLOCK.fullmatch(name) and path:
            folders.setdefault(name, {})[path] = stored_object.bytes
    whole = [name for name, files in folders.items() if META in files and DELETED not in files]
    if len(whole) > _MOST_BLOCKS:
        raise BackupError(f"{store.where}: {len(whole)} blocks; no more than {_MOST_BLOCKS} are expected")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        metas = pool.map(lambda name: store.get(f"{name}/{META}", _MOST_META), whole)
        parsed_blocks = []
        for name, meta in zip(whole, metas, strict=True):
            try:
                parsed_blocks.append(_block(name, meta, folders[name]))
            except DamagedBlockError as error:
                if left_out is None:
                    raise
                left_out(str(error))
    return sorted(parsed_blocks, key=lambda block: (block.start_ms, block.name))


def restore(
    store: Store, labels: Mapping[str, str], folder: Path, *, report: Callable[[int, int], None] | None = None
) -> Restored:
    """Download every block of raw samples of one replica, and check it; a damaged one costs its own samples alone.

    The folder becomes the data of a Prometheus: it opens the blocks when it starts. Blocks older than its retention are
    removed by it then. A sidecar beside it ships none of them again.

    Args:
        store: The bucket, below the prefix of the metrics.
        labels: External labels of the replica, all of them.
        folder: Where to; it is made, and must be empty.
        report: Called with the bytes that are there and the bytes of all blocks.

    Raises:
        BackupError: No whole block has these labels, the folder is not empty or too small, or the storage refuses or
            does not answer.
    """
    damaged: list[str] = []
    everything = blocks(store, damaged.append)
    chosen = [block for block in everything if dict(block.labels) == dict(labels) and not block.resolution_ms]
    if not chosen:
        there = sorted({shown(block.labels) for block in everything})
        nothing = f"{store.where}: no blocks of {shown(labels)}; there are: {'; '.join(there) or 'none of anybody'}"
        raise BackupError("; ".join([nothing, *damaged]))
    total, done = sum(block.bytes for block in chosen), 0
    try:
        _empty(folder, total)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for block, problem in zip(chosen, pool.map(lambda one: _attempt(store, one, folder), chosen), strict=True):
                done += block.bytes
                if problem:
                    damaged.append(problem)
                if report:
                    report(done, total)
        got = [block for block in chosen if (folder / block.name).is_dir()]
        content = {"version": 1, "uploaded": [block.name for block in got]}
        (folder / SHIPPED).write_text(json.dumps(content, indent=1))
    except OSError as error:
        raise BackupError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    if not got:
        raise BackupError(f"{store.where}: no block of {shown(labels)} is whole: {'; '.join(damaged)}")
    return Restored(
        blocks=len(got),
        samples=sum(block.samples for block in got),
        bytes=sum(block.bytes for block in got),
        start_ms=min(block.start_ms for block in got),
        end_ms=max(block.end_ms for block in got),
        in_order_until_ms=max((block.end_ms for block in got if not block.late), default=None),
        damaged=tuple(damaged),
    )


def _block(name: str, meta: bytes, there: Mapping[str, int]) -> Block:
    where = f"{name}/{META}"
    try:
        data: dict[str, Any] = json.loads(meta)
        thanos = data["thanos"]
        listed = [
            BlockFile(
                path=str(file["rel_path"]),
                bytes=int(file.get("size_bytes", 0)),
                sha256=str(hashed["value"]) if hashed and hashed["hashFunc"] == "SHA256" else "",
            )
            for file in thanos["files"]
            for hashed in (file.get("hash"),)
            if file["rel_path"] != META
        ]
        block = Block(
            name=str(data["ulid"]),
            labels={str(key): str(value) for key, value in thanos["labels"].items()},
            start_ms=int(data["minTime"]),
            end_ms=int(data["maxTime"]),
            samples=int(data["stats"]["numSamples"]),
            resolution_ms=int(thanos["downsample"]["resolution"]),
            late=_LATE in data["compaction"].get("hints", ()),
            files=tuple(listed),
            meta=meta,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedBlockError(
            f"{where}: is not what Thanos writes: {type(error).__name__} {one_line(error)}"
        ) from None
    if block.name != name or "index" not in {block_file.path for block_file in listed}:
        raise DamagedBlockError(f"{where}: is not of this block, or names no index")
    for block_file in listed:
        if not _FILE.fullmatch(block_file.path):
            raise DamagedBlockError(f"{where}: names the file {block_file.path!r}, which no block has")
        if there.get(block_file.path) != block_file.bytes:
            size = f"has {there[block_file.path]} bytes" if block_file.path in there else "is missing"
            raise DamagedBlockError(f"{name}/{block_file.path}: {size}; {META} says {block_file.bytes} bytes")
    return block


def _empty(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise BackupError(f"{folder}: is not empty; name a new folder")
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(f"{folder}: has {free} bytes free, the blocks have {needed}; name a folder on a larger disk")


def _attempt(store: Store, block: Block, folder: Path) -> str:
    """Write a block; what is wrong with it, of which nothing stays then."""
    try:
        _download(store, block, folder)
    except (DamagedBlockError, NotStoredError) as error:
        shutil.rmtree(folder / f"{block.name}{_HALF}", ignore_errors=True)
        return str(error)
    return ""


def _download(store: Store, block: Block, folder: Path) -> None:
    """Write a block, under another name until it is whole."""
    half = folder / f"{block.name}{_HALF}"
    (half / "chunks").mkdir(parents=True)
    for file in block.files:
        key = f"{block.name}/{file.path}"
        digest = store.download(key, half / file.path)
        if digest.bytes != file.bytes or (file.sha256 and digest.sha256 != file.sha256):
            raise DamagedBlockError(
                f"{key}: is not what was shipped: {digest.bytes} bytes, SHA-256 {digest.sha256}; {META} says "
                f"{file.bytes} bytes, SHA-256 {file.sha256 or 'not known'}"
            )
    (half / META).write_bytes(block.meta)
    half.rename(folder / block.name)


def shown(labels: Mapping[str, str]) -> str:
    """Labels as people write them."""
    return "{" + ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"


@dataclass(frozen=True, kw_only=True)
class QueryApi:
    """A Prometheus, or a Thanos Query.

    Attributes:
        url: ``https://host:port``.
        user, password: Who asks.
        ca_file: The only authority that is trusted.
        only: External labels that choose one replica, for Thanos Query; a Prometheus has none.
    """

    url: str
    user: str
    password: str = field(repr=False)
    ca_file: Path
    only: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Numbers of samples.

    Attributes:
        equal: Those that both have, with the same value.
        missing: Those that only the first has.
        different: Those that both have, with other values.
        additional: Those that only the second has.
        series: Series that either has.
        examples: Some of what is not equal, one line each.
    """

    equal: int
    missing: int
    different: int
    additional: int
    series: int
    examples: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both have samples, and the same ones."""
        return self.equal > 0 and not (self.missing or self.different or self.additional)


_Samples = dict[tuple[tuple[str, str], ...], dict[int, str]]


def compare(
    query_a: QueryApi,
    query_b: QueryApi,
    matchers: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    window_ms: int = 600_000,
    ignored: Sequence[str] = EXTERNAL_LABELS,
) -> Comparison:
    """Compare raw samples, one by one.

    Args:
        query_a: The first, for example what was there before.
        query_b: The second, for example what was restored.
        matchers: Matchers that a series has to fulfil, all of them, for example ``job=~"kafka.*"``.
        start_ms, end_ms: First and last moment, in milliseconds since 1970; both belong to it.
        window_ms: How much is asked for at once.
        ignored: Labels that are not compared.

    Raises:
        BackupError: A server refuses, does not answer, or its answer is not whole.
    """
    counts = dict.fromkeys(("equal", "missing", "different", "additional"), 0)
    seen: set[tuple[tuple[str, str], ...]] = set()
    examples: list[str] = []
    with requests.Session() as session:
        session.trust_env = False
        before = start_ms - 1
        while before < end_ms:
            until = min(before + window_ms, end_ms)
            first, second = (_samples(session, api, matchers, before, until, ignored) for api in (query_a, query_b))
            for series in first.keys() | second.keys():
                seen.add(series)
                _count(series, first.get(series, {}), second.get(series, {}), counts, examples)
            before = until
    return Comparison(series=len(seen), examples=tuple(examples), **counts)


def _count(
    series: tuple[tuple[str, str], ...],
    a: dict[int, str],
    b: dict[int, str],
    counts: dict[str, int],
    examples: list[str],
) -> None:
    for moment in a.keys() | b.keys():
        kind = "additional" if moment not in a else "missing" if moment not in b else "different"
        if a.get(moment) == b.get(moment):
            kind = "equal"
        elif len(examples) < _EXAMPLES:
            examples.append(f"{kind}: {shown(dict(series))} at {moment}: {a.get(moment)}, {b.get(moment)}")
        counts[kind] += 1


def _samples(
    session: requests.Session, api: QueryApi, matchers: Sequence[str], after: int, until: int, ignored: Sequence[str]
) -> _Samples:
    """Samples after one moment and until another: a range has its right end and not its left one."""
    wanted = ",".join(
        [*matchers, *(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in api.only.items())]
    )
    form = {
        "query": f"{{{wanted}}}[{until - after}ms]",
        "time": f"{until / 1000:.3f}",
        # For Thanos Query; a Prometheus takes no notice.
        "dedup": "false",
        "partial_response": "false",
        "max_source_resolution": "0s",
    }
    try:
        with session.post(
            f"{api.url.rstrip('/')}/api/v1/query",
            data=form,
            auth=(api.user, api.password),
            verify=str(api.ca_file),
            timeout=_TIMEOUT_S,
            allow_redirects=False,
        ) as answer:
            if answer.status_code in _NO_ENTRY:
                raise BackupError(f"{api.url}: refuses the user {api.user} ({answer.status_code})")
            content = answer.json()
        if content["status"] != "success":
            raise BackupError(f"{api.url}: refuses the question: {one_line(content.get('error'))}")
        if content.get("warnings"):
            raise BackupError(f"{api.url}: the answer is not whole: {one_line(content['warnings'][0])}")
        samples: _Samples = {}
        for series in content["data"]["result"]:
            labels = tuple(sorted((k, v) for k, v in series["metric"].items() if k not in ignored))
            values = {round(float(at) * 1000): str(value) for at, value in series.get("values", ())}
            values |= {round(float(at) * 1000): json.dumps(v, sort_keys=True) for at, v in series.get("histograms", ())}
            if labels in samples:
                raise BackupError(f"{api.url}: two series are {shown(dict(labels))}; choose one replica with only")
            samples[labels] = values
    except requests.RequestException as error:
        raise BackupError(f"{api.url}: does not answer: {one_line(error)}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BackupError(f"{api.url}: the answer is none of a Prometheus: {one_line(error)}") from None
    return samples
