"""Backups on the live platform: every kind made and compared, four of seven restored into something empty (D1, M2)."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.core.context import Context
from ops.drills.procedures.grafana import as_administrator, scratch_folder
from ops.drills.procedures.restore import restored_database, same_counts
from ops.drills.tools.outside import ops, ops_json
from ops.evidence import files as evidence
from tests.support.drills import limit, problems
from tests.support.results import recorded


@pytest.mark.timeout(600)
def test_the_database_is_backed_up_and_restored_into_an_empty_one(settled: Context, tmp_path: Path) -> None:
    ops("backup", "run", "database")
    restored = restored_database(settled, tmp_path, f"e2e-{secrets.token_hex(3)}")
    assert restored["counted"] > 0


@limit("restore")
def test_every_kind_is_made_restored_and_compared(settled: Context) -> None:
    assert problems("restore", settled) == []


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
