"""``ops alerts``: against a real pair of Alertmanagers with the platform's configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.core.platform import Platform
from tests.config.alertmanager_process import Pair
from tests.config.servers import eventually, free_port
from tests.unit.ops import alert_platform
from tests.unit.ops.alert_platform import Run, fire, mistake, platform_of, shown


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


def test_an_alert_is_shown_with_who_is_told_and_when_the_next_one_is(both: Pair, run: Run) -> None:
    alert = fire(both, "BrokerSilent")
    row = shown(run)[alert]
    assert (row["alert"], row["severity"], row["layer"]) == ("BrokerSilent", "critical", "platform")
    assert row["receivers"] == ["operators-critical-phone", "operators-critical"]
    assert row["runbook"] == "https://runbooks.example.org/BrokerSilent.md"
    assert (row["acknowledged"], row["quiet"], row["inhibited_by"]) == (None, False, [])
    since = datetime.fromisoformat(row["since"])
    assert abs(datetime.now(UTC) - since) < timedelta(seconds=30)
    assert row["escalation"] == {
        "state": "later",
        "contact": "senior-manager",
        "at": (since + timedelta(minutes=5)).isoformat(),
    }


def test_an_escalated_alert_is_one_row_with_its_original(both: Pair, run: Run) -> None:
    alert = fire(both, "DiskGone", "high")
    fire(both, "DiskGoneEscalated", "high", escalation="on-call-engineer")
    content = json.loads(run("alerts", "--json").stdout)
    [row] = [alert_row for alert_row in content["alerts"] if alert_row["alert_id"] == alert]
    assert row["alert"] == "DiskGone"
    assert (row["escalation"]["state"], row["escalation"]["contact"]) == ("now", "on-call-engineer")


def test_what_another_alert_holds_back_is_counted_and_shown_on_demand(both: Pair, run: Run) -> None:
    cause = fire(both, "TheCause", instance="a")
    consequence = fire(both, "TheConsequence", instance="b")
    eventually(lambda: consequence not in shown(run), 10, "it is held back")
    row = shown(run, "--all")[consequence]
    assert row["inhibited_by"] == [cause]
    assert row["escalation"] == {"state": "stopped", "contact": "senior-manager", "at": None}
    assert "1 more inhibited (--all)" in run("alerts").stdout
    both.raise_alert("TheCause", resolved=True, instance="a", alert_id=cause)
    eventually(lambda: consequence in shown(run), 15, "it is told when its cause is over")


def test_only_a_priority_or_a_layer_can_be_shown(both: Pair, run: Run) -> None:
    device = fire(both, "BatteryLow", "medium", layer="device")
    low = fire(both, "TrendUp", "low", layer="device")
    high = fire(both, "DelayHigh", "high", layer="streaming")
    assert device in (rows_shown := shown(run, "--severity", "medium"))
    assert {row["severity"] for row in rows_shown.values()} == {"medium"}
    assert set(shown(run, "--layer", "device")) == {device, low}
    assert set(shown(run, "--layer", "device", "--layer", "streaming", "--severity", "high")) == {high}
    assert not {device, low, high} & set(shown(run, "--layer", "platform"))
    assert run("alerts", "--severity", "loud").exit_code == 2


def test_the_exit_code_says_whether_somebody_has_to_act(both: Pair, run: Run) -> None:
    fire(both, "TrendDown", "low", layer="trend")
    fire(both, "CellHot", "critical", layer="cell")
    assert run("alerts", "--layer", "trend").exit_code == 0
    assert run("alerts", "--layer", "cell").exit_code == 1
    run("ack", "CellHot")
    assert run("alerts", "--layer", "cell").exit_code == 0


def test_a_missing_heartbeat_is_told_and_is_exit_code_1(both: Pair, run: Run) -> None:
    assert json.loads(run("alerts", "--json").stdout)["heartbeat"]
    both.raise_alert("Watchdog", "low", resolved=True)
    eventually(lambda: not json.loads(run("alerts", "--json").stdout)["heartbeat"], 15, "the heartbeat is missing")
    done = run("alerts", "--layer", "nothing")
    assert done.exit_code == 1
    assert "Watchdog is missing: Prometheus does not reach Alertmanager" in " ".join(done.stdout.split())
    both.raise_alert("Watchdog", "low")
    eventually(lambda: run("alerts", "--layer", "nothing").exit_code == 0, 10, "it is back")


def test_people_see_it_all_in_100_columns(both: Pair, run: Run) -> None:
    fire(both, "RoomWarm", "high", instance="rack-17.room-4.building-2.example.org", layer="data")
    fire(both, "RoomCold", "critical", layer="data")
    run("ack", "RoomWarm", "--comment", "window [open]")
    text = run("alerts", "--layer", "data").stdout
    assert max(map(len, text.splitlines())) <= 100
    for expected in (
        "high",
        "RoomWarm",
        "RoomWarm in words",
        "ayumi until",
        "window [open]",
        "notified: operators-critical",
    ):
        assert expected in text, text
    assert "senior-manager in 5 min" in text
    assert "instance=rack-17.room-4.building-2.example.org" in text, "what is cut cannot be acknowledged"
    assert "2 Alertmanagers, ready" in text


def test_the_most_urgent_alert_is_shown_first(both: Pair, run: Run) -> None:
    for name, severity in (("OrderA", "low"), ("OrderB", "critical"), ("OrderC", "medium"), ("OrderD", "high")):
        fire(both, name, severity, layer="order")
    content = json.loads(run("alerts", "--layer", "order", "--json").stdout)
    assert [alert["alert"] for alert in content["alerts"]] == ["OrderB", "OrderD", "OrderC", "OrderA"]


def test_both_members_tell_the_same(
    both: Pair, made_up: dict[str, Any], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = fire(both, "TwinView")
    run("ack", "TwinView")
    other = platform_of(both, made_up, both.members[1])

    def told() -> bool:
        done = alert_platform.run(monkeypatch, other, "alerts", "--json")
        alerts_by_id = {alert_row["alert_id"]: alert_row for alert_row in json.loads(done.stdout)["alerts"]}
        return bool(alerts_by_id[alert]["acknowledged"])

    eventually(told, 10, "the other member knows of the acknowledgement")


def test_a_wrong_password_is_one_line_without_it(
    both: Pair, made_up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = mistake(monkeypatch, platform_of(both, made_up, password="hunter2-hunter2"), "alerts")
    assert "refuses the operator's password" in line
    assert "hunter2" not in line


def test_an_alertmanager_that_is_not_there_is_one_line(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = platform.model_copy(update={"alertmanager_url": f"https://localhost:{free_port()}"})
    assert "Connection refused" in mistake(monkeypatch, gone, "alerts")


def test_a_certificate_of_another_authority_is_refused(
    both: Pair, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = platform.model_copy(update={"ca_certificate": (both.folder / "outside" / "ca.crt").read_text()})
    assert "certificate verify failed" in mistake(monkeypatch, other, "alerts").lower()


def test_a_stack_without_alertmanager_says_so(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    older = platform.model_copy(update={"alertmanager_url": "", "alertmanager_operator": None})
    assert mistake(monkeypatch, older, "alerts").startswith("the stack has no Alertmanager")
