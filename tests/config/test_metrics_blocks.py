"""Blocks of Prometheus in a real object storage: shipped, read from there, merged there, restored, and compared."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.prometheus.thanos import Encryption, compact_command
from components.storage_roles import StorageRole
from lab.toolchain import tools
from ops.drills.procedures.restore import DATA, opened_blocks
from services.backup import BackupError
from services.backup.restore_metrics import Block, QueryApi, blocks, compare, restore
from tests.config import blocks_process as servers
from tests.config.blocks_process import BLOCK_MS, LABELS, PREFIX, api
from tests.config.prometheus_process import PrometheusProcess
from tests.config.servers import eventually
from tests.config.storage_process import StorageProcess, storage_process

SERIES = 20
ALL = ['layer="device"']


@dataclass(frozen=True, kw_only=True)
class Harness:
    """A Prometheus that has shipped its blocks.

    Attributes:
        folder: Files of everything.
        storage: The object storage.
        objects: Role -> file by which Thanos finds it.
        original: The Prometheus.
        blocks: What is in the storage.
    """

    folder: Path
    storage: StorageProcess
    objects: Mapping[StorageRole, Path]
    original: PrometheusProcess
    blocks: list[Block]

    @property
    def start_ms(self) -> int:
        """First sample."""
        return min(block.start_ms for block in self.blocks)

    @property
    def end_ms(self) -> int:
        """Last moment that is in blocks."""
        return max(block.end_ms for block in self.blocks) - 1


def local_blocks(data: Path) -> dict[str, dict[str, Any]]:
    """Block -> its ``meta.json``, of a Prometheus' folder."""
    files = [file for file in data.glob("01*/meta.json") if "." not in file.parent.name]
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def all_cut(data: Path) -> bool:
    """Whether late samples are in blocks and no more blocks are made."""
    before = set(local_blocks(data))
    time.sleep(5)
    after = local_blocks(data)
    return before == set(after) and any(map(late, after.values()))


def late(meta: dict[str, Any]) -> bool:
    """Whether a block was cut from samples that came out of order."""
    return "from-out-of-order" in meta["compaction"].get("hints", [])


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("blocks")
    with ExitStack() as stack:
        storage = stack.enter_context(storage_process(folder / "storage"))
        store = stack.enter_context(storage.store(PREFIX, StorageRole.OPERATOR))
        servers.prepare(folder / "primary")
        original = stack.enter_context(servers.prometheus(folder / "primary"))
        objects = {
            role: servers.objects_files(storage, folder / role, role, "SSE-S3")
            for role in (StorageRole.METRICS_WRITER, StorageRole.METRICS_READER, StorageRole.METRICS_COMPACTOR)
        }
        stack.enter_context(servers.sidecar(original, objects[StorageRole.METRICS_WRITER]))
        servers.cut(original, servers.hour_ago_ms())
        data = folder / "primary/data"
        eventually(partial(all_cut, data), 60, "late samples are in blocks")
        eventually(lambda: {block.name for block in blocks(store)} == set(local_blocks(data)), 90, "all are shipped")
        yield Harness(
            folder=folder,
            storage=storage,
            objects=objects,
            original=original,
            blocks=blocks(store),
        )


def restored(harness: Harness, name: str) -> Path:
    """A folder of a new Prometheus with what is in the storage."""
    servers.prepare(harness.folder / name, harness.folder / "primary")
    with harness.storage.store(PREFIX, StorageRole.OPERATOR) as store:
        done = restore(store, LABELS, harness.folder / name / "data")
    assert done.samples > 0
    return harness.folder / name


def test_every_block_is_shipped_whole_with_hashes_late_ones_too(harness: Harness) -> None:
    here = local_blocks(harness.folder / "primary/data")
    assert {block.name for block in harness.blocks} == set(here)
    assert {meta["compaction"]["level"] for meta in here.values()} == {1}, "none was merged here"
    assert {block.end_ms - block.start_ms <= BLOCK_MS for block in harness.blocks} == {True}
    assert {dict(block.labels) == LABELS for block in harness.blocks} == {True}
    assert all(file.sha256 for block in harness.blocks for file in block.files)
    assert sum(map(late, here.values())) >= 2
    assert not [block for block in here.values() if block["stats"]["numSamples"] == 0]


def test_what_is_restored_is_sample_for_sample_what_was_there(harness: Harness) -> None:
    folder = restored(harness, "restored")
    with servers.prometheus(folder) as new:
        comparison = compare(api(harness.original), api(new), ALL, harness.start_ms, harness.end_ms)
        assert comparison.same, comparison
        late_samples = new.series('count(count_over_time({__name__="late_only"}[2h]))')
        assert late_samples[0]["value"][1] == str(SERIES)
        assert comparison.series > 2 * SERIES
        # What was not yet in a block is what a restore lacks.
        rest = compare(api(harness.original), api(new), ALL, harness.end_ms + 1, harness.end_ms + 2 * BLOCK_MS)
        assert (rest.equal, rest.different, rest.additional) == (0, 0, 0)
        assert rest.missing > 0
        # It goes on with new samples.
        servers.write(new, "after", [servers.hour_ago_ms() + 3_600_000])
        eventually(lambda: bool(new.series("after")), 5, "the restored Prometheus takes samples")


