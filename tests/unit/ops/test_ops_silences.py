"""``ops silence``: matchers and durations as people write them, and silences at a real pair of Alertmanagers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.alerts import silences as silences_module
from ops.alerts.silences import author, clock, parse_matcher, span, with_twins
from ops.core.alertmanager import Matcher
from ops.core.errors import OpsError
from ops.core.platform import Platform
from tests.config.alertmanager_process import Pair
from tests.unit.ops import alert_platform
from tests.unit.ops.alert_platform import Run, client, mistake, platform_of

WORK = ("--comment", "planned work")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with alert_platform.running(tmp_path_factory.mktemp("pair")) as alertmanager_pair:
        alertmanager_pair.raise_alert("Watchdog", "low", job="prometheus")
        yield alertmanager_pair


@pytest.fixture(scope="module")
def platform(both: Pair, made_up: dict[str, Any]) -> Platform:
    return platform_of(both, made_up)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> Run:
    return lambda *words, **options: alert_platform.run(monkeypatch, platform, *words, **options)


def silent(platform: Platform) -> set[str]:
    """Names of alerts that a silence keeps quiet."""
    with client(platform) as alertmanager:
        return {alert.name for alert in alertmanager.alerts() if alert.silenced_by}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer=device", Matcher(name="layer", value="device")),
        ("layer!=device", Matcher(name="layer", value="device", equal=False)),
        ('instance=~"kafka-[12]"', Matcher(name="instance", value="kafka-[12]", regex=True)),
        (" zone!~a|b", Matcher(name="zone", value="a|b", regex=True, equal=False)),
        ("alert_id=A/x=1/y=~2", Matcher(name="alert_id", value="A/x=1/y=~2")),
        ("layer=", Matcher(name="layer", value="")),
    ],
)
def test_a_matcher_is_read_as_it_is_written(text: str, expected: Matcher) -> None:
    assert parse_matcher(text) == expected


@pytest.mark.parametrize("text", ["layer", "=device", "la-yer=x", "", "layer~x"])
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(OpsError, match="is not a matcher: write label=value"):
        parse_matcher(text)


def test_a_broken_expression_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(OpsError, match="is not a regular expression"):
        parse_matcher("instance=~kafka-(")


@pytest.mark.parametrize(
    ("matcher", "labels", "met"),
    [
        ("layer=device", {"layer": "device"}, True),
        ("layer=device", {}, False),
        ("layer=", {}, True),
        ("layer!=device", {}, True),
        ("instance=~kafka-.", {"instance": "kafka-1"}, True),
        ("instance=~kafka", {"instance": "kafka-1"}, False),
        ("instance!~kafka-.", {"instance": "kafka-1"}, False),
    ],
)
def test_a_matcher_is_met_as_alertmanager_means_it(matcher: str, labels: dict[str, str], met: bool) -> None:
    assert parse_matcher(matcher).matches(labels) is met


def test_an_expression_that_only_alertmanager_knows_is_met_by_nothing() -> None:
    assert not Matcher(name="a", value=r"\pL", regex=True).matches({"a": "x"})


def test_times_are_told_in_words() -> None:
    now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    assert clock(now + timedelta(hours=2), now) == "11:30"
    assert clock(now + timedelta(days=1), now) == "25 Nov 09:30"
    told = [span(timedelta(seconds=seconds)) for seconds in (-5, 59, 60, 89, 3599, 3660, 90_000)]
    assert told == ["0 s", "59 s", "1 min", "1 min", "1 h", "1 h 1 min", "1 d 1 h"]


def test_who_acts_is_the_user_of_the_machine_or_the_name_that_git_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences_module, "_git_name", lambda: "Ayumi K.")
    monkeypatch.setenv("USER", "kenji")
    assert author(None) == "kenji"
    assert author(" me ") == "me"
    monkeypatch.setenv("USER", "root")
    assert author(None) == "Ayumi K."
    monkeypatch.setattr(silences_module, "_git_name", lambda: "")
    assert author(None) == "root"


def test_a_silence_keeps_alerts_and_their_escalation_quiet(both: Pair, platform: Platform, run: Run) -> None:
    both.raise_alert("EtlFailed", "high", layer="data", alert_id="EtlFailed")
    both.raise_alert("EtlFailedEscalated", "high", layer="data", alert_id="EtlFailed", escalation="on-call-engineer")
    both.raise_alert("EtlFailedTwice", "high", layer="business")
    done = run("silence", "alertname=EtlFailed", "--for", "2h", *WORK)
    assert "by ayumi until" in done.stdout
    assert "firing and silenced: EtlFailed\n" in done.stdout
    assert silent(platform) == {"EtlFailed", "EtlFailedEscalated"}


def test_options_may_come_before_matchers_and_add_may_be_named(platform: Platform, both: Pair, run: Run) -> None:
    both.raise_alert("OptionsFirst", zone="one", shelf="upper")
    run("silence", "--for", "1h", *WORK, "zone=one", "shelf=~up.*")
    assert "OptionsFirst" in silent(platform)
    both.raise_alert("NamedAdd", zone="two")
    run("silence", "add", "zone=two", *WORK)
    assert "NamedAdd" in silent(platform)


def test_all_matchers_have_to_be_met(platform: Platform, both: Pair, run: Run) -> None:
    both.raise_alert("OnlyOne", zone="three")
    done = run("silence", "zone=three", "shelf=lower", *WORK)
    assert "firing and silenced: none" in done.stdout
    assert "OnlyOne" not in silent(platform)


def test_silences_are_listed_with_acknowledgements_and_ended_by_the_beginning_of_their_id(
    platform: Platform, both: Pair, run: Run
) -> None:
    both.raise_alert("ListedOne", zone="four", alert_id="ListedOne/zone=four")
    run("ack", "ListedOne", "--by", "kenji")
    run("silence", "zone=four", "--for", "3d", "--comment", "new shelf [4]")
    silences = json.loads(run("silence", "list", "--json").stdout)["silences"]
    mine = {listed["kind"]: listed for listed in silences if "four" in str(listed["matchers"])}
    assert mine["acknowledgement"]["matchers"] == ["alert_id=ListedOne/zone=four"]
    assert (mine["acknowledgement"]["by"], mine["silence"]["by"]) == ("kenji", "ayumi")
    ends = datetime.fromisoformat(mine["silence"]["ends"]) - datetime.now(UTC)
    assert timedelta(days=2, hours=23, minutes=59) < ends <= timedelta(days=3)
    text = run("silence", "list").stdout
    assert "acknowledged ListedOne/zone=four" in text
    assert "new shelf [4]" in text
    assert max(map(len, text.splitlines())) <= 100
    for listed in mine.values():
        assert run("silence", "end", listed["id"][:8]).stdout.startswith(f"ended {listed['id']}: ")
    assert "ListedOne" not in silent(platform)
    assert "four" not in run("silence", "list").stdout


def test_what_has_ended_cannot_be_ended_again(platform: Platform, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    silence_id = run("silence", "zone=five", *WORK).stdout.split()[1]
    run("silence", "end", silence_id)
    line = mistake(monkeypatch, platform, "silence", "end", silence_id)
    assert line == f"no unexpired silence begins with {silence_id!r}: `ops silence list` lists them"


def test_a_beginning_that_fits_several_ends_none(platform: Platform, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    # Ids are hexadecimal: among 17 of them two begin alike.
    while (silence_id := run("silence", "zone=six", *WORK).stdout.split()[1])[0] not in seen:
        seen.add(silence_id[0])
    assert f"silences begin with {silence_id[0]!r}" in mistake(monkeypatch, platform, "silence", "end", silence_id[0])
    with client(platform) as alertmanager:
        assert silence_id in {silence.id for silence in alertmanager.silences() if silence.state == "active"}


def test_the_acknowledgement_command_does_not_end_a_silence_of_another_kind(
    platform: Platform, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence_id = run("silence", "zone=seven", *WORK).stdout.split()[1]
    line = mistake(monkeypatch, platform, "ack", "--end", silence_id)
    assert line == f"{silence_id} is not an acknowledgement: end it with `ops silence end {silence_id}`"


@pytest.mark.parametrize("matchers", [["alertname=Watchdog"], ["alertname=~.+"], ["severity=low", "job=prometheus"]])
def test_the_heartbeat_cannot_be_silenced(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, matchers: list[str]
) -> None:
    line = mistake(monkeypatch, platform, "silence", *matchers, *WORK)
    assert line.startswith("these matchers also match Watchdog: without its heartbeat the dead man's switch pages")
    assert "Watchdog" not in silent(platform)


def test_everything_but_the_heartbeat_can_be_silenced(platform: Platform, both: Pair, run: Run) -> None:
    both.raise_alert("AnyAlert", zone="eight")
    silence_id = run("silence", "alertname=~.+", "alertname!=Watchdog", *WORK).stdout.split()[1]
    assert "AnyAlert" in silent(platform)
    assert "Watchdog" not in silent(platform)
    run("silence", "end", silence_id)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zone=x", "--for", "8d", *WORK], "--for is '8d', must be a number with s, m, h or d from 1m to 7d"),
        (["zone=x", "--for", "8d", "--longest", "week", *WORK], "--longest is 'week', must be a number"),
        (["zone=x", "--comment", " "], "--comment is empty: give the reason"),
        (["zone", *WORK], "'zone' is not a matcher"),
        (["lists", *WORK], "'lists' is not a matcher"),
    ],
)
def test_a_mistake_is_one_clear_line(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    assert mistake(monkeypatch, platform, "silence", *words).startswith(message)


def test_an_expression_that_only_python_knows_is_refused_by_alertmanager_in_one_line(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = mistake(monkeypatch, platform, "silence", "zone=~(?=nine)nine", *WORK)
    assert " answered 400: " in line
    assert "invalid regular expression" in line


def test_all_alerts_but_one_kind_cannot_be_silenced_by_accident(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "also match Watchdog" in mistake(monkeypatch, platform, "silence", "zone!=nowhere", *WORK)


def test_the_name_of_an_alert_takes_in_its_escalated_twin() -> None:
    assert str(with_twins(parse_matcher("alertname=A"))) == "alertname=~(?:A)(?:Escalated)?"
    assert str(with_twins(parse_matcher("alertname!=A"))) == "alertname!~(?:A)(?:Escalated)?"
    assert str(with_twins(parse_matcher("alertname=~A|B"))) == "alertname=~(?:A|B)(?:Escalated)?"
    assert str(with_twins(parse_matcher("alertname=AEscalated"))) == "alertname=AEscalated"
    assert str(with_twins(parse_matcher("layer=A"))) == "layer=A"
