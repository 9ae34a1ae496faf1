"""What drills know of notifications: read from the record that the environment names, here the lab's real fakes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from lab import environment
from lab.fakes.receivers import record as fakes_record
from lab.fakes.receivers import settings
from lab.fakes.receivers.settings import READER
from lab.paths import LabPaths
from ops.core.alertmanager import Matcher
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import alerts
from ops.drills.procedures.alerts import account, measure, percentile
from ops.drills.tools import faults
from ops.drills.tools.notifications import (
    CRITICAL,
    DEAD_MANS_SWITCH,
    FIRING,
    HIGH,
    MAIL,
    OTHER_CRITICAL,
    PHONE,
    RESOLVED,
    SLACK,
    SMS,
    VARIABLE,
    Injector,
    Kind,
    NotificationRecord,
    Raised,
    Received,
    collected,
    duplicates,
    repeated,
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
    secrets = settings.load_or_make_secrets(tmp_path / settings.SECRETS)
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


def test_an_alert_without_a_name_is_of_the_condition_that_began_last() -> None:
    first, second = Raised(OTHER_CRITICAL, "drill-1x", 100.0, until=200.0), Raised(OTHER_CRITICAL, "drill-2x", 200.0)
    title = f"[CRITICAL] {OTHER_CRITICAL.alert}: 91 % of the recordings fail"
    trigger = received(1, PHONE, title, {"event_action": "trigger", "dedup_key": "a"}, 104.0)
    over = replace(trigger, number=2, title=title.replace("CRITICAL", "RESOLVED"), received_at=130.0)
    again = replace(trigger, number=3, received_at=205.5)
    other = replace(trigger, title="[CRITICAL] SloBurnCritical: see RecordingFailures.md")
    notifications = [trigger, other, over, again]
    assert first.notifications(notifications) == [trigger, over]
    assert (first.latency(notifications), second.latency(notifications)) == (4.0, 5.5)
    assert second.latency([trigger, other]) is None


def test_what_is_said_of_two_conditions_without_a_name_is_no_repetition_and_twice_of_one_is() -> None:
    raised = [Raised(OTHER_CRITICAL, "drill-1x", 100.0, until=200.0), Raised(OTHER_CRITICAL, "drill-2x", 200.0)]
    title = f"[CRITICAL] {OTHER_CRITICAL.alert}"
    first = received(1, PHONE, title, {"event_action": "trigger", "dedup_key": "a"}, 104.0)
    again = replace(first, number=2, received_at=204.0)
    assert (duplicates([first, again]), repeated([first, again], raised)) == (1, 0)
    assert repeated([first, again, replace(again, received_at=209.0)], raised) == 1
    named = call(4, "drill-3x", CRITICAL, 110.0)
    assert repeated([first, named, again, replace(named, received_at=210.0)], raised) == 1


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
        "raised, by name and layer": {"DataInconsistent (data)": 2, "EtlJobFailed (data)": 1},
        "p95 s, by name and layer": {"DataInconsistent (data)": 20.0, "EtlJobFailed (data)": 90.0},
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


class Platform:
    """Takes what an `Injector` sends, and notifies of what is bad as soon as it begins, but of the kinds it loses."""

    def __init__(self, *loses: Kind, refuses: int = 0) -> None:
        self.otlp = self.thanos = self
        self.notifications: list[Received] = []
        self.values: dict[str, list[float]] = {}
        self._loses, self._refuses = loses, refuses

    def metrics(self, request: ExportMetricsServiceRequest, layer: str) -> tuple[int, int]:
        if self._refuses:
            self._refuses -= 1
            return 503, 0
        (kind,) = (kind for kind in (CRITICAL, OTHER_CRITICAL, HIGH) if kind.metric in str(request))
        assert layer == kind.layer
        one = request.resource_metrics[-1].scope_metrics[0].metrics[0]
        (point,) = one.gauge.data_points or one.sum.data_points
        name = request.resource_metrics[0].scope_metrics[0].metrics[0]
        named = (name.gauge.data_points or name.sum.data_points)[0].attributes[0].value.string_value
        known = self.values.setdefault(named, [])
        if point.as_double == kind.bad and kind.bad not in known and kind not in self._loses:
            text = "" if kind.total else named
            body = {"text": text, **({"event_action": "trigger"} if kind.channel == PHONE else {})}
            number = len(self.notifications) + 1
            self.notifications.append(received(number, kind.channel, f"[X] {kind.alert}", body, time.time()))
        known.append(point.as_double)
        return 200, 0

    def number(self, expression: str) -> float | None:
        counted = {value for values in self.values.values() for value in values}
        if expression == alerts.FEW:
            return None if OTHER_CRITICAL.good in counted else 0.0
        return 1.0 if OTHER_CRITICAL.bad in counted and OTHER_CRITICAL.good not in counted else None

    def newest(self) -> int:
        return 0

    def since(self, _: int) -> list[Received]:
        return list(self.notifications)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "BETWEEN_S", 0.2)
    monkeypatch.setattr(alerts, "LATE_S", 1.0)


@pytest.mark.usefixtures("hurried")
def test_a_run_has_conditions_of_one_name_and_layer_and_others_between_them() -> None:
    platform: Any = Platform()
    figures: dict[str, Any] = {}
    assert measure(platform, platform, 5, figures) == []
    raised = figures["raised, by name and layer"]
    assert raised.keys() == {"RecordingFailures (streaming)", "DataInconsistent (data)", "EtlJobFailed (data)"}
    assert raised["RecordingFailures (streaming)"] + raised["DataInconsistent (data)"] == figures["critical runs"] == 5
    assert figures["duplicates"] == 0
    assert all(value <= 1.0 for value in figures["p95 s, by name and layer"].values())


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("lost", [CRITICAL, OTHER_CRITICAL], ids=lambda kind: kind.alert)
def test_a_lost_condition_is_missed_whichever_alert_it_is_of(lost: Kind) -> None:
    platform: Any = Platform(lost)
    figures: dict[str, Any] = {}
    problems = measure(platform, platform, 3, figures)
    count = figures["raised, by name and layer"][lost.group]
    assert figures["critical lost"] == count > 0
    assert problems == [f"{count} of 3 critical conditions were never notified", "a Critical condition rang nobody"]
    assert lost.group not in figures["p95 s, by name and layer"]


@pytest.mark.usefixtures("hurried")
def test_nothing_begins_while_the_other_alert_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    platform: Any = Platform()
    monkeypatch.setattr(platform, "number", lambda expression: 1.0)
    monkeypatch.setattr(alerts, "FORGOTTEN_S", 0.0)
    with pytest.raises(OpsError, match=r"RecordingFailures not to fire, and a minute with few recording\.attempts"):
        measure(platform, platform, 3, {})
    assert platform.values == {}


def test_a_share_begins_with_what_was_counted_before_it_also_where_that_is_refused_at_first() -> None:
    platform: Any = Platform(refuses=1)
    with Injector(platform) as injector:
        first = injector.raise_one(OTHER_CRITICAL)
        deadline = time.monotonic() + 20
        while OTHER_CRITICAL.bad not in platform.values.get(first.name, ()) and time.monotonic() < deadline:
            time.sleep(0.05)
        second = injector.raise_one(OTHER_CRITICAL)
    assert platform.values[first.name][:2] == [0, OTHER_CRITICAL.bad]
    assert platform.values[first.name][-1] == OTHER_CRITICAL.good
    assert (first.until, second.until) == (second.at, math.inf)


LISTING = """-P FORWARD ACCEPT -c 0 0
-A FORWARD -p tcp -m tcp --dport 9094 -c 7 420 -j DROP
-A FORWARD -p tcp -m tcp --sport 9094 -c 5 300 -j DROP
-A FORWARD -p tcp -m tcp --dport 9095 -c 100 6000 -j DROP
-A FORWARD -s 10.1.0.1/32 -d 10.1.0.2/32 -c 3 180 -j DROP
-A FORWARD -s 10.1.0.2/32 -d 10.1.0.1/32 -c 0 0 -j ACCEPT
"""


def test_packets_are_counted_by_the_rules_that_drop_them() -> None:
    port = tuple(("-p", "tcp", side, "9094") for side in ("--dport", "--sport"))
    pods = (("-s", "10.1.0.1", "-d", "10.1.0.2"), ("-s", "10.1.0.2", "-d", "10.1.0.1"))
    assert faults.counted_packets(LISTING, port) == 12
    assert faults.counted_packets(LISTING, pods) == 3
    assert faults.counted_packets("", pods) == 0


class Member:
    """An Alertmanager that gossips with some."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.hearers: list[Member] = [self]

    def silence(self, matchers: Sequence[Matcher], *_: object) -> str:
        [matcher] = matchers
        for hearer in self.hearers:
            hearer.active.add(matcher.value)
        return matcher.value

    def silences(self) -> list[Any]:
        return [SimpleNamespace(id=name) for name in self.active]

    def end(self, silence: str) -> None:
        for hearer in self.hearers:
            hearer.active.remove(silence)


