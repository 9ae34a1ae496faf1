"""``ops incident``: against a real pair of Alertmanagers, the rest of the platform away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from components.rules import Severity
from ops import __main__ as cli
from ops.core.alertmanager import FiringAlert
from ops.core.errors import OpsError
from ops.core.platform import Platform
from ops.incidents import collect as collect_module
from ops.incidents import command
from ops.incidents.alerts import firing_alert, new
from ops.incidents.collect import SOURCES, Answer, Case, Clients
from ops.incidents.record import Store
from tests.config.alertmanager_process import Pair
from tests.config.servers import eventually
from tests.unit.ops import alert_platform
from tests.unit.ops import incident_samples as samples
from tests.unit.ops.alert_platform import client, platform_of

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with alert_platform.running(tmp_path_factory.mktemp("pair")) as alertmanager_pair:
        yield alertmanager_pair


@pytest.fixture(scope="module")
def platform(both: Pair, made_up: dict[str, Any]) -> Platform:
    return platform_of(both, made_up)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of incidents; nothing is collected but what Alertmanager tells."""
    monkeypatch.setenv("OBS_INCIDENTS", str(tmp_path / "incidents"))

    def away(clients: Clients, case: Case) -> Answer:
        raise OpsError("away")

    sources = {name: SOURCES[name] if name == "silences" else away for name in SOURCES}
    monkeypatch.setattr(
        command, "collect", lambda *words, **options: collect_module.collect(*words, **options, sources=sources)
    )
    return tmp_path / "incidents"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, platform: Platform, folder: Path) -> Run:
    return lambda *words: alert_platform.run(monkeypatch, platform, "incident", *words, columns=160)


@pytest.fixture
def mistake(monkeypatch: pytest.MonkeyPatch, platform: Platform, folder: Path) -> Callable[..., str]:
    return lambda *words: alert_platform.mistake(monkeypatch, platform, "incident", *words)


def fire(both: Pair, name: str, **labels: str) -> str:
    """Raise an alert and wait until it is known; its identity."""
    both.raise_alert(name, layer="streaming", **labels)
    identity = f"{name.removesuffix('Escalated')}/instance=kafka-1/job=kafka"
    answer = both.members[0].call
    eventually(lambda: name in answer("GET", "/api/v2/alerts").text, 10, f"{name} is known")
    return identity


def opened(run: Run, *words: str) -> str:
    """Open an incident; its id."""
    return str(json.loads(run("open", *words, "--json").stdout)["id"])


def test_an_incident_is_opened_from_a_firing_alert_and_its_clock_runs(both: Pair, run: Run) -> None:
    identity = fire(both, "OpenedByName")
    shown = run("open", "OpenedByName").stdout
    assert re.search(r"^INC-\d{8}-01: OpenedByName in words$", shown, re.M)
    assert f"{identity}, critical, since " in shown
    assert "first response within 15 min: Running: 14 min" in shown or "Running: 15 min" in shown
    assert "runbook: https://runbooks.example.org/OpenedByName.md" in shown
    assert "ops incident note INC-" in shown


def test_the_record_has_the_alert_with_its_begin(both: Pair, run: Run, folder: Path) -> None:
    identity = fire(both, "Recorded")
    incident = Store(folder).read(
        opened(run, identity, "--title", "Recorder down", "--severity", "high", "--by", "sato")
    )
    assert (incident.title, incident.severity, incident.opened_by) == ("Recorder down", Severity.HIGH, "sato")
    assert (incident.alert.alert_id, incident.alert.name, incident.alert.layer) == (identity, "Recorded", "streaming")
    assert (incident.alert.severity, incident.alert.source) == (Severity.CRITICAL, "alertmanager")
    assert datetime.now(UTC) - incident.alert.starts < timedelta(minutes=1)


def test_an_alert_is_named_by_the_beginning_of_its_identity(both: Pair, run: Run, folder: Path) -> None:
    identity = fire(both, "ByBeginning")
    assert Store(folder).read(opened(run, "ByBeginning/inst")).alert.alert_id == identity


def test_an_alert_that_does_not_fire_is_refused_with_what_helps(mistake: Callable[..., str]) -> None:
    said = mistake("open", "NothingOfThisName")
    assert "no alert that fires is, is called or begins with 'NothingOfThisName'" in said
    assert "--at TIME" in said


