"""The real pair with receivers' fakes: what is told to whom, once, in both languages (requirements A1, A2, D4)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from components.alerting.escalation import TIMINGS, Timing
from components.rules import Inhibition, Severity
from tests.config.alertmanager_files import ROUTING_KEYS, topic
from tests.config.alertmanager_process import OPERATORS, QUIET_S, Pair, pair
from tests.config.servers import eventually

QUICK = Timing(group_wait="1s", group_interval="2s", repeat_interval="1h")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Critical as on the platform, the others quicker; a heartbeat each 3 s."""
    timings = {severity: TIMINGS[severity] if severity is Severity.CRITICAL else QUICK for severity in Severity}
    inhibition = Inhibition(source=("Cause",), targets=("Effect", "EffectEscalated"), equal=("job",))
    with pair(
        tmp_path_factory.mktemp("pair"),
        timings=timings,
        heartbeat_timing=Timing(group_wait="0s", group_interval="1s", repeat_interval="2500ms"),
        inhibitions=(inhibition,),
    ) as alertmanager_pair:
        yield alertmanager_pair


def settled(both: Pair, name: str, expected: list[tuple[str, str]], seconds: float = 10) -> None:
    """Exactly these notifications about an alert, and no more of them while the second member could still tell."""
    eventually(lambda: len(both.told(name)) >= len(expected), seconds, f"notifications about {name}")
    time.sleep(QUIET_S)
    assert both.told(name) == sorted(expected)


def test_a_critical_alert_is_told_once_by_phone_sms_and_slack(both: Pair) -> None:
    both.raise_alert("OnceCritical")
    settled(both, "OnceCritical", OPERATORS)


def test_its_end_is_told_once_and_closes_the_incident(both: Pair) -> None:
    both.raise_alert("EndingCritical")
    settled(both, "EndingCritical", OPERATORS)
    both.raise_alert("EndingCritical", resolved=True)
    settled(both, "EndingCritical", OPERATORS * 2, 20)
    began, ended = (notification.body for notification in both.notifications("EndingCritical", "phone"))
    assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert began["dedup_key"] == ended["dedup_key"]


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("high", [("mail", "operators@example.org"), ("slack", "operators")]),
        ("medium", [("mail", "operators@example.org")]),
        ("low", []),
        ("unheard-of", [("mail", "operators@example.org"), ("slack", "operators")]),
    ],
)
def test_other_priorities_are_told_by_their_own_channels(
    both: Pair, severity: str, expected: list[tuple[str, str]]
) -> None:
    name = f"Once{severity.title().replace('-', '')}"
    both.raise_alert(name, severity)
    eventually(lambda: bool(both.events(name)), 10, f"Kafka hears of {name}")
    settled(both, name, expected)


@pytest.mark.parametrize(
    ("severity", "contact", "expected"),
    [
        (
            "critical",
            "senior-manager",
            [
                ("mail", "senior@example.org"),
                ("phone", ROUTING_KEYS["senior-manager"]),
                ("sms", topic("senior-manager")),
            ],
        ),
        ("high", "on-call-engineer", [("phone", ROUTING_KEYS["on-call-engineer"])]),
        ("medium", "team-leader", [("mail", "leader@example.org")]),
    ],
)
def test_an_escalated_alert_is_told_to_its_contact_and_to_nobody_else(
    both: Pair, severity: str, contact: str, expected: list[tuple[str, str]]
) -> None:
    name = f"Late{severity.title()}Escalated"
    both.raise_alert(name, severity, escalation=contact)
    settled(both, name.removesuffix("Escalated"), expected)


def test_alerts_of_one_kind_are_one_notification_that_says_how_many(both: Pair) -> None:
    for index in range(5):
        both.raise_alert("StormHigh", "high", instance=f"kafka-{index}", alert_id=f"StormHigh/instance=kafka-{index}")
    settled(both, "StormHigh", [("mail", "operators@example.org"), ("slack", "operators")])
    [mail] = both.notifications("StormHigh", "mail")
    assert mail.title.startswith("[HIGH 高] StormHigh x5: ")
    assert all(f"ops ack StormHigh/instance=kafka-{index}" in mail.body["html"] for index in range(5))


