"""The incident closer: Alertmanager's name of an incident, which are closed and when, and what goes wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from prometheus_client import CollectorRegistry

from lab.fakes.receivers.__main__ import application
from lab.fakes.receivers.channels import Phone
from lab.fakes.receivers.record import Record
from services.incident_closer import IncidentCloserSettings as Settings
from services.incident_closer import Paged
from services.incident_closer import __main__ as incidents
from services.incident_closer.__main__ import (
    AWAY_S,
    MOST_AT_ONCE,
    AlertStates,
    Closer,
    CloserMetrics,
    Closing,
    Incident,
    dedup_key,
    evaluate,
)
from services.regions import FAILOVER_AGENT, HANDOVER_AUTHOR
from services.runtime.https import HttpsServer
from services.runtime.serving import DedupLogger
from services.runtime.settings import SettingsError
from tests.config.pki import write_certificates

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

ONE, TWO = Incident("phone", "1"), Incident("phone", "2")
ROUTE = '{}/{severity="critical"}'
PAGED = {"phone": Paged(route=ROUTE, key_file=Path("/keys/phone"))}
OTHER_ROUTE = '{}/{escalation="other"}'
KEY, OTHER_KEY = "k" * 32, "o" * 32


def states(
    muted: tuple[Incident, ...] = (), told: tuple[Incident, ...] = (), elsewhere: tuple[Incident, ...] = ()
) -> AlertStates:
    return AlertStates(frozenset(muted), frozenset(told), frozenset(elsewhere))


def alert(
    state: str,
    receivers: tuple[str, ...] = ("phone", "mail"),
    silenced_by: tuple[str, ...] = (),
    inhibited_by: tuple[str, ...] = (),
    **labels: str,
) -> dict[str, Any]:
    return {
        "labels": {"alertname": "Down", "severity": "critical", **labels},
        "status": {"state": state, "silencedBy": list(silenced_by), "inhibitedBy": list(inhibited_by)},
        "receivers": [{"name": receiver} for receiver in receivers],
    }


AUTHORS = {"1": FAILOVER_AGENT, "2": HANDOVER_AUTHOR, "3": "jo"}


def test_only_muted_alerts_that_ring_a_phone_are_closed() -> None:
    alert_states = evaluate(
        [
            alert("suppressed", instance="a"),
            alert("active", instance="b"),
            alert("unprocessed", instance="c"),
            alert("suppressed", ("mail",), instance="d"),
        ],
        {},
        PAGED,
    )
    labels = {"alertname": "Down", "severity": "critical"}
    assert alert_states.muted == {Incident("phone", dedup_key(ROUTE, {**labels, "instance": "a"}))}
    assert alert_states.told == {
        Incident("phone", dedup_key(ROUTE, {**labels, "instance": instance})) for instance in "bc"
    }


@pytest.mark.parametrize(
    ("silenced_by", "inhibited_by", "kept"),
    [
        (("1",), (), "elsewhere"),
        (("2",), (), "elsewhere"),
        (("1", "2"), (), "elsewhere"),
        (("3",), (), "muted"),
        (("1", "3"), (), "muted"),
        (("1",), ("x",), "muted"),
        ((), ("x",), "muted"),
        (("1", "gone"), (), "elsewhere"),
        (("gone", "3"), (), "muted"),
    ],
)
def test_what_only_the_regions_silences_keep_quiet_is_neither_muted_nor_told(
    silenced_by: tuple[str, ...], inhibited_by: tuple[str, ...], kept: str
) -> None:
    alerts = [alert("suppressed", silenced_by=silenced_by, inhibited_by=inhibited_by)]
    incident = Incident("phone", dedup_key(ROUTE, {"alertname": "Down", "severity": "critical"}))
    assert evaluate(alerts, AUTHORS, PAGED) == states(**{kept: (incident,)})


def test_what_the_other_region_tells_stays_open_until_the_alert_has_been_away_for_a_while() -> None:
    closing = Closing()
    assert [closing.due(now, states(elsewhere=(ONE,))) for now in (0.0, 5.0, 100.0)] == [[]] * 3
    assert [closing.due(now, states()) for now in (105.0, 105.0 + AWAY_S - 1)] == [[]] * 2
    assert closing.due(105.0 + AWAY_S, states()) == [ONE]
    assert closing.due(110.0 + AWAY_S, states()) == [ONE], "until the pager takes it"
    closing.closed(ONE, 110.0 + AWAY_S)
    assert closing.due(115.0 + AWAY_S, states()) == []


def test_an_alertmanager_that_has_just_started_and_knows_no_alert_yet_closes_nothing_of_the_other_region() -> None:
    closing = Closing()
    closing.due(0.0, states(elsewhere=(ONE,)))
    assert closing.due(5.0, states()) == []
    assert closing.due(45.0, states(elsewhere=(ONE,))) == []
    assert closing.due(100.0, states(elsewhere=(ONE,))) == []
    assert closing.due(105.0, states()) == []
    assert closing.due(105.0 + AWAY_S, states()) == [ONE]


def test_what_the_other_region_told_and_somebody_takes_is_closed() -> None:
    closing = Closing()
    closing.due(0.0, states(elsewhere=(ONE,)))
    assert closing.due(5.0, states((ONE,))) == [ONE]


def test_what_is_told_here_again_is_not_closed_for_having_been_told_elsewhere() -> None:
    closing = Closing()
    closing.due(0.0, states(elsewhere=(ONE,)))
    assert closing.due(5.0, states(told=(ONE,))) == []
    assert closing.due(10.0 + AWAY_S, states()) == []
    assert closing.due(20.0 + 2 * AWAY_S, states()) == []


def test_an_acknowledgement_that_ends_while_the_other_region_tells_closes_nothing_more() -> None:
    closing = Closing()
    closing.closed(*closing.due(0.0, states((ONE,))), 0.0)
    assert [closing.due(now, states(elsewhere=(ONE,))) for now in (5.0, 100.0)] == [[]] * 2


def test_an_incident_is_closed_at_once_and_again_while_a_notification_may_be_under_way() -> None:
    closing = Closing()
    moments = []
    for now in range(0, 400, 5):
        for incident in closing.due(float(now), states((ONE,))):
            moments.append(now)
            closing.closed(incident, float(now))
    assert moments == [0, 15, 60]


def test_what_could_not_be_closed_stays_due() -> None:
    closing = Closing()
    assert [closing.due(now, states((ONE, TWO))) for now in (0.0, 5.0)] == [[ONE, TWO]] * 2
    closing.closed(ONE, 5.0)
    assert closing.due(6.0, states((ONE, TWO))) == [TWO]


def test_what_ended_while_it_was_muted_is_closed_once_more() -> None:
    closing = Closing()
    closing.closed(*closing.due(0.0, states((ONE,))), 0.0)
    assert closing.due(5.0, states()) == [ONE]
    assert closing.due(10.0, states()) == [ONE]
    closing.closed(ONE, 10.0)
    assert closing.due(15.0, states()) == []


def test_what_is_told_again_is_not_closed() -> None:
    closing = Closing()
    closing.closed(*closing.due(0.0, states((ONE,))), 0.0)
    assert closing.due(5.0, states(told=(ONE,))) == []
    assert closing.due(10.0, states()) == []


def test_a_second_mute_closes_anew() -> None:
    closing = Closing()
    closing.closed(*closing.due(0.0, states((ONE,))), 0.0)
    closing.due(100.0, states(told=(ONE,)))
    assert closing.due(105.0, states((ONE,))) == [ONE]


def test_two_closers_leave_the_pager_room_for_what_rings() -> None:
    assert 2 * MOST_AT_ONCE * 60 / incidents.POLL_INTERVAL_S <= 0.8 * 120


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1_000 <= incidents.MOST_ENDING <= 100_000
    monkeypatch.setattr(incidents, "MOST_ENDING", 200)
    closing = Closing()
    ended = tuple(Incident("phone", str(number)) for number in range(300))
    for first in range(0, len(ended), 50):
        closing.due(0.0, states(ended[first : first + 50]))
    assert len(closing.due(1.0, states())) == 200


class Alertmanager:
    """Answers ``/api/v2/alerts`` and ``/api/v2/silences`` with what a test sets."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.alerts: Any = []
        self.silences: Any = []
        self.status = self.silences_status = "200 OK"

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        of_silences = environ["PATH_INFO"] == "/api/v2/silences"
        self.queries.append(environ["QUERY_STRING"])
        start(self.silences_status if of_silences else self.status, [("Content-Type", "application/json")])
        return [json.dumps(self.silences if of_silences else self.alerts).encode()]


