"""An alert that reads a record, over a restart of a real Prometheus: the record of before it raises nothing."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from components.alerting.escalation import EscalationDelays, Timing, Way, escalated
from components.rules import Alert, RuleGroup, Severity, rule_file
from tests.config.prometheus_process import PrometheusProcess, prometheus_process, write_files
from tests.config.servers import eventually

EVERY = "1s"
_NO_WAIT = {severity: Timing(group_wait="0s", group_interval="1s", repeat_interval="1h") for severity in Severity}
OLD_S = 4.0
"""Longer than what a record may be old."""


def _alert(until: float) -> Alert:
    return Alert(
        name="Trouble",
        expr=f'label_replace(vector(time()) < {until:.0f}, "device", "a", "", "")',
        for_="0s",
        severity=Severity.HIGH,
        summary="{{ $labels.device }}",
        description="Only for tests.",
        wide=True,
    )


def _firing(process: PrometheusProcess) -> set[str]:
    data = process.get("/api/v1/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in data if alert["state"] == "firing"}


def _evaluations(process: PrometheusProcess) -> float:
    lines = process.get("/metrics").text.splitlines()
    name = "prometheus_rule_group_iterations_total{"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_trouble_that_ended_while_prometheus_was_away_raises_nothing(tmp_path: Path) -> None:
    write_files(tmp_path)
    rules = tmp_path / "rules.yml"

    def load(alert: Alert) -> None:
        (group,) = escalated(
            [RuleGroup(name="trouble", rules=(alert,), interval=EVERY)],
            EscalationDelays(high="2s"),
            Way(arrival="0s", delivery="0s", members="0s", timings=_NO_WAIT),
        )
        content = rule_file([group], "")
        record = next(rule["record"] for rule in content["groups"][0]["rules"] if "record" in rule)
        # What a plain reader of the record would do: else this test would show nothing.
        content["groups"][0]["rules"].append({"alert": "Control", "expr": record})
        rules.write_text(yaml.safe_dump(content))

    load(_alert(time.time() + 3600))
    with prometheus_process(tmp_path) as process:
        expected = {"Trouble", "TroubleEscalated", "Control"}
        eventually(lambda: _firing(process) == expected, 20, "the trouble is told, and raised again")
    # Nothing marks the record as ended: Prometheus is gone before the trouble.
    load(_alert(time.time()))
    time.sleep(OLD_S)
    with prometheus_process(tmp_path) as process:
        eventually(lambda: _evaluations(process) >= 2, 20, "the rules are evaluated")
        assert _firing(process) == {"Control"}
