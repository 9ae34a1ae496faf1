"""Blocks of metrics that are damaged, foreign, unfinished or too old; and answers that differ.

The storage is moto over TLS, a named fake; what Thanos really ships is read in ``tests/config``.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import pytest

from services.backup import BackupError
from services.backup.restore_metrics import Comparison, QueryApi, blocks, compare, restore
from services.backup.store import Store
from services.runtime.settings import Storage
from tests.config.pki import write_certificates
from tests.unit.reports import report_server_fakes

PREFIX = "metrics/"
LABELS = {"platform": "obs", "region": "one", "prometheus_replica": "primary"}
FIRST, SECOND, THIRD = (f"01KAWJ0000000000000000000{letter}" for letter in "ABC")
FILES = {"index": b"the index", "chunks/000001": b"samples", "chunks/000002": b"more samples"}


class Shipped:
    """A bucket that blocks are put into as a sidecar does it."""

    def __init__(self, fake_storage: report_server_fakes.Storage, store: Store) -> None:
        self.fake_storage = fake_storage
        self.store = store

    def put(self, name: str, content: bytes) -> None:
        self.fake_storage.client.put_object(Bucket=report_server_fakes.BUCKET, Key=PREFIX + name, Body=content)

    def remove(self, name: str) -> None:
        self.fake_storage.client.delete_object(Bucket=report_server_fakes.BUCKET, Key=PREFIX + name)

    def block(self, name: str, **changes: Any) -> None:
        for path, content in FILES.items():
            self.put(f"{name}/{path}", content)
        self.put(f"{name}/meta.json", json.dumps(meta(name, **changes)).encode())


def meta(name: str, **changes: Any) -> dict[str, Any]:
    """What Thanos writes about a block."""
    files = [
        {
            "rel_path": path,
            "size_bytes": len(content),
            "hash": {"hashFunc": "SHA256", "value": hashlib.sha256(content).hexdigest()},
        }
        for path, content in FILES.items()
    ]
    block_meta: dict[str, Any] = {
        "ulid": name,
        "minTime": 1_000,
        "maxTime": 7_000,
        "stats": {"numSamples": 12},
        "compaction": {"level": 1, "sources": [name]},
        "version": 1,
        "thanos": {
            "labels": LABELS,
            "downsample": {"resolution": 0},
            "files": [*files, {"rel_path": "meta.json"}],
        },
    }
    thanos = {**block_meta["thanos"], **changes.pop("thanos", {})}
    return {**block_meta, **changes, "thanos": thanos}


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Shipped]:
    folder = tmp_path / "storage"
    folder.mkdir()
    with report_server_fakes.storage(folder) as fake_storage:
        place = Storage(
            endpoint=fake_storage.endpoint,
            region="ap-northeast-1",
            bucket=report_server_fakes.BUCKET,
            prefix=PREFIX,
            access_key_id_file=folder / "key-id",
            secret_access_key_file=folder / "secret-key",
            ca_file=folder / "ca.crt",
        )
        store = Store(place)
        try:
            yield Shipped(fake_storage, store)
        finally:
            store.close()


def test_all_blocks_of_one_replica_are_there_as_they_were_shipped(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    shipped.block(SECOND, minTime=7_000, maxTime=9_000)
    shipped.block(THIRD, thanos={"labels": {**LABELS, "prometheus_replica": "secondary"}})
    told: list[tuple[int, int]] = []
    folder = tmp_path / "data"
    done = restore(shipped.store, LABELS, folder, report=lambda here, of: told.append((here, of)))
    assert (done.blocks, done.samples, done.start_ms, done.end_ms) == (2, 24, 1_000, 9_000)
    assert sorted(path.name for path in folder.iterdir()) == [FIRST, SECOND, "thanos.shipper.json"]
    for name in (FIRST, SECOND):
        for path, content in FILES.items():
            assert (folder / name / path).read_bytes() == content
        assert json.loads((folder / name / "meta.json").read_bytes())["ulid"] == name
    assert json.loads((folder / "thanos.shipper.json").read_text())["uploaded"] == [FIRST, SECOND]
    assert told[-1] == (done.bytes, done.bytes)
    assert len(told) == 2


def test_late_samples_do_not_say_how_far_the_others_came(shipped: Shipped, tmp_path: Path) -> None:
    late = {"compaction": {"level": 1, "sources": [SECOND], "hints": ["from-out-of-order"]}}
    shipped.block(SECOND, minTime=7_000, maxTime=9_000, **late)
    alone = restore(shipped.store, LABELS, tmp_path / "alone")
    assert (alone.end_ms, alone.in_order_until_ms) == (9_000, None)
    shipped.block(FIRST)
    both = restore(shipped.store, LABELS, tmp_path / "both")
    assert (both.end_ms, both.in_order_until_ms) == (9_000, 7_000)


def test_unfinished_merged_and_coarser_blocks_are_left_out(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    shipped.block(SECOND)
    shipped.remove(f"{SECOND}/meta.json")
    shipped.block(THIRD)
    shipped.put(f"{THIRD}/deletion-mark.json", b"{}")
    coarser = FIRST.replace("A", "D")
    shipped.block(coarser, thanos={"downsample": {"resolution": 300_000}})
    shipped.put("debug/metas/something.json", b"{}")
    assert [block.name for block in blocks(shipped.store)] == [FIRST, coarser]
    assert restore(shipped.store, LABELS, tmp_path / "data").blocks == 1


def test_a_replica_that_shipped_nothing_is_told_with_those_that_did(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    with pytest.raises(BackupError) as failure:
        restore(shipped.store, {**LABELS, "region": "two"}, tmp_path / "data")
    assert (
        'no blocks of {platform="obs", prometheus_replica="primary", region="two"}; there are: {platform="obs", '
        in (str(failure.value))
    )
    assert not (tmp_path / "data").exists()


def test_a_folder_with_something_in_it_is_left_alone(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "wal").mkdir()
    with pytest.raises(BackupError, match="is not empty; name a new folder"):
        restore(shipped.store, LABELS, folder)
    assert [path.name for path in folder.iterdir()] == ["wal"]


def test_a_file_that_is_missing_or_cut_is_found_before_anything_is_downloaded(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    shipped.put(f"{FIRST}/chunks/000002", b"more")
    with pytest.raises(BackupError, match=f"; {FIRST}/chunks/000002: has 4 bytes; meta.json says 12 bytes$"):
        restore(shipped.store, LABELS, tmp_path / "data")
    shipped.remove(f"{FIRST}/chunks/000002")
    with pytest.raises(BackupError, match=f"; {FIRST}/chunks/000002: is missing; meta.json says 12 bytes$"):
        restore(shipped.store, LABELS, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_changed_file_of_the_same_size_is_refused_by_its_hash(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    shipped.put(f"{FIRST}/index", b"THE INDEX")
    with pytest.raises(BackupError, match=f"{FIRST}/index: is not what was shipped: 9 bytes, SHA-256 "):
        restore(shipped.store, LABELS, tmp_path / "data")
    assert not (tmp_path / "data" / FIRST).exists()


def test_damaged_blocks_cost_their_own_samples_alone(shipped: Shipped, tmp_path: Path) -> None:
    shipped.block(FIRST)
    shipped.block(SECOND, minTime=7_000, maxTime=9_000)
    shipped.put(f"{SECOND}/index", b"THE INDEX")
    shipped.block(THIRD, thanos={"labels": {**LABELS, "prometheus_replica": "secondary"}})
    shipped.remove(f"{THIRD}/chunks/000001")
    done = restore(shipped.store, LABELS, tmp_path / "data")
    assert (done.blocks, done.samples, done.end_ms) == (1, 12, 7_000)
    assert [problem.split(":")[0] for problem in done.damaged] == [f"{THIRD}/chunks/000001", f"{SECOND}/index"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [FIRST, "thanos.shipper.json"]
    assert json.loads((tmp_path / "data" / "thanos.shipper.json").read_text())["uploaded"] == [FIRST]


def test_blocks_without_hashes_are_taken_by_their_size(shipped: Shipped, tmp_path: Path) -> None:
    files = [{"rel_path": path, "size_bytes": len(content)} for path, content in FILES.items()]
    shipped.block(FIRST, thanos={"files": files})
    assert restore(shipped.store, LABELS, tmp_path / "data").blocks == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ulid": SECOND}, "is not of this block, or names no index"),
        ({"thanos": {"files": [{"rel_path": "chunks/000001", "size_bytes": 7}]}}, "is not of this block, or names no"),
        ({"thanos": {"files": [{"rel_path": "index"}, {"rel_path": "../../wal"}]}}, "names the file '../../wal'"),
        ({"thanos": {"labels": None}}, "is not what Thanos writes: AttributeError"),
        ({"stats": {}}, "is not what Thanos writes: KeyError 'numSamples'"),
        ({"minTime": "soon"}, "is not what Thanos writes: ValueError"),
    ],
)
def test_what_is_no_meta_file_of_that_block_is_one_clear_line(
    shipped: Shipped, changes: dict[str, Any], said: str
) -> None:
    shipped.block(FIRST, **changes)
    if "names the file" in said:
        shipped.put(f"{FIRST}/index", b"")
    with pytest.raises(BackupError) as failure:
        blocks(shipped.store)
    assert str(failure.value).startswith(f"{FIRST}/meta.json: {said}")
    assert "\n" not in str(failure.value)


class _Answers(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    requests: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.requests.append({name: values[0] for name, values in form.items()})
        status, content = self.answers[self.path.split("/")[1]]
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def apis(tmp_path: Path) -> Iterator[tuple[QueryApi, QueryApi]]:
    write_certificates(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    _Answers.requests.clear()
    try:
        yield tuple(  # type: ignore[misc]
            QueryApi(
                url=f"https://localhost:{server.server_port}/{name}",
                user="reader",
                password="password-of-reader",
                ca_file=tmp_path / "ca.crt",
                only={"prometheus_replica": "primary"} if name == "b" else {},
            )
            for name in "ab"
        )
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def answer(*series: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **more}


def told(a: Any, b: Any, status: int = 200) -> None:
    _Answers.answers = {"a": (200, a), "b": (status, b)}


def test_samples_are_compared_one_by_one_without_the_external_labels(apis: tuple[QueryApi, QueryApi]) -> None:
    up = {"__name__": "up", "job": "kafka"}
    told(
        answer(
            {"metric": up, "values": [[1.5, "1"], [2, "NaN"], [3, "0.1"], [4, "7"]]},
            {"metric": {"__name__": "gone"}, "values": [[1, "1"], [2, "1"]]},
            {"metric": {"__name__": "h"}, "histograms": [[1, {"count": "1", "sum": "2"}]]},
        ),
        answer(
            {"metric": {**up, **LABELS}, "values": [[1.5, "1"], [2, "NaN"], [3, "0.2"], [5, "7"]]},
            {"metric": {"__name__": "h", **LABELS}, "histograms": [[1, {"sum": "2", "count": "1"}]]},
        ),
    )
    comparison = compare(*apis, ['job="kafka"'], 1_000, 5_000)
    assert (comparison.equal, comparison.missing, comparison.different, comparison.additional) == (3, 3, 1, 1)
    assert comparison.series == 3
    assert not comparison.same
    assert 'different: {__name__="up", job="kafka"} at 3000: 0.1, 0.2' in comparison.examples
    assert len(comparison.examples) == 5


def test_every_moment_is_asked_for_once_and_the_replica_only_where_there_is_one(
    apis: tuple[QueryApi, QueryApi],
) -> None:
    told(answer(), answer())
    comparison = compare(*apis, ['job="kafka"'], 0, 1_500, window_ms=1_000)
    assert comparison == Comparison(equal=0, missing=0, different=0, additional=0, series=0, examples=())
    assert not comparison.same, "nothing compared is not the same"
    requests = [(request["query"], request["time"]) for request in _Answers.requests]
    assert requests == [
        ('{job="kafka"}[1000ms]', "0.999"),
        ('{job="kafka",prometheus_replica="primary"}[1000ms]', "0.999"),
        ('{job="kafka"}[501ms]', "1.500"),
        ('{job="kafka",prometheus_replica="primary"}[501ms]', "1.500"),
    ]
    assert {
        (request["dedup"], request["partial_response"], request["max_source_resolution"])
        for request in _Answers.requests
    } == {("false", "false", "0s")}


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (401, b"Unauthorized", "refuses the user reader (401)"),
        (422, {"status": "error", "error": "too many\nsamples"}, "refuses the question: too many samples"),
        (200, answer(warnings=["a store is gone"]), "the answer is not whole: a store is gone"),
        (200, {"status": "success", "data": {}}, "the answer is none of a Prometheus: 'result'"),
        (502, b"<html>", "does not answer: Expecting value"),
        (
            200,
            answer(*({"metric": {"__name__": "up", "prometheus_replica": name}} for name in "ab")),
            'two series are {__name__="up"}; choose one replica with only',
        ),
    ],
)
def test_an_answer_that_cannot_be_compared_is_one_clear_line(
    apis: tuple[QueryApi, QueryApi], status: int, content: Any, said: str
) -> None:
    told(answer(), content, status)
    with pytest.raises(BackupError) as failure:
        compare(*apis, ['job="kafka"'], 1_000, 5_000)
    assert str(failure.value).startswith(f"{apis[1].url}: {said}")
    assert "password" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_the_password_is_in_no_text_about_who_asks(apis: tuple[QueryApi, QueryApi]) -> None:
    assert "password-of-reader" not in repr(apis[0])
