"""Backups on the live platform: every kind made and compared, four of seven restored into something empty (D1, M2)."""

from __future__ import annotations

import json
import secrets
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.backups.schedule import Kind
from ops.backups import database, destinations, pulumi_state, runs
from ops.backups.options import opened
from ops.core.access import backup_access
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.platform import PROJECT
from ops.drills.tools import durations
from ops.drills.tools.archive import live, without_offsets
from ops.drills.tools.grafana import as_administrator, scratch_folder
from ops.evidence import files as evidence
from services.backup.restore_metrics import QueryApi, compare
from tests.config.blocks_process import prepare, prometheus
from tests.config.prometheus_process import USERS
from tests.support.backups import new_topic, ops, ops_json
from tests.support.drills import limit, problems
from tests.support.results import recorded

RESTORED_TOPIC = "alerts-raw"
SAMPLED = 200
_TAG = f"e2e-{secrets.token_hex(3)}"

Figures = dict[str, Any]


def same_counts(report: Mapping[str, Any]) -> Figures:
    """A restore's report has no differences; some of its figures."""
    assert report["differences"] == [], report
    counts = report["counts"]
    return {"run": report["run"], "counts": len(counts), "counted": sum(counts.values())}


def restored_database(context: Context, folder: Path) -> Figures:
    """Into a new database of the running PostgreSQL; the running one is not touched."""
    name = _TAG.replace("-", "_")
    try:
        return same_counts(ops_json("backup", "restore", "database", "--fresh", name))
    finally:
        database.drop(context.kube, name)


def restored_grafana(context: Context, folder: Path) -> Figures:
    """Nothing is restored: the definitions of the backup are those of the running Grafana."""
    comparison = ops_json("backup", "restore", "grafana", "--compare")
    assert comparison["differences"] == []
    with opened(backup_access(context.platform)) as store:
        manifest = runs.newest(store, "grafana")
    assert manifest is not None
    assert manifest.counts["dashboards"] > 0
    return dict(manifest.counts)


def restored_metadata(context: Context, folder: Path) -> Figures:
    """The brokers lack nothing; a topic that is taken away is made again as it was."""
    assert ops_json("backup", "restore", "kafka-metadata")["differences"] == []
    before = context.kafka.topics()[_TAG], context.kafka.topic_settings([_TAG])[_TAG]
    destinations.remove_topic(context, _TAG)
    wait_until(lambda: _TAG not in context.kafka.topics(), 30, f"{_TAG} is gone")
    missing = ops_json("backup", "restore", "kafka-metadata", good=(1,))["differences"]
    assert missing == [f"make topic {_TAG} with 3 partitions"]
    figures = same_counts(ops_json("backup", "restore", "kafka-metadata", "--apply"))
    wait_until(lambda: _TAG in context.kafka.topics(), 30, f"{_TAG} is there again")
    after = context.kafka.topics()[_TAG], context.kafka.topic_settings([_TAG])[_TAG]
    assert (after[0].partitions, after[0].replicas, after[1]) == (before[0].partitions, before[0].replicas, before[1])
    return figures


def restored_search(context: Context, folder: Path) -> Figures:
    """Under new names; documents are those of the running indices."""
    compared = 0
    with destinations.search_administrator(context) as cluster, cluster.web() as web:
        try:
            figures = same_counts(ops_json("backup", "restore", "search", "--prefix", f"{_TAG}-"))
            names = sorted(web.ask("GET", f"/{_TAG}-*"))
            for name in names:
                hits = web.ask("POST", f"/{name}/_search", body={"size": SAMPLED})["hits"]["hits"]
                if hits:
                    wanted = {"ids": [hit["_id"] for hit in hits]}
                    there = web.ask("POST", f"/{name.removeprefix(f'{_TAG}-')}/_mget", body=wanted)["docs"]
                    assert [hit["_source"] for hit in hits] == [hit["_source"] for hit in there], name
                    compared += len(hits)
            assert compared > 0
            return {**figures, "indices": len(names), "documents compared": compared}
        finally:
            destinations.remove_indices(cluster, sorted(web.ask("GET", f"/{_TAG}-*") or {}))


