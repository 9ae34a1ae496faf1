"""The fakes' record: order, time, what survives a restart, what must never be in it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lab.fakes.receivers.record import HIDDEN, MAIL, PHONE, SMS, Notification, Record
from lab.fakes.receivers.settings import Secrets


def test_notifications_are_read_by_number_or_by_time() -> None:
    moments = iter((100.0, 200.0, 300.0))
    record = Record(clock=lambda: next(moments))
    for title in ("one", "two", "three"):
        record.add(PHONE, "operators", title, {})
    assert [notification.title for notification in record.since()] == ["one", "two", "three"]
    assert [notification.title for notification in record.since(1)] == ["two", "three"], (
        "an int is a number: what comes after it"
    )
    assert [notification.title for notification in record.since(200.0)] == ["two", "three"], (
        "a float is a moment: what came from then on"
    )
    assert record.since(len(record.since())) == []


def test_a_notification_is_json_and_back() -> None:
    record = Record(clock=lambda: 1_795_000_000.25)
    notification = record.add(SMS, "arn", "緊急", {"message": "緊急\nx", "list": [1, None, True, ("a",)]})
    data = json.loads(json.dumps(notification.data()))
    assert data["received"] == "2026-11-18T11:06:40.250+00:00"
    assert Notification.of(data) == notification


def test_the_newest_notification_of_a_channel_is_found() -> None:
    record = Record()
    record.add(PHONE, "a", "first", {})
    record.add(PHONE, "a", "second", {})
    record.add(MAIL, "b", "third", {})
    assert record.last(PHONE).title == "second"  # type: ignore[union-attr]
    assert record.last(SMS) is None


def test_the_record_survives_a_restart_and_goes_on_counting(tmp_path: Path) -> None:
    file = tmp_path / "new" / "notifications.jsonl"
    before = Record(file)
    before.add(PHONE, "operators", "before\u2028one line", {"a": [1]})
    with file.open("a") as out:
        out.write('{"number": 2, "channel": "pho')
    after = Record(file)
    assert after.since() == before.since(), "a line that a kill left torn is dropped, nothing else"
    assert after.add(PHONE, "operators", "after", {}).number == 2
    assert [notification.title for notification in Record(file).since()] == ["before\u2028one line", "after"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_old_notifications_give_way_in_memory_and_in_the_file(tmp_path: Path) -> None:
    record = Record(tmp_path / "notifications.jsonl", keep=10)
    for number in range(1, 101):
        record.add(PHONE, "operators", f"notification {number}", {})
        assert len(record.since()) < 20
    assert record.since()[-1].number == 100
    assert record.since()[0].number > 80
    assert Record(tmp_path / "notifications.jsonl").since()[-1].title == "notification 100"
    assert len((tmp_path / "notifications.jsonl").read_text().splitlines()) < 20


@pytest.mark.parametrize("place", ["audience", "title", "value", "key", "list"])
def test_a_secret_never_gets_into_the_record(tmp_path: Path, place: str) -> None:
    secrets = Secrets()
    record = Record(tmp_path / "notifications.jsonl", hidden=secrets.all())
    for secret in secrets.all():
        text = f"x {secret} y"
        body = {"value": text if place == "value" else "", "list": [text] if place == "list" else []}
        record.add(
            PHONE,
            text if place == "audience" else "operators",
            text if place == "title" else "",
            {text: 1} if place == "key" else body,
        )
    written = (tmp_path / "notifications.jsonl").read_text()
    read = json.dumps([notification.data() for notification in record.since()])
    for secret in secrets.all():
        assert secret not in written
        assert secret not in read
    assert written.count(HIDDEN) == len(secrets.all())


def test_threads_may_add_at_the_same_time(tmp_path: Path) -> None:
    record = Record(tmp_path / "notifications.jsonl")

    def add() -> None:
        for _ in range(50):
            record.add(PHONE, "operators", "x" * 5000, {})

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [notification.number for notification in record.since()] == list(range(1, 401))
    assert Record(tmp_path / "notifications.jsonl").since() == record.since()
