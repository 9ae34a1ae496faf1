"""Parts of single kinds that need no server: passwords, failed dumps, torn exports, plans for Kafka."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.backup import BackupError, database, search
from services.backup.database import _dumping
from services.backup.encryption import encrypt
from services.backup.kafka_metadata import Metadata, alike, compared
from services.backup.search import documents
from tests.unit.services.backup.harness import RECIPIENT


def test_a_password_reaches_a_program_by_a_file_that_is_nobody_elses() -> None:
    with database.password_file(r"pass:wo\rd") as (variables, inherited):
        path = Path(variables["PGPASSFILE"])
        assert path.stat().st_mode & 0o777 == 0o600
        command = ["cat", str(path)]
        process = subprocess.run(command, pass_fds=inherited, capture_output=True, check=True, timeout=60)
    assert process.stdout == rb"*:*:*:*:pass\:wo\\rd" + b"\n"
    assert not os.path.exists(f"/proc/self/fd/{inherited[0]}")


def test_a_command_line_never_has_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"host": "db", "dbname": "it's", "password": "hidden-one", "sslmode": "verify-full"}
    assert "hidden-one" not in database.conninfo(words)
    monkeypatch.setenv("PGPASSWORD", "hidden-one")
    assert "hidden-one" not in str(database.environment({}))


def test_a_dump_that_fails_is_an_error_with_its_reason_even_when_it_wrote_something() -> None:
    script = "printf PGDMP; echo 'pg_dump: warning: x' >&2; echo 'pg_dump: error: connection lost' >&2; exit 1"
    with (
        _dumping(["sh", "-c", script], {}, (), "grafana") as dump,
        pytest.raises(BackupError, match=r"^pg_dump of grafana failed: pg_dump: error: connection lost$"),
    ):
        encrypt(dump, io.BytesIO(), [RECIPIENT])


def test_a_dump_that_nobody_reads_on_is_ended() -> None:
    with _dumping(["sleep", "600"], {}, (), "grafana") as dump:
        process: subprocess.Popen[bytes] = dump._process  # type: ignore[attr-defined]
    assert process.returncode == -9


def test_a_restore_wants_a_verified_server_and_shows_no_password(tmp_path: Path) -> None:
    for dsn, message in (
        ("host=db dbname=x password=hidden-one", "sslmode is not set; a server must be verified: sslmode=verify-full"),
        ("postgresql://u:hidden-one@db/x?sslmode=require", "sslmode is require; a server must be verified"),
        ("host= db x hidden-one", "the connection is neither words nor a URI of libpq"),
    ):
        with pytest.raises(BackupError) as raised:
            database._words(dsn)
        assert message in str(raised.value)
        assert "hidden-one" not in str(raised.value)
    assert database._words("host=/var/run/postgresql dbname=x")["dbname"] == "x"


def test_lines_come_back_from_an_export_and_a_torn_one_is_refused(tmp_path: Path) -> None:
    lines = [
        json.dumps({"_id": str(number), "_source": {"名": "x" * number}}).encode() + b"\n" for number in range(3000)
    ]
    whole = b"".join(search.compressed(iter(lines)))
    assert gzip.decompress(whole) == b"".join(lines)
    file = tmp_path / "logs.ndjson.gz"
    file.write_bytes(whole)
    assert [document["_id"] for document in documents(file)] == [str(number) for number in range(3000)]
    for torn, message in ((whole[:-1], "is cut off"), (whole[:2000], "is cut off"), (b"{}\n", "no compressed lines")):
        file.write_bytes(torn)
        with pytest.raises(BackupError, match=message):
            list(documents(file))


def test_an_index_without_documents_is_an_export_too(tmp_path: Path) -> None:
    file = tmp_path / "logs.ndjson.gz"
    file.write_bytes(b"".join(search.compressed(iter(()))))
    assert list(documents(file)) == []


def test_an_index_is_told_without_what_its_cluster_gave_it() -> None:
    settings = {
        "uuid": "x",
        "creation_date": "1",
        "version": {"created": "1"},
        "number_of_shards": "1",
        "codec": "zlib",
    }
    definition = search.definition({"aliases": {}, "mappings": {}, "settings": {"index": settings}})
    assert definition["settings"] == {"number_of_shards": "1", "codec": "zlib"}


def acl(name: str) -> Mapping[str, str]:
    """A permission."""
    return {
        "type": "TOPIC",
        "name": name,
        "pattern": "LITERAL",
        "principal": "User:gateway",
        "host": "*",
        "operation": "WRITE",
        "permission": "ALLOW",
    }


def topic(name: str, partitions: int = 2, **settings: str) -> Mapping[str, Any]:
    """A topic."""
    return {"name": name, "partitions": partitions, "replication": 3, "settings": settings}


WANTED = Metadata(
    topics=[topic("logs", 6, a="1", b="2"), topic("metrics"), topic("traces", 8)],
    acls=[acl("logs"), acl("metrics")],
    users=[{"name": "gateway", "mechanism": "SCRAM_SHA_512", "iterations": 4096}],
    groups=[{"name": "indexer", "offsets": {"logs": {"0": 5, "1": 6}}}],
)


def test_brokers_that_are_alike_need_nothing() -> None:
    plan = compared(WANTED, WANTED)
    assert plan.empty
    assert plan.lines() == []
    assert alike(WANTED, WANTED) == WANTED.counts()


def test_a_plan_says_what_is_missing_and_what_stays() -> None:
    there = Metadata(
        topics=[topic("logs", 4, a="1", b="3", c="4"), topic("traces", 9), topic("more")],
        acls=[acl("logs"), acl("more")],
        users=[],
        groups=[],
    )
    plan = compared(WANTED, there)
    assert not plan.empty
    assert plan.lines() == [
        "make topic metrics with 2 partitions",
        "topic logs: grow to 6 partitions",
        "topic logs: b = 2",
        "topic logs: c = as the brokers have it",
        "permit User:gateway: WRITE on TOPIC metrics",
        "user gateway is missing: `pulumi up --policy-pack policy` makes it",
        "topic traces has 9 partitions, in the backup 8: stays",
        "topic more is not in the backup: stays",
        "User:gateway: WRITE on TOPIC more is permitted and not in the backup: stays",
    ]
    assert alike(WANTED, there) == {
        "topics": 2,
        "partitions": 12,
        "topic settings": 1,
        "acls": 1,
        "users": 0,
        "consumer groups": 0,
        "committed offsets": 0,
    }