def test_a_changed_value_and_a_lacking_sample_are_seen(harness: Harness) -> None:
    matchers = ['__name__="in_order"']
    with servers.prometheus(restored(harness, "changed")) as new:
        before = compare(api(harness.original), api(new), matchers, harness.start_ms, harness.end_ms)
        # At the full minute the original has a sample; one minute later too.
        servers.write(new, "in_order", [harness.end_ms + 1], shift=0.5)
        servers.write(new, "in_order", [harness.end_ms + 30_001], series=1)
        after = compare(api(harness.original), api(new), matchers, harness.start_ms, harness.end_ms + 60_001)
    assert before.same
    assert (after.equal, after.different) == (before.equal, SERIES)
    assert (after.missing, after.additional) == (SERIES, 1)


def compacted(harness: Harness, folder: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    """One round of the compactor over blocks of any age."""
    command = servers.local(
        "thanos",
        [option for option in compact_command(keep_days=400) if option not in ("--wait", "--wait-interval=5m")],
        {
            "data-dir": str(folder),
            "http-address": "127.0.0.1:0",
            "http.config": str(harness.folder / "primary/web.yml"),
            "objstore.config-file": str(harness.objects[StorageRole.METRICS_COMPACTOR]),
        },
    )
    left = [option for option in command if option not in changes]
    return subprocess.run([*left, "--consistency-delay=0s"], capture_output=True, text=True, check=False, timeout=120)


def test_overlapping_blocks_halt_a_compactor_that_may_not_merge_them(harness: Harness, tmp_path: Path) -> None:
    done = compacted(harness, tmp_path, "--compact.enable-vertical-compaction")
    assert done.returncode != 0
    assert "overlaps found" in done.stderr


def test_the_store_gateway_answers_for_a_prometheus_that_is_gone(harness: Harness, tmp_path: Path) -> None:
    original = api(harness.original)
    with at_the_gateway(harness, "fresh") as query_api:
        late_only = compare(original, query_api, ['__name__="late_only"'], harness.start_ms, harness.end_ms)
        assert late_only.same, late_only
        # Of late samples between others, Thanos Query finds some only while they are in blocks of their own.
        fresh = compare(original, query_api, ['__name__="in_order"'], harness.start_ms, harness.end_ms)
        assert (fresh.different, fresh.additional) == (0, 0)
        assert 0 < fresh.missing <= 15 * SERIES
    done = compacted(harness, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    with at_the_gateway(harness, "merged") as query_api:
        comparison = compare(original, query_api, ALL, harness.start_ms, harness.end_ms)
        assert comparison.same, comparison


@contextmanager
def at_the_gateway(harness: Harness, name: str) -> Iterator[QueryApi]:
    """A query layer that knows the store gateway alone."""
    folder, certificates = harness.folder / f"gateway-{name}", harness.folder / "primary"
    with (
        servers.store_gateway(folder, certificates, harness.objects[StorageRole.METRICS_READER]) as gateway,
        servers.query(folder / "query", certificates, [gateway]) as query_api,
    ):
        eventually(partial(knows, query_api), 30, "the query layer knows its store")
        yield query_api


def knows(query_api: QueryApi) -> bool:
    """Whether a query layer finds anything."""
    now_ms = servers.hour_ago_ms() + 3_600_000
    try:
        comparison = compare(query_api, query_api, ALL, now_ms - 3_600_000, now_ms)
    except BackupError:
        return False
    return comparison.equal > 0


def test_without_the_option_late_samples_are_merged_before_anybody_can_ship_them(tmp_path: Path) -> None:
    servers.prepare(tmp_path)
    with servers.prometheus(tmp_path, shipped=False) as process:
        servers.cut(process, servers.hour_ago_ms())
        data = tmp_path / "data"

        def merged() -> bool:
            here = local_blocks(data).values()
            return any(meta["compaction"]["level"] > 1 for meta in here) and not any(map(late, here))

        # The sidecar looks twice a minute.
        eventually(merged, 20, "overlapping blocks are merged")


def test_merged_blocks_restore_to_the_same_samples(harness: Harness, tmp_path: Path) -> None:
    done = compacted(harness, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    with harness.storage.store(PREFIX, StorageRole.OPERATOR) as store:
        left = blocks(store)
    assert len(left) < len(harness.blocks)
    with servers.prometheus(restored(harness, "merged")) as new:
        comparison = compare(api(harness.original), api(new), ALL, harness.start_ms, harness.end_ms)
        assert comparison.same, comparison


def test_the_prometheus_of_a_drill_opens_restored_blocks(harness: Harness, tmp_path: Path) -> None:
    with harness.storage.store(PREFIX, StorageRole.OPERATOR) as store:
        done = restore(store, LABELS, tmp_path / DATA)
    with opened_blocks(str(tools.path("prometheus")), tmp_path) as new:
        comparison = compare(api(harness.original), new, ALL, harness.start_ms, harness.end_ms)
        stranger = replace(new, password="wrong")
        with pytest.raises(BackupError, match="refuses the user drill"):
            compare(stranger, stranger, ALL, harness.start_ms, harness.end_ms)
    assert comparison.same, comparison
    assert len(local_blocks(tmp_path / DATA)) == done.blocks
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("encryption", [None, "SSE-S3"])
def test_thanos_reads_the_file_of_the_storage(harness: Harness, tmp_path: Path, encryption: Encryption | None) -> None:
    file = servers.objects_files(harness.storage, tmp_path, StorageRole.METRICS_READER, encryption)
    done = subprocess.run(
        [str(tools.path("thanos")), "tools", "bucket", "ls", f"--objstore.config-file={file}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert harness.blocks[0].name in done.stdout + done.stderr
