"""Bulk requests against a small HTTPS server that answers as it is told."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.log_indexer.__main__ import BulkWriter
from services.log_indexer.documents import Document
from services.runtime.json_api import ApiError
from tests.support.kafka_broker import write_certificates
from tests.unit.services.indexer_fakes import settings

DOCUMENTS = [
    Document(f'{{"index":{{"_id":"id-{number}"}}}}\n{{"body":"himitsu {number}"}}\n'.encode()) for number in range(3)
]


@contextmanager
def cluster(folder: Path, *answers: tuple[int, Any]) -> Iterator[tuple[BulkWriter, list[tuple[str, str, str]]]]:
    """A writer and the requests that it makes; answers in order, the last one for good."""
    write_certificates(folder)
    seen: list[tuple[str, str, str]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["content-encoding"] == "gzip"
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"]))).decode()
            seen.append((self.path, self.headers["authorization"], body))
            status, answer = left.pop(0) if len(left) > 1 else left[0]
            text = (answer(body) if callable(answer) else answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    search = settings(folder).search.model_copy(update={"url": f"https://localhost:{server.server_address[1]}"})
    writer = BulkWriter(search)
    try:
        yield writer, seen
    finally:
        writer.close()
        server.shutdown()
        server.server_close()
        thread.join(60)


def items(*states: tuple[int, str | None]) -> str:
    listed = [
        {"index": {"_index": "logs-000001", "status": status, **({"error": {"type": kind}} if kind else {})}}
        for status, kind in states
    ]
    return json.dumps({"errors": any(kind for _, kind in states), "items": listed})


def all_written(body: str) -> str:
    return items(*[(201, None)] * (body.count("\n") // 2))


def test_documents_go_to_the_alias_under_their_ids(tmp_path: Path) -> None:
    with cluster(tmp_path, (200, all_written)) as (writer, seen):
        assert writer.write(DOCUMENTS).written == 3
        [(path, authorization, body)] = seen
    assert path == (
        "/logs-write/_bulk?require_alias=true&filter_path=errors,items.*.status,items.*._index,items.*.error.type"
    )
    assert authorization.startswith("Basic ")
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line["index"]["_id"] for line in lines[::2]] == ["id-0", "id-1", "id-2"]
    assert lines[1] == {"body": "himitsu 0"}


@pytest.mark.parametrize("status", [429, 503, 403, 404, 500])
def test_an_item_that_can_be_written_later_waits(tmp_path: Path, status: int) -> None:
    with cluster(tmp_path, (200, items((201, None), (status, "some_exception"), (200, None)))) as (writer, _):
        outcome = writer.write(DOCUMENTS)
    assert outcome.written == 2
    assert outcome.waiting == [DOCUMENTS[1]]
    assert outcome.reason == f"{status} some_exception"
    assert outcome.rejected == []


def test_an_item_that_can_never_be_written_is_rejected(tmp_path: Path) -> None:
    answer = items((201, None), (400, "mapper_parsing_exception"), (200, None))
    with cluster(tmp_path, (200, answer)) as (writer, _):
        outcome = writer.write(DOCUMENTS)
    assert outcome.rejected == [(DOCUMENTS[1], "mapper_parsing_exception")]
    assert outcome.waiting == []


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("logs-write", "illegal_argument_exception"),
        ("logs-write", "index_closed_exception"),
        ("logs-000001", "index_closed_exception"),
    ],
    ids=["the alias leads to two indices", "the index is closed", "the index was closed a moment ago"],
)
def test_an_item_that_no_index_has_judged_waits_although_its_status_is_400(
    tmp_path: Path, index: str, reason: str
) -> None:
    item = {"index": {"_index": index, "status": 400, "error": {"type": reason}}}
    with cluster(tmp_path, (200, json.dumps({"errors": True, "items": [item] * 3}))) as (writer, _):
        outcome = writer.write(DOCUMENTS)
    assert outcome.waiting == DOCUMENTS
    assert outcome.reason == f"400 {reason}"
    assert outcome.rejected == []


def test_a_request_that_is_too_large_is_parted(tmp_path: Path) -> None:
    with cluster(tmp_path, (413, ""), (200, all_written), (413, ""), (413, ""), (200, all_written)) as (writer, seen):
        outcome = writer.write(DOCUMENTS)
    assert outcome.written == 2
    assert outcome.rejected == [(DOCUMENTS[1], "too_large")]
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (401, "", "answered 401: no JSON"),
        (400, json.dumps({"error": {"type": "bad", "reason": "himitsu 1"}}), "answered 400: bad"),
        (200, "{}", "did not answer as a bulk request is answered"),
        (200, items((201, None)), "answered for 1 of 3 documents"),
    ],
)
def test_an_answer_that_says_nothing_about_the_documents_is_an_error(
    tmp_path: Path, status: int, answer: str, message: str
) -> None:
    with cluster(tmp_path, (status, answer)) as (writer, _), pytest.raises(ApiError) as caught:
        writer.write(DOCUMENTS)
    assert message in str(caught.value)
    assert "himitsu" not in str(caught.value)


def test_nobody_there_is_an_error_and_the_next_request_tries_again(tmp_path: Path) -> None:
    with cluster(tmp_path, (200, all_written)) as (writer, _):
        api = writer._alias._api
        address, api._port = api._port, 1
        with pytest.raises(ApiError, match=r"no answer: .*Connection refused"):
            writer.write(DOCUMENTS)
        api._port = address
        assert writer.write(DOCUMENTS).written == 3


def test_a_server_of_another_name_is_not_trusted(tmp_path: Path) -> None:
    with cluster(tmp_path, (200, all_written)) as (writer, seen):
        search = settings(tmp_path).search.model_copy(update={"url": writer._alias.url, "server_name": "elsewhere"})
        other = BulkWriter(search)
        with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
            other.write(DOCUMENTS)
        assert seen == []


def test_a_renewed_password_is_taken_after_a_refusal(tmp_path: Path) -> None:
    with cluster(tmp_path, (401, ""), (200, all_written)) as (writer, seen):
        with pytest.raises(ApiError):
            writer.write(DOCUMENTS)
        (tmp_path / "password").write_text("renewed")
        writer.write(DOCUMENTS)
    assert seen[0][1] != seen[1][1]
