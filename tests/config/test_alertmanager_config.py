"""Alertmanager's configuration as amtool reads it: accepted, and every alert routed to exactly its receivers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.alertmanager.config import alertmanager_config, rendered
from components.alertmanager.receivers import FIRST, Contact
from lab.toolchain import tools
from tests.config.alertmanager_files import CONTACTS, channels, config, write_files

DESCRIPTION = "Partitions have no leader: nothing of them is read or written."


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(tools.path("amtool")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alertmanager")
    write_files(path, config(path))
    return path


def test_amtool_accepts_the_configuration_and_its_templates(folder: Path) -> None:
    done = amtool("check-config", str(folder / "alertmanager.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 receivers" in done.stdout
    assert "1 templates" in done.stdout


@pytest.mark.parametrize(
    "first",
    [
        Contact(mail="a@example.org", phone=True),
        Contact(mail="a@example.org", sms_topic="arn:aws:sns:ap-northeast-1:000000000000:operators"),
        Contact(mail="a@example.org", slack=True),
    ],
    ids=["phone", "sms", "slack"],
)
@pytest.mark.parametrize("private", [True, False])
def test_amtool_accepts_it_for_contacts_with_few_channels(tmp_path: Path, first: Contact, private: bool) -> None:
    some = channels()
    changed = type(some)(**{**some.__dict__, "contacts": {**CONTACTS, FIRST: first}, "sms_url": None})
    write_files(tmp_path, config(tmp_path, channels=changed, private_authority=private))
    done = amtool("check-config", str(tmp_path / "alertmanager.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


HIGH = "operators-high-mail,operators-high"
CRITICAL, SENIOR = (
    "operators-critical-phone,operators-critical",
    "senior-manager-phone,senior-manager-mail,senior-manager",
)
ROUTES: tuple[tuple[dict[str, str], str], ...] = (
    ({"alertname": "A", "severity": "critical"}, CRITICAL),
    ({"alertname": "A", "severity": "high"}, HIGH),
    ({"alertname": "A", "severity": "medium"}, "operators-medium"),
    ({"alertname": "A", "severity": "low"}, "daily-report"),
    (
        {"alertname": "AEscalated", "severity": "critical", "escalation": "senior-manager"},
        SENIOR,
    ),
    ({"alertname": "AEscalated", "severity": "high", "escalation": "on-call-engineer"}, "on-call-engineer"),
    ({"alertname": "AEscalated", "severity": "medium", "escalation": "team-leader"}, "team-leader"),
    (
        {"alertname": "AEscalated", "severity": "medium", "escalation": "senior-manager"},
        SENIOR,
    ),
    ({"alertname": "AEscalated", "severity": "critical", "escalation": "somebody"}, "operators-fallback"),
    ({"alertname": "AEscalated", "escalation": "team-leader"}, "team-leader"),
    ({"alertname": "A", "severity": "critical", "escalation": ""}, CRITICAL),
    ({"alertname": "Watchdog", "severity": "low"}, "heartbeat"),
    ({"alertname": "Watchdog", "severity": "critical", "escalation": "senior-manager"}, "heartbeat"),
    ({"alertname": "Watchdog"}, "heartbeat"),
    ({"alertname": "WatchdogOfSomethingElse", "severity": "high"}, HIGH),
    ({"alertname": "A", "severity": "urgent"}, "operators-fallback"),
    ({"alertname": "A", "severity": "Critical"}, "operators-fallback"),
    ({"alertname": "A", "severity": ""}, "operators-fallback"),
    ({"alertname": "A"}, "operators-fallback"),
    ({"severity": "critical"}, CRITICAL),
    ({"layer": "device"}, "operators-fallback"),
    ({"alertname": "A", "severity": "high", "layer": "device", "region": "b", "job": "x"}, HIGH),
)


@pytest.mark.parametrize(("labels", "receivers"), ROUTES, ids=str)
def test_an_alert_goes_to_exactly_these_receivers(folder: Path, labels: dict[str, str], receivers: str) -> None:
    words = [f"{name}={json.dumps(value)}" for name, value in labels.items()]
    done = amtool("config", "routes", "test", f"--config.file={folder / 'alertmanager.yml'}", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == receivers


def test_every_receiver_is_reached_by_a_route_of_the_table(folder: Path) -> None:
    named = {receiver["name"] for receiver in alertmanager_config(config(folder))["receivers"]}
    assert {receiver for _, receivers in ROUTES for receiver in receivers.split(",")} == named


def alert(**changes: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {
            "alertname": "KafkaOfflinePartitions",
            "severity": "critical",
            "alert_id": "KafkaOfflinePartitions/instance=kafka-1/job=kafka",
        },
        "annotations": {
            "summary": "3 partitions < 1 leader & offline",
            "summary_ja": "3 個のパーティションが停止中",
            "description": DESCRIPTION,
            "description_ja": "読み書きできません。",
            "runbook_url": "https://runbooks.example.org/KafkaOfflinePartitions.md",
        },
        "startsAt": "2026-11-24T23:30:00Z",
        "endsAt": "2026-11-24T23:45:00Z",
        **changes,
    }


def data(*alerts: dict[str, Any], status: str = "firing", **labels: str) -> dict[str, Any]:
    """What a template is given."""
    common = {"alertname": "KafkaOfflinePartitions", "severity": "critical", **labels}
    return {
        "status": status,
        "alerts": list(alerts),
        "groupLabels": common,
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "https://alerts.example.org:9093",
    }


def render(folder: Path, name: str, content: dict[str, Any], kind: str = "text") -> str:
    path = folder / "data.json"
    path.write_text(json.dumps(content))
    done = amtool(
        "template",
        "render",
        f"--template.glob={folder}/templates/*.tmpl",
        f'--template.text={{{{ template "{name}" . }}}}',
        f"--template.type={kind}",
        f"--template.data={path}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_phone_shows_priority_name_and_both_summaries(folder: Path) -> None:
    assert render(folder, "obs.phone.summary", data(alert())) == (
        "[CRITICAL 緊急] KafkaOfflinePartitions: 3 partitions < 1 leader & offline / 3 個のパーティションが停止中"
    )


def test_a_phone_shows_how_many_and_to_whom_it_escalated(folder: Path) -> None:
    content = data(alert(), alert(), alertname="KafkaOfflinePartitionsEscalated", escalation="senior-manager")
    assert render(folder, "obs.title", content) == "[CRITICAL 緊急] KafkaOfflinePartitions x2 -> senior-manager"


def test_the_end_is_told_as_such(folder: Path) -> None:
    content = data(alert(status="resolved"), status="resolved")
    assert render(folder, "obs.title", content) == "[RESOLVED 復旧] KafkaOfflinePartitions"
    for name in ("obs.sms", "obs.slack.text", "obs.mail.text", "obs.resolved"):
        assert "ops ack" not in render(folder, name, content)
    assert "23:45 UTC" in render(folder, "obs.mail.text", content)


def test_a_phone_shows_what_fires_before_what_has_ended(folder: Path) -> None:
    ended = alert(status="resolved", annotations={"summary": "ended"})
    assert "3 partitions" in render(folder, "obs.phone.summary", data(ended, alert()))


@pytest.mark.parametrize(
    ("severity", "word", "pager"),
    [
        ("critical", "CRITICAL 緊急", "critical"),
        ("high", "HIGH 高", "error"),
        ("medium", "MEDIUM 中", "warning"),
        ("low", "LOW 低", "info"),
        ("urgent", "PRIORITY? 優先度不明", "warning"),
        ("", "PRIORITY? 優先度不明", "warning"),
    ],
)
def test_each_priority_has_a_word_in_both_languages(folder: Path, severity: str, word: str, pager: str) -> None:
    content = data(alert(), severity=severity)
    assert render(folder, "obs.title", content).startswith(f"[{word}] ")
    assert render(folder, "obs.phone.severity", content) == pager


def test_a_text_message_is_short_and_has_the_command_that_acknowledges(folder: Path) -> None:
    text = render(folder, "obs.sms", data(alert()))
    assert text.splitlines() == [
        "[CRITICAL 緊急] KafkaOfflinePartitions",
        "3 partitions < 1 leader & offline / 3 個のパーティションが停止中",
        "ops ack KafkaOfflinePartitions/instance=kafka-1/job=kafka",
    ]
    assert len(text) <= 160


def test_long_summaries_are_cut_and_the_command_is_whole(folder: Path) -> None:
    long = alert(annotations={"summary": "s" * 500, "summary_ja": "長" * 500})
    text = render(folder, "obs.sms", data(long))
    assert len(text) <= 160
    assert text.splitlines()[1] == f"{'s' * 37}... / {'長' * 17}..."
    assert text.splitlines()[2] == "ops ack KafkaOfflinePartitions/instance=kafka-1/job=kafka"
    assert len(render(folder, "obs.phone.summary", data(long))) <= 180


def test_a_text_message_with_very_long_labels_is_still_one_that_sns_sends(folder: Path) -> None:
    long = {"labels": {"alertname": "A" * 40, "alert_id": "A/site=" + "%E6%9D%B1" * 400, "severity": "critical"}}
    text = render(folder, "obs.sms", data(alert(**long)))
    assert len(text.encode("utf-16-be")) < 1600
    assert text.strip().endswith("ops alerts")


def test_slack_gets_text_that_it_cannot_take_for_a_link(folder: Path) -> None:
    text = render(folder, "obs.slack.text", data(alert()))
    assert "*3 partitions &lt; 1 leader &amp; offline*" in text
    assert "*3 個のパーティションが停止中*" in text
    assert "`ops ack KafkaOfflinePartitions/instance=kafka-1/job=kafka`" in text
    assert "<https://runbooks.example.org/KafkaOfflinePartitions.md|Runbook / 手順書>" in text
    assert "2026-11-24 23:30 UTC (11-25 08:30 JST)" in text


def test_mail_is_safe_html_with_everything_in_it(folder: Path) -> None:
    html = render(folder, "obs.mail.html", data(alert()), "html")
    for part in (
        "3 partitions &lt; 1 leader &amp; offline",
        "3 個のパーティションが停止中",
        DESCRIPTION,
        "読み書きできません。",
        '<a href="https://runbooks.example.org/KafkaOfflinePartitions.md">',
        "ops ack KafkaOfflinePartitions/instance=kafka-1/job=kafka</code>",
        'name="viewport"',
        "1 firing, 0 resolved / 発生 1 件、復旧 0 件",
    ):
        assert part in html, part
    assert "ZgotmplZ" not in html


def test_mail_has_the_same_as_plain_text(folder: Path) -> None:
    text = render(folder, "obs.mail.text", data(alert()))
    for part in (
        "3 partitions < 1 leader & offline",
        "3 個のパーティションが停止中",
        DESCRIPTION,
        "読み書きできません。",
        "https://runbooks.example.org/KafkaOfflinePartitions.md",
        "ops ack KafkaOfflinePartitions/instance=kafka-1/job=kafka",
    ):
        assert part in text, part


def test_a_storm_is_cut_after_ten_and_says_how_many_there_are(folder: Path) -> None:
    many = data(*(alert(annotations={"summary": f"number {index}!"}) for index in range(30)))
    for name, kind in (("obs.firing", "text"), ("obs.slack.text", "text"), ("obs.mail.html", "html")):
        text = render(folder, name, many, kind)
        assert "number 9!" in text
        assert "number 10!" not in text
        assert "30 in all" in text
    assert render(folder, "obs.acknowledge", many).count("ops ack") == 10


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("obs.phone.summary", "text"),
        ("obs.acknowledge", "text"),
        ("obs.firing", "text"),
        ("obs.sms", "text"),
        ("obs.slack.text", "text"),
        ("obs.mail.text", "text"),
        ("obs.mail.html", "html"),
    ],
)
def test_an_alert_that_lacks_everything_is_told_all_the_same(folder: Path, name: str, kind: str) -> None:
    bare = {**data({"status": "firing", "labels": {"alertname": "Bare"}, "annotations": {}}), "commonLabels": {}}
    text = render(folder, name, bare, kind)
    assert "<no value>" not in text
    assert "Bare" in text or name == "obs.acknowledge"


def test_the_file_is_the_same_however_often_it_is_rendered(folder: Path) -> None:
    again = rendered(alertmanager_config(config(folder)))
    assert again == (folder / "alertmanager.yml").read_text()