@pytest.mark.parametrize("stuck", [None, 0, 1])
def test_gossip_works_only_if_it_does_in_both_directions(monkeypatch: pytest.MonkeyPatch, stuck: int | None) -> None:
    monkeypatch.setattr(alerts, "_GOSSIP_S", 0.05)
    pair = {"alertmanager-0": Member(), "alertmanager-1": Member()}
    for member in pair.values():
        member.hearers = list(pair.values())
    if stuck is not None:
        lone = pair[f"alertmanager-{stuck}"]
        lone.hearers = [lone]
    context = SimpleNamespace(
        kube=SimpleNamespace(pods=lambda _: [SimpleNamespace(name=name) for name in pair]),
        alertmanager=pair.__getitem__,
    )
    assert alerts.gossip(cast(Context, context)) is (stuck is None)
    assert [member.active for member in pair.values()] == [set(), set()], "every silence is ended"


@pytest.mark.parametrize(("packets", "apart"), [(7, True), (0, False)])
def test_alertmanagers_that_were_not_apart_are_said(monkeypatch: pytest.MonkeyPatch, packets: int, apart: bool) -> None:
    cut_off = SimpleNamespace(text="packets dropped on the node", packets=lambda: packets)
    monkeypatch.setattr(alerts, "dropped", lambda _: nullcontext(cut_off))
    monkeypatch.setattr(alerts, "members", lambda _: [1, 1])
    monkeypatch.setattr(alerts, "measure", lambda *_: [])
    monkeypatch.setattr(alerts, "wait_until", lambda *_: 20.04)
    monkeypatch.setattr(alerts, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(alerts.NotificationRecord, "of_environment", classmethod(lambda _: None))
    figures: dict[str, Any] = {}
    problems = alerts.notify_while_split(cast(Context, None), figures)
    assert figures["packets dropped"] == packets
    assert figures["news reach the other member again after s"] == 40.1
    assert problems == ([] if apart else ["no packet between the members was dropped: they were not apart"])