def test_the_same_firing_is_opened_once(both: Pair, run: Run, mistake: Callable[..., str]) -> None:
    fire(both, "OpenedOnce")
    incident_id = opened(run, "OpenedOnce")
    assert f"{incident_id} is open for this alert" in mistake("open", "OpenedOnce")


def test_a_first_response_stops_the_clock(both: Pair, run: Run, mistake: Callable[..., str]) -> None:
    fire(both, "Answered")
    incident_id = opened(run, "Answered")
    assert "Met: responded after" in run("note", incident_id, "on it", "--first-response").stdout
    [row] = json.loads(run("list", "--json").stdout)["incidents"]
    assert row["first_response"]["state"] == "met"
    assert "has its first response already" in mistake("note", incident_id, "me too", "--first-response")


def test_notes_have_phase_time_and_owner(both: Pair, run: Run, folder: Path) -> None:
    fire(both, "Noted")
    incident_id = opened(run, "Noted")
    run("note", incident_id, "storage refuses", "--phase", "diagnose", "--at", "5m", "--by", "tanaka")
    run("note", incident_id.lower(), "test uploads", "--phase", "follow-up", "--owner", "suzuki", "--due", "2026-12-01")
    first, second = Store(folder).read(incident_id).notes
    assert (first.phase, first.author, first.text) == ("diagnose", "tanaka", "storage refuses")
    assert timedelta(minutes=4) < first.written - first.at < timedelta(minutes=6)
    assert (second.owner, str(second.due)) == ("suzuki", "2026-12-01")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["note", "{id}", " "], "TEXT is empty"),
        (["note", "{id}", "x" * 4001], "TEXT has 4001 characters, may have 4000"),
        (["note", "{id}", "x", "--owner", "me"], "--owner and --due belong to --phase follow-up"),
        (
            ["note", "{id}", "x", "--phase", "follow-up", "--due", "soon"],
            "--due is 'soon', must be a day like",
        ),
        (["note", "{id}", "x", "--phase", "follow-up", "--first-response"], "cannot be of --phase follow-up"),
        (["note", "{id}", "x", "--phase", "follow-up", "--cause"], "cannot be of --phase follow-up"),
        (["note", "{id}", "x", "--by", "y" * 201], "`author`: String should have at most 200 characters"),
        (["close", "{id}", "--cause", "x" * 4001], "`cause`: String should have at most 4000 characters"),
        (["close", "{id}", "--by", "y" * 201], "`closed_by`: String should have at most 200 characters"),
        (["open", "Mistaken", "--by", "y" * 201], "`opened_by`: String should have at most 200 characters"),
        (["note", "{id}", "x", "--at", "soon"], "--at is 'soon', must be a time like"),
        (["note", "INC-20200101-01", "x"], "no incident 'INC-20200101-01' in"),
        (["timeline", "INC-20200101-01"], "no incident 'INC-20200101-01' in"),
        (["timeline", "{id}", "--offline"], "nothing was collected about {id} yet: leave --offline out"),
        (["timeline", "{id}", "--zone", "Mars"], "--zone is 'Mars'"),
        (["report", "{id}", "--clearance", "secret"], "--clearance is 'secret', must be one of public"),
        (["close", "INC-20200101-01"], "no incident"),
    ],
)
def test_mistakes_are_one_line(
    both: Pair, run: Run, mistake: Callable[..., str], words: list[str], message: str
) -> None:
    fire(both, "Mistaken")
    incident_id = opened(run, "Mistaken")
    assert message.replace("{id}", incident_id) in mistake(*(word.replace("{id}", incident_id) for word in words))


def test_the_list_has_open_incidents_and_with_all_the_closed_ones(both: Pair, run: Run, folder: Path) -> None:
    assert run("list").stdout.strip() == "no open incident (--all shows closed ones)"
    fire(both, "Listed")
    incident_id = opened(run, "Listed")
    assert incident_id in run("list").stdout
    run("close", incident_id, "--cause", "the storage was full")
    assert incident_id not in run("list").stdout
    shown = run("list", "--all").stdout
    assert incident_id in shown
    assert "closed" in shown
    (folder / "INC-20200101-01.json").write_text("{")
    again = run("list", "--all")
    assert incident_id in again.stdout
    assert "left out: " in again.stderr