@contextmanager
def served(folder: Path, app: Any) -> Iterator[str]:
    server = HttpsServer("127.0.0.1", 0, folder / "tls.crt", folder / "tls.key", app)
    server.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.stop()


def settings_of(folder: Path, alertmanager: str, pager: str) -> dict[str, Any]:
    for name, text in (("password", "p"), ("key", KEY), ("other-key", OTHER_KEY)):
        (folder / name).write_text(text)
    return {
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        "alertmanager": {
            "url": alertmanager,
            "ca_file": str(folder / "ca.crt"),
            "user": "probe",
            "password_file": str(folder / "password"),
        },
        "metrics": {"user": "scraper", "password_file": str(folder / "password")},
        "pager": {"url": f"{pager}/v2/enqueue", "ca_file": str(folder / "ca.crt")},
        "receivers": {
            "phone": {"route": ROUTE, "key_file": str(folder / "key")},
            "other": {"route": OTHER_ROUTE, "key_file": str(folder / "other-key")},
        },
    }


class Here:
    """A closer between an Alertmanager that a test directs and the pager's fake."""

    def __init__(self, folder: Path, alertmanager: Alertmanager, settings: Settings, record: Record) -> None:
        self.folder, self.alertmanager, self.settings, self.record = folder, alertmanager, settings, record
        self.said: list[str] = []
        self.registry = CollectorRegistry()
        self.closer = Closer(settings, DedupLogger(self.said.append), CloserMetrics(self.registry))

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"incident_closer_{name}")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    write_certificates(tmp_path)
    alertmanager, record = Alertmanager(), Record()
    with served(tmp_path, alertmanager) as url, served(tmp_path, application(record)) as pager:
        file = tmp_path / "closer.yml"
        file.write_text(json.dumps(settings_of(tmp_path, url, pager)))
        yield Here(tmp_path, alertmanager, Settings.load(file), record)


