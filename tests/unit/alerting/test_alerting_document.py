"""``docs/escalation.md`` says what the code does: who is notified, how, and when."""

from __future__ import annotations

from pathlib import Path

from components.alerting.escalation import LEVELS, TIMINGS, EscalationDelays
from components.alertmanager.receivers import FIRST, FIRST_NOTIFICATION, Channel
from components.rules import RuleGroup, Severity

TEXT = (Path(__file__).parents[3] / "docs" / "escalation.md").read_text()
WORDS = {Channel.PHONE: "phone", Channel.SMS: "SMS", Channel.SLACK: "Slack", Channel.MAIL: "mail"}


def _row(severity: Severity) -> str:
    channels = FIRST_NOTIFICATION.get(severity)
    if channels is None:
        return f"| {severity} | daily report | | | | |"
    told = ", ".join(WORDS[channel] for channel in channels)
    delay = EscalationDelays().of(severity)
    return f"| {severity} | {told} | `{FIRST}` | {TIMINGS[severity].group_wait} | {delay} | `{LEVELS[severity]}` |"


def test_the_table_has_a_row_for_each_priority_and_no_other() -> None:
    head = (
        "| priority | first notification | to | waits for others of its kind | not acknowledged: within | then also |"
    )
    rows = TEXT.partition(head)[2].strip().partition("\n\n")[0].splitlines()
    assert rows[1:] == [_row(severity) for severity in Severity]


def test_the_text_names_the_time_between_two_evaluations() -> None:
    assert f"even for one evaluation ({RuleGroup(name='any', rules=()).interval.removesuffix('s')} s)" in TEXT
