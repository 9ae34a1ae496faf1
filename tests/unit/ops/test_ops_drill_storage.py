"""The drill of the object storage: real commands stop and start it, the archive is compared with Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyrage  # type: ignore[import-untyped]
import pytest

from ops.backups.options import IDENTITY
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import object_storage
from ops.drills.procedures.object_storage import differing, without_offsets
from ops.drills.run import find
from ops.drills.tools import durations
from ops.drills.tools.accounts import Ledger
from ops.drills.tools.load import TOPIC
from ops.drills.tools.outside import VARIABLE
from ops.evidence import files as evidence
from ops.evidence.reading import named
from services.kafka_archive.catalogue import OffsetGap, ReadStats
from services.kafka_archive.segments import Record


def record(offset: int, value: bytes = b"v") -> Record:
    return Record(offset, 1_000 + offset, 1, b"key", value, (("name", b"header"),))


def test_records_are_compared_one_by_one_up_to_an_offset() -> None:
    running = {0: [record(5), record(6), record(7)], 1: [record(2)]}
    assert differing(running, running, {0: 8, 1: 3}) == (4, 0, 0)
    assert differing(running, running, {0: 6, 1: 3}) == (2, 0, 0)
    assert differing(running, {0: [record(5), record(7)]}, {0: 8, 1: 3}) == (4, 2, 0)
    assert differing(running, {**running, 1: [record(2, b"other")]}, {0: 8, 1: 3}) == (4, 0, 1)
    assert differing({}, running, {0: 8}) == (0, 0, 0)
    assert without_offsets([record(5)]) == [(1005, b"key", b"v", (("name", b"header"),))]


class Load:
    """A load of which everything is acknowledged; tells whether the storage ran meanwhile."""

    def __init__(self, storage: Path) -> None:
        self.ledger, self._storage = Ledger(), storage
        self.ran: list[bool] = []

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run_for(self, seconds: float) -> None:
        self.ran.append(self._storage.exists())
        self.ledger.acknowledge([(0, len(self.ran))], 0.0)


class Place:
    """An object storage that runs as long as there is a file, and what the archive has in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.file = folder, folder / "runs"
        self.file.touch()
        self.running = {0: [record(offset) for offset in range(10, 13)]}
        self.held, self.stats = dict(self.running), ReadStats()
        self.load = Load(self.file)
        (folder / "identity").write_text(str(pyrage.x25519.Identity.generate()))
        monkeypatch.setenv(IDENTITY, str(folder / "identity"))
        monkeypatch.setenv(VARIABLE, str(folder / "commands"))
        self.commands(["rm", str(self.file)], ["touch", str(self.file)])
        for name, stub in {
            "OtlpLoad": lambda _: self.load,
            "opened": self._opened,
            "backup_access": lambda _: None,
            "archived_up_to": lambda *_: {0: 13},
            "running_id": lambda *_: "the-one-that-runs",
            "live": lambda *_: self.running,
            "archived": lambda *_: (self.held, self.stats),
        }.items():
            monkeypatch.setattr(object_storage, name, stub)
        monkeypatch.setattr(durations, "STORAGE_OUTAGE", 0.1)

    def commands(self, stop: list[str], start: list[str]) -> None:
        (self.folder / "commands").write_text(json.dumps({"storage": {"stop": stop, "start": start}}))

    @contextmanager
    def _opened(self, _: object) -> Iterator[Any]:
        if not self.file.exists():
            raise OpsError("the object storage does not answer")
        yield SimpleNamespace(folders=lambda: ["database"])

    def carried_out(self) -> tuple[list[str], dict[str, Any]]:
        ends = iter([{0: 10}, {0: 13}])
        platform = SimpleNamespace(kafka=SimpleNamespace(end_offsets=lambda topic: next(ends)), platform=None)
        figures: dict[str, Any] = {}
        return object_storage.stop_object_storage(cast(Context, platform), figures), figures


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_the_storage_is_away_under_load_and_runs_afterwards(place: Place) -> None:
    problems, figures = place.carried_out()
    assert problems == []
    assert place.load.ran == [True, False, True]
    assert place.file.exists()
    assert TOPIC == "telemetry-metrics"
    drill, entry = find("object-storage"), evidence.catalog().entry("archive-storage-outage")
    wanted = {figure for texts in drill.figures.values() for text in texts for figure in named(text)}
    assert sorted(wanted - figures.keys()) == []
    assert [problem for target in entry.targets if (problem := target.problem(figures))] == []
    assert figures | {"storage away s": 0, "stored again after s": 0} == {
        "storage away s": 0,
        "stored again after s": 0,
        "records": 3,
        "doubled": 0,
        "missing": 0,
        "different": 0,
        "acknowledged": 3,
    }


def test_a_record_that_the_archive_lacks_is_a_missed_target(place: Place) -> None:
    place.held = {0: [record(10), record(12, b"other")]}
    problems, figures = place.carried_out()
    targets = evidence.catalog().entry("archive-storage-outage").targets
    assert problems == []
    assert [problem for target in targets if (problem := target.problem(figures))] == [
        "missing is 1, must be exactly 0",
        "different is 1, must be exactly 0",
    ]


def test_a_storage_that_was_never_away_shows_nothing(place: Place) -> None:
    place.commands(["true"], ["true"])
    assert place.carried_out()[0] == ["the object storage still answered after `true` had stopped it"]


def test_what_could_not_be_compared_and_holes_are_told(place: Place) -> None:
    place.running = {0: place.running[0][:2]}
    place.stats.holes.append(OffsetGap(0, 3, 4))
    problems, _ = place.carried_out()
    assert problems == [
        "only 2 of 3 records were read from Kafka, to compare them",
        "the archive lacks offsets between others: [OffsetGap(partition=0, first=3, last=4)]",
    ]


def test_a_load_that_breaks_off_leaves_the_storage_running(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_for(seconds: float) -> None:
        if not place.file.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(place.load, "run_for", run_for)
    with pytest.raises(KeyboardInterrupt):
        place.carried_out()
    assert place.file.exists()


def test_nothing_is_stopped_where_it_could_not_be_started_or_compared(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.commands(["rm", str(place.file)], ["false"])
    with pytest.raises(CannotRunError, match="the object storage could not be put back: `false` failed"):
        place.carried_out()
    assert place.file.exists()
    monkeypatch.setenv(IDENTITY, str(place.folder / "none"))
    with pytest.raises(CannotRunError, match=f"{IDENTITY}: .*none: cannot be read"):
        place.carried_out()
    monkeypatch.delenv(IDENTITY)
    with pytest.raises(CannotRunError, match=f"{IDENTITY} must name the file with your age identity"):
        place.carried_out()
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(CannotRunError, match="nothing tells how the object storage is stopped and started"):
        place.carried_out()
    assert place.file.exists()
    assert place.load.ran == []


def test_a_storage_that_does_not_answer_before_is_left_alone(place: Place) -> None:
    place.file.unlink()
    place.commands(["rm", str(place.file)], ["true"])
    assert place.carried_out() == (["the object storage does not answer before the drill"], {})
