"""``ops ack``: against a real pair of Alertmanagers with the platform's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import __main__ as cli
from ops.core.platform import Platform
from tests.config.alertmanager_process import Pair
from tests.config.servers import eventually
from tests.unit.ops import alert_platform
from tests.unit.ops.alert_platform import Run, acks, fire, mistake, platform_of, shown


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that is told of the watchdog."""
    with alert_platform.running(tmp_path_factory.mktemp("pair")) as alertmanager_pair:
        alertmanager_pair.raise_alert("Watchdog", "low")
        yield alertmanager_pair


@pytest.fixture(scope="module")
def platform(both: Pair, made_up: dict[str, Any]) -> Platform:
    return platform_of(both, made_up)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> Run:
    return lambda *words, **options: alert_platform.run(monkeypatch, platform, *words, **options)


def test_an_acknowledgement_stops_the_alert_and_its_escalation_on_both_members(
    both: Pair, platform: Platform, run: Run
) -> None:
    alert = fire(both, "LineCut")
    done = run("ack", "LineCut", "--for", "30m", "--comment", "cable")
    assert done.stdout.startswith(f"acknowledged: {alert} by ayumi until "), done.stdout
    fire(both, "LineCutEscalated", escalation="senior-manager")
    [silence] = acks(platform, alert)
    assert (silence.author, silence.comment) == ("ayumi", "cable")
    eventually(lambda: silence.id in both.members[1].silences(), 10, "the other member knows it")
    row = shown(run)[alert]
    assert row["quiet"]
    assert (row["acknowledged"]["by"], row["acknowledged"]["comment"]) == ("ayumi", "cable")
    assert row["escalation"]["state"] == "stopped"
    assert row["escalation"]["at"] == row["acknowledged"]["ends"]


def test_nobody_is_told_of_what_was_acknowledged_before(both: Pair, run: Run) -> None:
    fire(both, "SlowLeak")
    fire(both, "FastLeak")
    eventually(lambda: bool(both.notifications("SlowLeak", "phone")), 20, "somebody is told")
    run("ack", "SlowLeak")
    fire(both, "SlowLeakEscalated", escalation="senior-manager")
    fire(both, "FastLeakEscalated", escalation="senior-manager")
    eventually(lambda: bool(both.notifications("FastLeakEscalated", "phone")), 20, "the control is told")
    assert both.notifications("SlowLeakEscalated") == []


def test_a_second_acknowledgement_extends_the_first_and_never_shortens_it(
    both: Pair, platform: Platform, run: Run
) -> None:
    alert = fire(both, "FanStuck")
    run("ack", "FanStuck", "--for", "1h", "--comment", "ordered a new one")
    [first] = acks(platform, alert)
    assert run("ack", "FanStuck", "--for", "3h", "--by", "kenji").stdout.startswith("extended: ")
    [second] = acks(platform, alert)
    assert second.ends - first.ends > timedelta(hours=1, minutes=59)
    assert (second.author, second.comment) == ("kenji", "ordered a new one")
    assert run("ack", "FanStuck", "--for", "10m").stdout.startswith("still acknowledged: ")
    [third] = acks(platform, alert)
    assert third.ends == second.ends


def test_an_acknowledgement_is_taken_back_by_alert_or_by_id(both: Pair, platform: Platform, run: Run) -> None:
    alert = fire(both, "DoorOpen")
    for given in ("DoorOpen", alert, "", None):
        run("ack", "DoorOpen")
        [silence] = acks(platform, alert)
        name = given or (silence.id if given is None else silence.id[:8])
        assert run("ack", "--end", name).stdout == f"acknowledgement removed: {alert}, silence {silence.id}\n"
        assert acks(platform, alert) == []
    assert not shown(run)[alert]["quiet"]


def test_an_acknowledgement_can_be_taken_back_after_the_alert_is_over(both: Pair, platform: Platform, run: Run) -> None:
    alert = fire(both, "ShortOne")
    run("ack", "ShortOne")
    both.raise_alert("ShortOne", resolved=True, alert_id=alert)
    eventually(lambda: alert not in shown(run), 15, "the alert is over")
    assert "acknowledgement removed" in run("ack", "--end", "ShortOne").stdout
    assert acks(platform, alert) == []