def ring(here: Here, **labels: str) -> None:
    """What Alertmanager does for an alert, before it is muted."""
    key = dedup_key(ROUTE, {"alertname": "Down", "severity": "critical", **labels})
    payload = {"summary": "Down", "source": "x", "severity": "critical"}
    event = {"routing_key": KEY, "event_action": "trigger", "dedup_key": key, "payload": payload}
    Phone(here.record, None).enqueue(json.dumps(event).encode())


def actions(here: Here) -> list[str]:
    return [notification.body["event_action"] for notification in here.record.since()]


def test_only_alerts_that_ring_a_phone_are_asked_for(here: Here) -> None:
    here.closer.poll()
    alerts, silences = here.alertmanager.queries
    [pattern] = parse_qs(alerts)["receiver"]
    assert [bool(re.fullmatch(pattern, name)) for name in ("phone", "other", "mail", "phones")] == [
        True,
        True,
        False,
        False,
    ]
    assert silences == ""


def test_the_incident_of_a_muted_alert_is_closed_and_no_other_one(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    alertmanager, record = Alertmanager(), Record()
    first = Here(
        tmp_path,
        alertmanager,
        Settings.load(_file(tmp_path, "https://localhost:1", "https://localhost:1")),
        record,
    )
    ring(first, instance="a")
    ring(first, instance="b")
    with served(tmp_path, alertmanager) as url, served(tmp_path, application(record)) as pager:
        closer_setup = Here(tmp_path, alertmanager, Settings.load(_file(tmp_path, url, pager)), record)
        alertmanager.alerts = [alert("suppressed", instance="a"), alert("active", instance="b")]
        closer_setup.closer.poll()
    assert actions(closer_setup) == ["trigger", "trigger", "resolve"]
    assert record.since()[2].body["dedup_key"] == record.since()[0].body["dedup_key"]
    assert (closer_setup.value("closed_total"), closer_setup.value("muted"), closer_setup.value("failing")) == (1, 1, 0)
    assert closer_setup.said == []


def _file(folder: Path, alertmanager: str, pager: str) -> Path:
    file = folder / "closer.yml"
    file.write_text(json.dumps(settings_of(folder, alertmanager, pager)))
    return file


def test_a_storm_is_closed_in_parts(here: Here) -> None:
    here.alertmanager.alerts = [alert("suppressed", instance=str(number)) for number in range(MOST_AT_ONCE + 3)]
    here.closer.poll()
    assert here.value("closed_total") == MOST_AT_ONCE
    here.closer.poll()
    assert here.value("closed_total") == MOST_AT_ONCE + 3


@pytest.mark.parametrize(
    ("answer", "status", "line"),
    [
        ([], "401 Unauthorized", "Alertmanager: answered 401"),
        ({"alerts": []}, "200 OK", "Alertmanager: the answer is no list of alerts"),
        ([{"labels": {}}], "200 OK", "Alertmanager does not answer as its API, version 2, does"),
        (["x"], "200 OK", "Alertmanager does not answer as its API, version 2, does"),
    ],
)
def test_an_alertmanager_that_refuses_or_talks_nonsense_is_one_line_until_it_is_well_again(
    here: Here, answer: Any, status: str, line: str
) -> None:
    here.alertmanager.alerts, here.alertmanager.status = answer, status
    here.closer.poll()
    here.closer.poll()
    assert (here.said, here.value("failing")) == ([line], 1)
    here.alertmanager.alerts, here.alertmanager.status = [], "200 OK"
    here.closer.poll()
    assert here.said[1:] == ["closing incidents: all is well again"]
    assert here.value("failing") == 0


def test_a_pager_that_refuses_is_one_line_without_the_key_and_is_tried_again(here: Here) -> None:
    (here.folder / "key").write_text("withdrawn")
    here.alertmanager.alerts = [alert("suppressed")]
    here.closer.poll()
    assert here.said == ["the pager: answered 400"]
    (here.folder / "key").write_text(KEY)
    here.closer.poll()
    assert (here.value("closed_total"), here.value("failing")) == (1, 0)


@pytest.mark.parametrize("broken", ["refused", "missing", "no text"])
def test_a_contact_whose_key_does_not_work_keeps_no_incident_of_another_one_open(here: Here, broken: str) -> None:
    key = here.folder / "key"
    if broken == "missing":
        key.unlink()
    else:
        key.write_bytes(b"withdrawn" if broken == "refused" else b"\xff\xfe")
    mine = [alert("suppressed", instance=str(number)) for number in range(MOST_AT_ONCE + 1)]
    others = [alert("suppressed", ("other",), instance=str(number)) for number in range(MOST_AT_ONCE)]
    here.alertmanager.alerts = mine + others
    here.closer.poll()
    assert here.value("closed_total") == len(others)
    assert {event.audience for event in here.record.since()} <= {OTHER_KEY}
    line = {
        "refused": "the pager: answered 400",
        "missing": f"{key} cannot be read: No such file or directory",
        "no text": f"{key} cannot be read: it is no text",
    }[broken]
    assert (here.said, here.value("failing")) == ([line], 1)
    key.write_text(KEY)
    for _ in range(2):
        here.closer.poll()
    assert (here.value("closed_total"), here.value("failing")) == (len(mine) + len(others), 0)


def test_what_a_silence_of_the_regions_keeps_quiet_stays_open_and_what_a_person_silenced_is_closed(here: Here) -> None:
    here.alertmanager.silences = [{"id": id, "createdBy": author} for id, author in AUTHORS.items()]
    here.alertmanager.alerts = [
        alert("suppressed", silenced_by=silenced_by, instance=str(number))
        for number, silenced_by in enumerate([("1",), ("2",), ("3",), ("1", "3")])
    ]
    here.closer.poll()
    assert (here.value("closed_total"), here.value("muted"), here.value("failing")) == (2, 2, 0)


@pytest.mark.parametrize(
    ("answer", "status", "line"),
    [
        ([], "403 Forbidden", "Alertmanager: answered 403"),
        ({}, "200 OK", "Alertmanager: the answer is no list of silences"),
        ([{"id": "1"}], "200 OK", "Alertmanager does not answer as its API, version 2, does"),
        ([["x"]], "200 OK", "Alertmanager does not answer as its API, version 2, does"),
    ],
)
def test_without_the_silences_nothing_is_closed_and_one_line_says_so(
    here: Here, answer: Any, status: str, line: str
) -> None:
    here.alertmanager.alerts = [alert("suppressed", silenced_by=("1",))]
    here.alertmanager.silences, here.alertmanager.silences_status = answer, status
    here.closer.poll()
    assert (here.said, here.value("failing"), here.value("closed_total")) == ([line], 1, 0)


def test_servers_that_are_away_are_named(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    closer_setup = Here(
        tmp_path,
        Alertmanager(),
        Settings.load(_file(tmp_path, "https://localhost:1", "https://localhost:1")),
        Record(),
    )
    closer_setup.closer.poll()
    assert closer_setup.said == ["Alertmanager: no answer (ConnectionError)"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"pager": {"url": "http://x", "ca_file": None}}, "pager.url is 'http://x'; it must be an https:// address"),
        ({"pager": {"url": "https://x", "ca_file": 1}}, "pager.ca_file is 1; it must be a file, or null"),
        ({"receivers": []}, "receivers must be a mapping of the receivers that ring a phone"),
        ({"receivers": {"a": {"route": "", "key_file": "x"}}}, "receivers.a.route is ''; it must be a text"),
        ({"more": 1}, "more is not a setting; allowed: listen, tls, metrics, alertmanager, pager, receivers"),
    ],
)
def test_a_mistake_in_the_settings_is_one_clear_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    file = tmp_path / "closer.yml"
    file.write_text(json.dumps({**settings_of(tmp_path, "https://a:1", "https://b:1"), **changes}))
    with pytest.raises(SettingsError) as caught:
        Settings.load(file)
    assert str(caught.value).startswith(f"{file}: {line}")