def restored_state(context: Context, folder: Path) -> Figures:
    """Only a file is written: it is the state that Pulumi has now, with its secrets encrypted."""
    file = folder / "state.json"
    ops("backup", "restore", "pulumi-state", "--to", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    state = pulumi_state.parsed(file.read_bytes())
    now = subprocess.run(["pulumi", "stack", "export"], cwd=PROJECT, capture_output=True, timeout=120, check=True)
    assert state == json.loads(now.stdout)
    assert context.platform.grafana_admin is not None
    assert context.platform.grafana_admin.pair[1].encode() not in file.read_bytes()
    return pulumi_state.counted(state)


def restored_topic(context: Context, folder: Path) -> Figures:
    """Into a new topic; record by record what the running one has, up to what is archived."""
    into = f"{_TAG}-records"
    words = ("backup", "restore", "topic", RESTORED_TOPIC, "--to", into, "--make", "--compare")
    try:
        report = ops_json(*words, good=(0, 1))
        there = live(context, into, {})
        running = live(context, RESTORED_TOPIC, {})
    finally:
        with suppress(OpsError):
            destinations.remove_topic(context, into)
    assert report["missing"] == []
    assert report["records"] > 0
    for partition, records in there.items():
        assert without_offsets(records) == without_offsets(running[partition][: len(records)]), f"partition {partition}"
    assert sum(map(len, there.values())) == report["records"]
    return {key: report[key] for key in ("records", "segments", "doubled", "compared_equal")}


def restored_metrics(context: Context, folder: Path) -> Figures:
    """Blocks open in another Prometheus, sample for sample what the running one has."""
    access = backup_access(context.platform)

    def shipped() -> list[runs.Shipped]:
        with opened(access, access.metrics_prefix) as store:
            return [replica for replica in runs.shipped(store) if replica.name == "primary"]

    wait_until(
        lambda: bool(shipped()), durations.FIRST_BLOCKS, "the first block of metrics in the object storage", 10.0
    )
    prepare(folder / "prometheus")
    report = ops_json("backup", "restore", "metrics", "--to", str(folder / "prometheus/data"))
    end = round(datetime.fromisoformat(report["end"]).timestamp() * 1000) - 1
    start = max(round(datetime.fromisoformat(report["start"]).timestamp() * 1000), end - 600_000)
    reader = context.platform.prometheus_credentials["primary"].pair
    running = QueryApi(
        url=context.prometheus_url("primary"), user=reader[0], password=reader[1], ca_file=Path(context.ca_file)
    )
    with prometheus(folder / "prometheus") as new:
        other = QueryApi(url=new.url, user="reader", password=USERS["reader"], ca_file=new.folder / "ca.crt")
        # What Prometheus fetches itself: it is in order, so no later block holds more of the same time.
        comparison = compare(running, other, ['job="kafka"'], start, end)
    assert comparison.same, comparison
    return {"blocks": report["blocks"], "samples": report["samples"], "samples compared": comparison.equal}


RESTORES: Mapping[str, Callable[[Context, Path], Figures]] = {
    "database": restored_database,
    "grafana": restored_grafana,
    "kafka-metadata": restored_metadata,
    "search": restored_search,
    "pulumi-state": restored_state,
    "archive": restored_topic,
    "metrics": restored_metrics,
}


def make_all(figures: Figures) -> None:
    """Run every kind now, some at the same time."""

    def make(kind: str) -> float:
        began = time.monotonic()
        ops("backup", "run", kind)
        return round(time.monotonic() - began, 1)

    kinds = [*map(str, Kind), runs.PULUMI_STATE]
    with ThreadPoolExecutor(3) as pool:
        figures["run s"] = dict(zip(kinds, pool.map(make, kinds), strict=True))


@pytest.mark.timeout(600)
def test_the_database_is_backed_up_and_restored_into_an_empty_one(settled: Context, tmp_path: Path) -> None:
    ops("backup", "run", "database")
    restored = restored_database(settled, tmp_path)
    assert restored["counted"] > 0


@pytest.mark.timeout(2400)
def test_every_kind_is_made_restored_and_compared(settled: Context, tmp_path: Path) -> None:
    with recorded("backups-restored", settled.kube) as figures:
        new_topic(settled, _TAG)
        failures: list[str] = []
        try:
            make_all(figures)
            for kind, restore in RESTORES.items():
                began, folder = time.monotonic(), tmp_path / kind
                folder.mkdir()
                try:
                    figures[kind] = restore(settled, folder)
                    figures[kind]["seconds"] = round(time.monotonic() - began, 1)
                except Exception as error:  # the other kinds are tried all the same
                    figures[kind] = {"problem": str(error)[:400]}
                    failures.append(f"{kind}: {error}")
            proofs = ops_json("backup", "verify", good=(0, 1))["proofs"]
            figures["verified"] = {proof["kind"]: proof["good"] for proof in proofs}
        finally:
            with suppress(OpsError):
                destinations.remove_topic(settled, _TAG)
        assert failures == []
        assert all(figures["verified"].values()), proofs


@limit("object-storage")
def test_an_outage_of_the_object_storage_loses_nothing_of_the_archive(settled: Context) -> None:
    assert problems("object-storage", settled) == []


@pytest.mark.timeout(600)
def test_what_people_lost_in_grafana_comes_back(settled: Context) -> None:
    items = [{"role": "Viewer", "permission": 1}, {"role": "Editor", "permission": 2}]
    with recorded("backups-grafana-restored", settled.kube) as figures, as_administrator(settled) as admin:
        with scratch_folder(admin, items) as uid:
            ops("backup", "run", "grafana")
            before = admin.get(f"/api/dashboards/uid/{uid}")["dashboard"]
            assert admin.status("DELETE", f"/api/folders/{uid}") == 200
            assert ops_json("backup", "restore", "grafana", "--compare", good=(1,))["differences"]
            figures.update(same_counts(ops_json("backup", "restore", "grafana", "--replace")))
            after = admin.get(f"/api/dashboards/uid/{uid}")["dashboard"]
            moving = ("id", "version")
            assert {k: v for k, v in after.items() if k not in moving} == {
                k: v for k, v in before.items() if k not in moving
            }
        assert ops_json("backup", "restore", "grafana", "--compare", good=(1,))["differences"]


@pytest.mark.timeout(900)
def test_maintenance_looks_at_everything_and_keeps_a_record(settled: Context, tmp_path: Path) -> None:
    with recorded("maintenance", settled.kube) as figures:
        for period in ("daily", "monthly"):
            began = time.monotonic()
            maintenance = ops_json("maintain", period, "--folder", str(tmp_path), good=(0, 1))
            failed = {
                check["id"]: check["seen"][:200] for check in maintenance["checks"] if check["result"] == "failed"
            }
            figures[period] = {
                "seconds": round(time.monotonic() - began, 1),
                "checks": len(maintenance["checks"]),
                "to do": sorted(failed),
            }
            assert not [
                message for message in failed.values() if "Error: " in message or "gave no answer" in message
            ], failed
            written = sorted(path.suffix for path in tmp_path.glob(f"maintenance-{period}-*"))
            assert written == [".json", ".md"]
        rows = {check["id"]: check for check in maintenance["checks"]}
        if not evidence.newest("region-drill"):
            assert rows["dr-drill"]["seen"].startswith("DR drill: never done")
        assert datetime.fromisoformat(maintenance["started"]) <= datetime.now(UTC)
        for identifier in ("pods", "alerts", "dashboards", "kafka-retention", "backups-whole"):
            assert rows[identifier]["figure"], rows[identifier]