def test_every_channel_tells_in_both_languages_with_runbook_and_the_command_that_acknowledges(both: Pair) -> None:
    both.raise_alert("WordsCritical", region="tokyo", layer="device")
    both.raise_alert("WordsHigh", "high")
    eventually(lambda: len(both.told("WordsCritical")) >= 3, 10, "notifications about WordsCritical")
    eventually(lambda: len(both.told("WordsHigh")) >= 2, 10, "notifications about WordsHigh")
    [phone] = both.notifications("WordsCritical", "phone")
    payload = phone.body["payload"]
    assert phone.title == "[CRITICAL 緊急] WordsCritical: WordsCritical in words / WordsCritical の説明"
    assert (payload["severity"], payload["component"], payload["group"]) == ("critical", "device", "tokyo")
    assert payload["custom_details"]["acknowledge"].strip() == "ops ack WordsCritical/instance=kafka-1/job=kafka"
    assert phone.body["links"][0]["href"] == "https://runbooks.example.org/WordsCritical.md"
    [sms] = both.notifications("WordsCritical", "sms")
    slack = both.notifications("WordsCritical", "slack")[0].body["attachments"][0]
    mail = both.notifications("WordsHigh", "mail")[0].body
    for text, name in (
        (payload["custom_details"]["firing"], "WordsCritical"),
        (sms.body["message"], "WordsCritical"),
        (slack["text"], "WordsCritical"),
        (mail["text"], "WordsHigh"),
        (mail["html"], "WordsHigh"),
    ):
        assert f"{name} in words" in text
        assert f"{name} の説明" in text
        assert f"ops ack {name}/instance=kafka-1/job=kafka" in text
        if text is not sms.body["message"]:
            assert f"https://runbooks.example.org/{name}.md" in text
            assert "影響があります。" in text
    assert len(sms.body["message"]) <= 160
    assert "a &lt; b &amp; c" in slack["text"]
    assert "a &lt; b &amp; c" in mail["html"]
    assert "a < b & c" in mail["text"]


def test_kafka_hears_of_every_notification(both: Pair) -> None:
    both.raise_alert("HeardCritical")
    settled(both, "HeardCritical", OPERATORS)
    assert sorted((event["receiver"], event["status"]) for event in both.events("HeardCritical")) == [
        ("operators-critical", "firing"),
        ("operators-critical-phone", "firing"),
    ]


def test_the_watchdog_beats_for_the_switch_alone_however_many_members_there_are(both: Pair) -> None:
    both.raise_alert("Watchdog", "low")
    eventually(lambda: bool(both.notifications("Watchdog")), 5, "the first heartbeat")
    before = len(both.notifications("Watchdog"))
    time.sleep(12)
    beats = len(both.notifications("Watchdog")) - before
    # As long as the second member waits for the first, so either may be the one that tells, or both.
    assert 3 <= beats <= 9, f"{beats} heartbeats in 12 s, one each 3 s expected, two at most"
    assert {channel for channel, _ in both.told("Watchdog")} == {"heartbeat"}
    assert both.events("Watchdog") == []


def test_a_silence_on_the_identity_stops_the_alert_and_its_escalation_and_nothing_else(both: Pair) -> None:
    first, second = both.members
    silence = first.silence(alert_id="Known/instance=kafka-1/job=kafka")
    eventually(lambda: silence in second.silences(), 5, "the silence is on the other member")
    both.raise_alert("Known")
    both.raise_alert("KnownEscalated", escalation="senior-manager")
    both.raise_alert("Unknown1Critical")
    settled(both, "Unknown1Critical", OPERATORS)
    assert both.told("Known") == []


def test_an_alert_with_a_known_cause_is_not_told_and_one_elsewhere_is(both: Pair) -> None:
    both.raise_alert("Cause")
    both.raise_alert("Effect")
    both.raise_alert("EffectEscalated", escalation="senior-manager")
    both.raise_alert("Effect", job="elsewhere", alert_id="Effect/job=elsewhere")
    eventually(lambda: len(both.notifications("Effect/job=elsewhere", "sms")) == 1, 10, "the other effect is told")
    time.sleep(QUIET_S)
    assert both.told("Cause in words") == OPERATORS
    assert both.notifications("Effect/instance=kafka-1") == []


def refused(both: Pair) -> float:
    """Notifications that the phone's provider did not take, of both members."""
    counted = 'alertmanager_notifications_failed_total{integration="pagerduty",reason="clientError",'
    lines = [line for member in both.members for line in member.metrics().splitlines() if line.startswith(counted)]
    return sum(float(line.split()[-1]) for line in lines)


def test_a_channel_that_refuses_is_counted_and_does_not_hold_up_the_others(both: Pair) -> None:
    key = both.folder / "secrets" / "phone-operators"
    key.write_text("too short")
    try:
        both.raise_alert("HalfCritical")
        settled(both, "HalfCritical", [operator for operator in OPERATORS if operator[0] != "phone"])
        eventually(lambda: refused(both) > 0, 20, "the refusal is counted")
    finally:
        key.write_text(ROUTING_KEYS["operators"])
    eventually(
        lambda: len(both.notifications("HalfCritical", "phone")) == 1,
        20,
        "the phone is told once it takes notifications",
    )


@pytest.mark.parametrize("user", [None, "stranger"])
def test_the_api_is_closed_to_strangers(both: Pair, user: str | None) -> None:
    for method, path in (("GET", "/api/v2/alerts"), ("POST", "/api/v2/silences"), ("GET", "/metrics")):
        assert both.members[0].call(method, path, user).status_code == 401
