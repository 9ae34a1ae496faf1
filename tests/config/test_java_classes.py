"""Kafka's brokers of the tests start from an archive of their classes, and without one that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import java_classes, kafka_broker

honest = java_classes.read_from


def maps(broker: kafka_broker.Broker) -> str:
    """Files that the broker's process has in memory."""
    return Path(f"/proc/{broker.server.pid}/maps").read_text()


def test_a_broker_reads_its_classes_from_the_archive(tmp_path: Path) -> None:
    with kafka_broker.running(tmp_path) as broker:
        assert str(java_classes.archive(kafka_broker.prepared())) in maps(broker)


def test_a_broker_starts_without_an_archive_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfit = tmp_path / "unfit"
    unfit.mkdir()
    java_classes.archive(unfit).write_bytes(b"no archive of classes")
    monkeypatch.setattr(java_classes, "read_from", lambda _: honest(unfit))
    with kafka_broker.running(tmp_path / "broker") as broker:
        assert str(unfit) not in maps(broker)
    assert "SharedArchiveFile" not in (tmp_path / "broker" / "broker.log").read_text()


def test_what_is_made_once_is_made_by_the_first_and_left_whole(tmp_path: Path) -> None:
    fills: list[Path] = []

    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("interrupted")

    def fill(folder: Path) -> None:
        fills.append(folder)
        (folder / "whole").touch()

    with pytest.raises(OSError, match="interrupted"):
        java_classes.made_once(tmp_path, "server", ("1",), fails)
    first, again = (java_classes.made_once(tmp_path, "server", ("1",), fill) for _ in range(2))
    assert first == again
    assert [file.name for file in first.iterdir()] == ["whole"]
    assert len(fills) == 1
    assert java_classes.made_once(tmp_path, "server", ("2",), fill) != first