def test_a_closed_incident_cannot_be_closed_again_but_takes_notes(
    both: Pair, run: Run, mistake: Callable[..., str], folder: Path
) -> None:
    fire(both, "Closed")
    incident_id = opened(run, "Closed")
    done = run("close", incident_id)
    assert "Met: responded after" in done.stdout
    assert "the root cause is not written" in done.stderr
    assert f"{incident_id} was closed at" in mistake("close", incident_id)
    run("note", incident_id, "write a test", "--phase", "follow-up")
    assert "noted (diagnose)" in run("note", incident_id, "the disk was full", "--cause").stdout
    incident = Store(folder).read(incident_id)
    assert [note.phase for note in incident.notes] == ["follow-up", "diagnose"]
    assert incident.cause == "the disk was full"


def test_the_timeline_has_the_acknowledgement_and_what_could_not_be_read(
    both: Pair, platform: Platform, run: Run, folder: Path
) -> None:
    identity = fire(both, "Acknowledged")
    both.members[0].silence(minutes=20, alert_id=identity)
    incident_id = opened(run, "Acknowledged")
    run("note", incident_id, "looking at [bold]it[/]", "--first-response")
    done = run("timeline", incident_id)
    assert "Acknowledged" in done.stdout
    assert "tester, seen (20 min)" in done.stdout
    assert "[bold]it[/]" in done.stdout
    assert "not collected: traces: away" in done.stderr
    content = json.loads(run("timeline", incident_id, "--json").stdout)
    assert {"alert", "opened", "acknowledged", "response"} <= {entry["kind"] for entry in content["entries"]}
    assert content["not_collected"]["logs"] == "away"
    assert content["incident"]["id"] == incident_id
    with client(platform) as alertmanager:
        for silence in alertmanager.silences():
            if silence.state == "active":
                alertmanager.end(silence.id)
    assert "tester, seen" in run("timeline", incident_id, "--offline").stdout


def test_what_was_collected_with_a_higher_clearance_is_not_shown_to_a_lower_one(
    both: Pair, run: Run, mistake: Callable[..., str], folder: Path
) -> None:
    fire(both, "Classified")
    incident_id = opened(run, "Classified")
    seen = samples.evidence(clearance="confidential")
    secret = seen.traces[0].model_copy(update={"data_class": "confidential"})
    Store(folder).keep(incident_id, "evidence", seen.model_copy(update={"traces": (secret, seen.traces[1])}))

    def traces(*words: str) -> list[str]:
        shown = json.loads(run("timeline", incident_id, "--offline", "--json", *words).stdout)
        return [entry["kind"] for entry in shown["entries"] if entry["source"] == "traces"]

    assert traces() == ["slow"]
    assert traces("--clearance", "confidential") == ["trace", "slow"]
    run("timeline", incident_id)
    assert traces("--clearance", "confidential") == ["trace", "slow"], "it is kept, not shown"
    (folder / f"{incident_id}.evidence.json").write_text("{")
    assert "what was collected cannot be read" in mistake("timeline", incident_id)


def test_a_silence_of_the_layer_counts_as_a_silence_not_as_an_acknowledgement(both: Pair, run: Run) -> None:
    fire(both, "Silenced")
    both.members[0].silence(minutes=20, alertname="Silenced")
    both.members[0].silence(minutes=20, alertname="SomethingElse")
    incident_id = opened(run, "Silenced")
    kinds = [entry["kind"] for entry in json.loads(run("timeline", incident_id, "--json").stdout)["entries"]]
    assert kinds.count("silenced") == 1
    assert "acknowledged" not in kinds


def test_the_report_is_written_as_markdown_and_html(both: Pair, run: Run, tmp_path: Path) -> None:
    identity = fire(both, "Reported")
    both.members[0].silence(minutes=20, alert_id=identity)
    incident_id = opened(run, "Reported")
    done = run("report", incident_id, "--out", str(tmp_path / "out"), "--lang", "ja", "--zone", "Asia/Tokyo")
    assert done.stdout.split() == [str(tmp_path / "out" / f"{incident_id}.{kind}") for kind in ("md", "html")]
    page = (tmp_path / "out" / f"{incident_id}.html").read_text()
    assert "確認応答" in page
    assert "tester" in page
    assert "収集できませんでした：away" in page
    assert "not collected: metrics: away" in done.stderr


