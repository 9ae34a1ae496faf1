"""``ops backup restore``: what is said where something is missing, and what is done with what was fetched."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.backups import command_restore, destinations
from ops.core.errors import OpsError
from services.backup import restore
from services.backup.grafana import Definitions
from services.backup.manifest import Manifest, RunSummary, RunWriter
from services.backup.store import Store
from tests.unit.ops.backup_harness import access_file, ago, identity_file, segment, signed
from tests.unit.services.backup.harness import IDENTITY, RECIPIENT, Harness

ALIASES = {"logs-read": {}, "logs-write": {"is_write_index": True}}


def run(place: Harness, *words: str) -> Result:
    more = ["--access", str(access_file(place)), "--identity", str(identity_file(place))]
    return CliRunner().invoke(app, ["backup", "restore", *words, *more])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["database"], "say where to: --fresh NAME for a new database of the platform, or --dsn-file FILE"),
        (["database", "--fresh", "x", "--dsn-file", "y"], "say where to"),
        (["database", "--fresh", "x", "--replace"], "--replace has nothing to replace in a new database"),
        (["database", "--fresh", "postgres"], "--fresh is 'postgres'"),
        (["database", "--dsn-file", "/nowhere/dsn"], "--dsn-file /nowhere/dsn: cannot be read"),
        (["database", "--fresh", "restored"], "no database backup is stored that can be restored: `ops"),
        (["search", "--prefix", "Logs"], "--prefix is 'Logs'"),
        (["grafana", "--url", "https://grafana.example.com"], "--ca, --login is missing"),
        (["pulumi-state", "--to", "x", "--run", "now"], "must be a start in UTC such as"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(place: Harness, words: list[str], message: str) -> None:
    result = run(place, *words)
    assert isinstance(result.exception, OpsError), result.output
    assert message in str(result.exception)


def test_a_topic_that_is_made_needs_a_name(place: Harness) -> None:
    words = ["backup", "restore", "topic", "alerts-raw", "--make", "--identity", str(identity_file(place))]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, OpsError)
    assert "--to restored-alerts-raw" in str(result.exception)


def test_blocks_of_nobody_are_told(place: Harness, tmp_path: Path) -> None:
    words = ["backup", "restore", "metrics", "--to", str(tmp_path / "data"), "--access", str(access_file(place))]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, OpsError)
    assert str(result.exception) == "--replica primary: blocks are stored of nobody"


def exported(store: Store, counts: int = 2) -> Manifest:
    """A run of the search cluster with one index of two documents."""
    target = RunWriter(store, "search", [RECIPIENT], ago(hours=1))
    lines = b"".join(json.dumps({"_id": str(number), "_source": {"n": number}}).encode() + b"\n" for number in range(2))
    target.add("logs-000001.ndjson.gz", BytesIO(gzip.compress(lines)))
    target.add_json("indices.json", {"logs-000001": {"aliases": ALIASES, "mappings": {}, "settings": {}}})
    content = RunSummary(program="OpenSearch 2", counts={"indices": 1, "logs-000001": counts})
    return signed(store, target.finish(content, platform="obs", region="here"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("database", ["--fresh", "restored"]),
        ("grafana", []),
        ("grafana", ["--replace"]),
        ("kafka-metadata", ["--apply"]),
        ("search", []),
    ],
)
def test_a_run_of_another_region_is_refused_unless_it_is_named(
    place: Harness, store: Store, monkeypatch: pytest.MonkeyPatch, kind: str, words: list[str]
) -> None:
    content = RunSummary(program="some 1", counts={})
    manifest = RunWriter(store, kind, [RECIPIENT], ago(hours=1)).finish(content, platform="obs", region="osaka")
    name = signed(store, manifest).run
    stack = SimpleNamespace(platform="obs", region="tokyo")
    monkeypatch.setattr(command_restore.platform_module, "load", lambda: stack)
    refused = run(place, kind, *words)
    assert isinstance(refused.exception, OpsError), refused.output
    assert str(refused.exception) == (
        f"{kind} {name} is of obs/osaka, and this is obs/tokyo: --from obs/osaka restores it here"
    )
    other = run(place, kind, *words, "--from", "obs/kyoto")
    assert str(other.exception) == f"--from is obs/kyoto, and {kind} {name} is of obs/osaka"
    for same in (["--from", "obs/osaka"], []):
        stack.region = "tokyo" if same else "osaka"
        assert "is of obs/osaka" not in str(run(place, kind, *words, *same).exception)


def test_indices_get_new_names_and_aliases_beside_the_old_ones(store: Store, tmp_path: Path) -> None:
    exported(store)
    folder = tmp_path / "run"
    restore.fetch(store, "search", "latest", [IDENTITY], folder)
    manifest = destinations.renamed(folder, "restored-")
    assert manifest.counts == {"indices": 1, "restored-logs-000001": 2}
    [index] = json.loads((folder / "indices.json").read_text()).items()
    assert index[0] == "restored-logs-000001"
    assert index[1]["aliases"] == {"restored-logs-read": {}, "restored-logs-write": {"is_write_index": True}}
    assert destinations.check(folder, restore.opened(folder, "search")) == []


def test_documents_that_are_missing_are_noticed(store: Store, tmp_path: Path) -> None:
    manifest = exported(store, counts=3)
    restore.fetch(store, "search", "latest", [IDENTITY], tmp_path / "run")
    assert destinations.check(tmp_path / "run", manifest) == ["logs-000001: 2 documents, the manifest says 3"]


def definitions(**changed: Any) -> Definitions:
    """Some definitions of Grafana."""
    return Definitions(
        **{
            "folders": [{"uid": "a", "title": "A"}],
            "dashboards": [{"uid": "one", "folder": "a", "model": {"panels": [1]}}],
            "teams": [],
            "permissions": [{"kind": "folders", "uid": "a", "items": [{"role": "Viewer", "level": 1}]}],
            "sources": [{"uid": "metrics", "name": "Metrics"}],
            "organization": {"name": "Main", "preferences": {}},
            **changed,
        }
    )


def test_equal_definitions_do_not_differ() -> None:
    assert destinations.compared(definitions(), definitions()) == []


def test_what_differs_is_told_by_name() -> None:
    there = definitions(
        folders=[{"uid": "a", "title": "Changed"}, {"uid": "b", "title": "B"}],
        dashboards=[],
        organization={"name": "Other", "preferences": {}},
    )
    assert destinations.compared(definitions(), there) == [
        "folder a differs in title",
        "folder b is only in Grafana",
        "dashboard one is only in the backup",
        "organization differs in name",
    ]


class Brokers:
    """Three brokers with one topic."""

    def __init__(self) -> None:
        self.created_topics: list[Any] = []

    @property
    def client(self) -> Brokers:
        return self

    def topics(self) -> dict[str, Any]:
        partitions_by_topic = {new_topic.topic: new_topic.num_partitions for new_topic in self.created_topics} | {
            "alerts-raw": 4
        }
        return {
            name: SimpleNamespace(partitions=number, leaders=[0] * number)
            for name, number in partitions_by_topic.items()
        }

    def brokers(self) -> tuple[int, ...]:
        return (0, 1, 2)

    def topic_settings(self, topics: list[str]) -> dict[str, dict[str, str]]:
        return {"alerts-raw": {"max.message.bytes": "9", "retention.ms": "1", "min.insync.replicas": "2"}}

    def create_topics(self, new: list[Any], operation_timeout: float) -> dict[str, Future[None]]:
        self.created_topics += new
        done: Future[None] = Future()
        done.set_result(None)
        return {new_topic.topic: done for new_topic in new}


def test_a_topic_for_a_restore_is_like_the_old_one_and_keeps_records_for_ever(store: Store) -> None:
    segment(store, "alerts-raw", 5, 0, 3)
    brokers = Brokers()
    context: Any = SimpleNamespace(kafka=brokers)
    assert destinations.make(context, store, "alerts-raw", "restored-alerts-raw") == 6
    [new_topic] = brokers.created_topics
    assert (new_topic.topic, new_topic.num_partitions, new_topic.replication_factor) == ("restored-alerts-raw", 6, 3)
    assert new_topic.config == {
        "max.message.bytes": "9",
        "min.insync.replicas": "2",
        "retention.ms": "-1",
        "cleanup.policy": "delete",
    }
    with pytest.raises(OpsError, match="topic alerts-raw is there already"):
        destinations.make(context, store, "alerts-raw", "alerts-raw")