def test_labels_say_which_acknowledgement_is_taken_back(
    both: Pair, platform: Platform, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"RackWarm/instance=rack%3A{number}" for number in (1, 2)]
    for number, identifier in enumerate(ids, 1):
        both.raise_alert("RackWarm", instance=f"rack:{number}", alert_id=identifier)
        run("ack", identifier)
    assert "matches these 2" in mistake(monkeypatch, platform, "ack", "--end", "RackWarm")
    run("ack", "--end", "RackWarm", "instance=rack:2")
    assert [len(acks(platform, identifier)) for identifier in ids] == [1, 0]
    line = mistake(monkeypatch, platform, "ack", "--end", "RackWarm", "instance=rack:2")
    assert line.startswith("no unexpired silence begins with 'RackWarm'")


def test_an_alert_is_meant_by_identity_by_its_beginning_or_by_name_and_labels(
    both: Pair, platform: Platform, run: Run
) -> None:
    ids = [fire(both, "PumpHot", instance=f"pump-{number}") for number in (1, 2, 3)]
    run("ack", ids[0])
    run("ack", "PumpHot/instance=pump-2")
    run("ack", "PumpHot", "instance=pump-3", "job=kafka")
    assert [len(acks(platform, identifier)) for identifier in ids] == [1, 1, 1]


def test_a_name_that_means_several_lists_them_and_acknowledges_none(
    both: Pair, platform: Platform, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [fire(both, "ValveStuck", instance=f"valve-{number}") for number in (1, 2)]
    line = mistake(monkeypatch, platform, "ack", "ValveStuck")
    assert line == "'ValveStuck' matches these 2: give one of them, or --every for all"
    assert CliRunner().invoke(cli.app, ["ack", "ValveStuck"]).stderr.splitlines() == ids
    assert [acks(platform, identifier) for identifier in ids] == [[], []]
    run("ack", "ValveStuck", "--every")
    assert [len(acks(platform, identifier)) for identifier in ids] == [1, 1]


def test_the_name_of_the_escalated_alert_means_the_original(both: Pair, platform: Platform, run: Run) -> None:
    alert = fire(both, "GateShut")
    fire(both, "GateShutEscalated", escalation="senior-manager")
    done = run("ack", "GateShutEscalated")
    assert "senior-manager was notified" in done.stdout
    assert len(acks(platform, alert)) == 1


def test_what_does_not_fire_cannot_be_acknowledged(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("NoSuchAlert", ""):
        line = mistake(monkeypatch, platform, "ack", given)
        assert line.startswith(f"no firing alert has the name or identity prefix {given!r}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ack", "X", "--for", "8d"], "--for is '8d', must be a number with s, m, h or d from 1m to 7d"),
        (
            ["ack", "X", "--for", "soon"],
            "--for is 'soon', must be a number with s, m, h or d from 1m to 7d",
        ),
        (["ack", "X", "--for", "0h"], "--for is '0h', must be a number"),
        (["ack", "X", "instance"], "'instance' is not a label: write LABEL=VALUE"),
        (["ack", "--end", "0000"], "no unexpired silence begins with '0000'"),
    ],
)
def test_a_mistake_is_one_clear_line(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    assert mistake(monkeypatch, platform, *words).startswith(message)


def test_an_acknowledgement_at_the_only_member_is_told_to_the_other_when_it_is_back(
    both: Pair, platform: Platform, run: Run
) -> None:
    first, second = both.members
    both.stop(second)
    eventually(lambda: first.members() == 1, 30, "the other one is gone")
    alert = fire(both, "LonelyOne")
    done = run("ack", "LonelyOne")
    assert "only one Alertmanager has it" in done.stderr
    assert "1 Alertmanager, ready" in run("alerts").stdout
    both.start(second)
    both.together()
    [silence] = acks(platform, alert)
    eventually(lambda: silence.id in second.silences(), 20, "the other one knows of it")
    assert run("ack", "LonelyOne").stderr == ""