def test_the_escalated_twin_means_its_original() -> None:
    def alert(name: str, minutes: float, **labels: str) -> FiringAlert:
        return FiringAlert(
            fingerprint=name,
            labels={"alertname": name, "alert_id": "A/x=1", "severity": "high", **labels},
            annotations={"summary": name},
            starts=samples.after(minutes),
            receivers=(),
            state="active",
            silenced_by=(),
            inhibited_by=(),
        )

    original, twin = alert("A", 0), alert("AEscalated", 30, escalation="on-call-engineer")
    for alerts in ([twin, original], [original, twin], [twin]):
        record = firing_alert(alerts, "A/x=1")
        assert (record.name, record.labels["alertname"]) == ("A", "A")
        assert "escalation" not in record.labels
    assert firing_alert([twin, original], "AEscalated").starts == samples.START
    with pytest.raises(OpsError, match="may mean 2 alerts: give one of A/x=1, A/x=2 as a whole"):
        firing_alert([original, alert("A", 1, alert_id="A/x=2")], "A")


@pytest.mark.parametrize(
    ("severity", "expected"), [("low", Severity.LOW), ("urgent", Severity.HIGH), ("", Severity.HIGH)]
)
def test_an_alert_without_a_known_priority_is_high(severity: str, expected: Severity) -> None:
    alert = FiringAlert(
        fingerprint="f",
        labels={"alertname": "A", "alert_id": "A", "severity": severity},
        annotations={},
        starts=samples.START,
        receivers=(),
        state="active",
        silenced_by=(),
        inhibited_by=(),
    )
    assert firing_alert([alert], "A").severity is expected


def test_a_title_is_one_clean_line() -> None:
    incident = new("INC-20261124-01", samples.alert(), samples.after(1), "sato", "a\nb\x1b[2J " + "x" * 300, None)
    assert "\n" not in incident.title
    assert "\x1b" not in incident.title
    assert len(incident.title) <= 200
    assert new("INC-20261124-01", samples.alert(annotations={}), samples.after(1), "sato", " ", None).title == (
        "RecordingFailures"
    )


def test_an_incident_is_opened_by_hand_when_nothing_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    def away() -> Platform:
        raise OpsError("cannot read the stack's outputs")

    monkeypatch.setattr("ops.core.platform.load", away)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(cli.app, ["incident", *words, "--by", "sato"])

    words = ("open", "KafkaBrokerDown/instance=kafka-1", "--manual", "--at", "20m", "--severity", "critical")
    done = invoke(*words)
    assert done.exit_code == 0, done.output
    [incident] = Store(folder).all()[0]
    assert (incident.alert.name, incident.alert.source, incident.severity) == (
        "KafkaBrokerDown",
        "manual",
        Severity.CRITICAL,
    )
    assert incident.alert.labels["instance"] == "kafka-1"
    assert "Missed by 5 min" in " ".join(done.stdout.split())
    report = CliRunner().invoke(cli.app, ["incident", "report", incident.id, "--out", str(tmp_path)])
    assert report.exit_code == 0, report.output
    assert "Not collected: away" in (tmp_path / f"{incident.id}.html").read_text()
    for wrong, message in (
        (("open", "A", "--layer", "device"), "--layer belongs to --manual"),
        (("open", "A", "--manual", "--layer", "cloud"), "--layer is 'cloud', must be one of device"),
        (("open", " ", "--manual"), "ALERT is empty"),
    ):
        assert message in str(invoke(*wrong).exception)


def test_a_past_alert_is_looked_for_in_kafka(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    class Away:
        kafka = None

        def close(self) -> None:
            """Nothing is open."""

    def past(admin: Any, text: str, at: datetime, now: datetime) -> Any:
        calls.append((text, at))
        return samples.alert(source="alerts-raw", ends=samples.after(20))

    monkeypatch.setattr(command, "Clients", Away)
    monkeypatch.setattr("ops.incidents.alerts.past_alert", past)
    monkeypatch.setattr("ops.incidents.command.present", lambda: samples.after(90))
    done = CliRunner().invoke(
        cli.app,
        [
            "incident",
            "open",
            "RecordingFailures",
            "--at",
            "2026-11-24T22:15Z",
            "--by",
            "sato",
            "--folder",
            str(tmp_path),
        ],
        catch_exceptions=False,
    )
    assert calls == [("RecordingFailures", samples.after(5))]
    assert "Missed by 1 h 15 min and counting" in " ".join(done.stdout.split())
    assert Store(tmp_path).read("INC-20261124-01").alert.ends == samples.after(20)
