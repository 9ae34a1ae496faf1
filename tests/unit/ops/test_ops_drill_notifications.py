"""What drills know of notifications: read from the record that the environment names, here the lab's real fakes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import environment
from lab.fakes.receivers import keys, settings
from lab.fakes.receivers import record as fakes_record
from lab.fakes.receivers.keys import READER
from lab.paths import LabPaths
from ops.core.errors import OpsError
from ops.drills.procedure import CannotRunError
from ops.drills.procedures.alerts import account, percentile
from ops.drills.tools.notifications import (
    CRITICAL,
    DEAD_MANS_SWITCH,
    FIRING,
    HIGH,
    MAIL,
    PHONE,
    RESOLVED,
    SLACK,
    SMS,
    VARIABLE,
    NotificationRecord,
    Raised,
    Received,
    collected,
    duplicates,
    status,
)
from tests.unit.lab.receivers_fakes import Fakes, fakes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fakes]:
    with fakes(tmp_path_factory.mktemp("fakes")) as all_of_them:
        yield all_of_them


@pytest.fixture
def record(running: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NotificationRecord:
    address = {
        "url": running.base,
        "login": {"username": READER, "password": running.secrets.reader_password},
        "ca_file": running.ca,
    }
    (tmp_path / "address.json").write_text(json.dumps(address))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "address.json"))
    return NotificationRecord.of_environment()


def received(
    number: int, channel: str, title: str, body: Any, at: float = 0.0, audience: str = "operators"
) -> Received:
    return Received(number=number, channel=channel, audience=audience, title=title, body=body, received_at=at)


def test_notifications_are_read_from_a_number_on(running: Fakes, record: NotificationRecord) -> None:
    start = record.newest()
    assert record.since(start) == []
    first = running.record.add(SLACK, "operators", "[HIGH] EtlJobFailed", {"text": "drill-1x"})
    second = running.record.add(PHONE, "operators", "[CRITICAL] DataInconsistent", {"event_action": "trigger"})
    notifications = record.since(start)
    assert [notification.number for notification in notifications] == [first.number, second.number]
    assert notifications[0] == received(
        first.number, SLACK, "[HIGH] EtlJobFailed", {"text": "drill-1x"}, first.received_at
    )
    assert record.newest() == second.number


def test_the_switch_is_waited_for_and_named_when_it_stays_silent(running: Fakes, record: NotificationRecord) -> None:
    assert record.switch_armed() is False
    start = record.newest()
    running.record.add(DEAD_MANS_SWITCH, "operators", "the platform is silent", {})
    assert [one.title for one in record.wait_for(start, DEAD_MANS_SWITCH, 10.0)] == ["the platform is silent"]
    with pytest.raises(OpsError, match="1 of 2 notifications by dead-mans-switch within 0 s"):
        record.wait_for(start, DEAD_MANS_SWITCH, 0.0, count=2)


def test_without_a_record_there_is_no_drill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(CannotRunError, match=f"{VARIABLE} must name a file"):
        NotificationRecord.of_environment()
    for content, message in (
        (None, "cannot be read: No such file"),
        ("{", "Invalid JSON: "),
        ("{}", "url: Field required"),
        ('{"url": "https://x", "login": {"username": "a", "password": "b"}, "ca_file": "x", "more": 1}', "more: Extra"),
    ):
        if content is not None:
            (tmp_path / "address").write_text(content)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "address"))
        with pytest.raises(CannotRunError, match=message):
            NotificationRecord.of_environment()


def test_a_refused_reader_is_told_so(running: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = {"url": running.base, "login": {"username": READER, "password": "wrong"}, "ca_file": running.ca}
    (tmp_path / "address.json").write_text(json.dumps(wrong))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "address.json"))
    with pytest.raises(OpsError, match="the record of notifications answered 401"):
        NotificationRecord.of_environment().newest()


def test_the_lab_names_its_fakes_in_a_file_that_only_its_owner_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = LabPaths.of_checkout()
    monkeypatch.setattr(settings, "folder", lambda _: tmp_path)
    assert environment.notification_record(paths) == {}
    secrets = keys.load_or_make(tmp_path / settings.SECRETS)
    named = environment.notification_record(paths)
    assert named == {VARIABLE: str(tmp_path / "reader.json")}
    assert Path(named[VARIABLE]).stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv(VARIABLE, named[VARIABLE])
    address = NotificationRecord.of_environment()._address
    assert address.url == settings.URL
    assert address.login.pair == (READER, secrets.reader_password)
    assert address.ca_file == tmp_path / settings.CERTIFICATES / "ca.crt"


STATES = (
    (PHONE, "x", {"event_action": "trigger"}),
    (PHONE, "x", {"event_action": "resolve"}),
    (PHONE, "x", {}),
    (SLACK, "[HIGH 警告] EtlJobFailed", {}),
    (MAIL, "[RESOLVED 復旧] EtlJobFailed", {}),
    (SMS, "no title of ours", {}),
)


@pytest.mark.parametrize(("channel", "title", "body"), STATES)
def test_a_state_is_read_as_the_fakes_read_it(channel: str, title: str, body: dict[str, str]) -> None:
    ours = received(1, channel, title, body)
    theirs = fakes_record.Notification(
        number=1, channel=channel, audience="operators", title=title, body=body, received_at=0.0
    )
    assert status(ours) == status(theirs) == fakes_record.status(theirs)
    assert {status(received(1, *sample)) for sample in STATES} == {FIRING, RESOLVED, None}


def test_what_is_said_twice_to_the_same_people_is_counted_but_for_text_messages() -> None:
    one = received(1, SLACK, "[HIGH] A", {"text": "a", "timestamp": 1})
    again = replace(one, number=2, body={"text": "a", "timestamp": 2})
    assert duplicates([one, again]) == 1
    assert duplicates([one, replace(again, audience="team-leader"), replace(again, title="[HIGH] B")]) == 0
    assert duplicates([replace(one, channel=SMS), replace(again, channel=SMS)]) == 0


def test_notifications_are_those_that_name_a_condition_by_its_channel() -> None:
    raised = Raised(CRITICAL, "drill-1x", 100.0)
    late = received(3, PHONE, "[CRITICAL] A", {"event_action": "trigger", "text": "drill-1x"}, 125.0)
    first = replace(late, number=2, received_at=112.5)
    over = replace(late, number=1, received_at=101.0, body={"event_action": "resolve", "text": "drill-1x"})
    others = [replace(late, body={"text": "drill-2x"}), replace(late, channel=SLACK)]
    assert raised.notifications([*others, late]) == [late]
    assert raised.notifications([*others, late], SLACK) == [others[1]]
    assert raised.latency([late, first, over]) == 12.5
    assert raised.latency(others) is None


class Told:
    """A record that has one more notification each time."""

    def __init__(self, *notifications: Received) -> None:
        self._notifications, self._known = notifications, 0

    def since(self, start: int) -> list[Received]:
        self._known += 1
        return list(self._notifications[: self._known])


def test_notifications_are_collected_until_every_condition_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = Raised(CRITICAL, "drill-1x", 0.0)
    other = received(1, PHONE, "x", {"event_action": "trigger", "text": "drill-2x"}, 1.0)
    own = received(2, PHONE, "x", {"event_action": "trigger", "text": "drill-1x"}, 2.0)
    assert collected(Told(other, own), 0, [raised], 60.0) == [other, own]
    assert collected(Told(other), 0, [raised], 0.0) == [other]


def call(number: int, name: str, kind: Any, at: float) -> Received:
    body = {"event_action": "trigger", "text": name} if kind is CRITICAL else {"text": name}
    return received(number, kind.channel, "[X] Y", body, at)


def test_an_account_of_latencies_that_hold() -> None:
    conditions = [Raised(kind, f"drill-{number}", 0.0) for number, kind in enumerate((CRITICAL, CRITICAL, HIGH))]
    told = [call(1, "drill-0", CRITICAL, 10.04), call(2, "drill-1", CRITICAL, 20.0), call(3, "drill-2", HIGH, 90.0)]
    figures: dict[str, Any] = {}
    assert account(figures, conditions, told) == []
    assert figures == {
        "critical runs": 2,
        "critical lost": 0,
        "critical s median, p95, worst": [10.0, 20.0, 20.0],
        "high runs": 1,
        "high lost": 0,
        "high s median, p95, worst": [90.0, 90.0, 90.0],
        "calls for each Critical, fewest and most": [1, 1],
        "notices": 3,
        "duplicates": 0,
    }


def test_an_account_of_latencies_that_do_not_hold() -> None:
    conditions = [Raised(kind, f"drill-{number}", 0.0) for number, kind in enumerate((CRITICAL, CRITICAL, HIGH))]
    figures: dict[str, Any] = {}
    assert account(figures, conditions, [call(1, "drill-0", CRITICAL, 31.0)]) == [
        "1 of 2 critical conditions were never notified",
        "95 % of critical conditions were notified within 31.0 s, must be within 30 s",
        "1 of 1 high conditions were never notified",
        "no high condition was notified",
        "a Critical condition rang nobody",
    ]
    assert (figures["critical lost"], figures["high lost"]) == (1, 1)
    assert "high s median, p95, worst" not in figures


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 21)]
    assert percentile(values, 0.5) == 10
    assert percentile(values, 0.95) == 19
    assert percentile([3.0], 0.95) == 3
    assert math.isclose(percentile([2.0, 1.0], 1.0), 2.0)
