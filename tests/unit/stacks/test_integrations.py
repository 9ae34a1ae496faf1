"""Channels may be absent: nothing of them is rendered, and what is then not promised is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.alerting.escalation import ESCALATION_LABEL, LEVELS
from components.alertmanager.receivers import AWS_FILE, MAIL_PASSWORD_FILE, Channel, not_promised
from components.rules import Severity
from policy.model import Resource
from policy.rules import RULES, concern
from policy.runner import Config, Runner
from policy.stack_config import NEXT, stack_options
from stacks.settings import parse
from tests.support import engine

SLACK = "critical and high alerts are not sent to operators by slack (requirement 6.2)"
SMS = "critical alerts are not sent to operators by sms (requirement 6.2)"
PHONE = "critical alerts are not sent to operators by phone (requirement 6.2)"
MAIL = "high and medium alerts are not sent to operators by mail (requirement 6.2)"
NOBODY = "critical and high and medium alerts are sent to nobody (requirement 6.2)"
REPORTS = "settings.reports.recipients: reports are stored and mailed to nobody (requirement R1)"
CONCERNS = ("alerting", "secret", "workload", "cluster", "regions")
EVERY = ("phone", "sms", "slack", "mail")
UNUSED: dict[str, tuple[str, object]] = {
    "phone": ("phone", False),
    "sms": ("sms_topic", None),
    "slack": ("slack", False),
    "mail": ("mail", None),
}


def step(severity: str) -> str:
    contact = LEVELS[Severity(severity)]
    return f"{severity} alerts that nobody acknowledges are not sent to {contact} (requirement 6.2)"


def without(*channels: str) -> dict[str, Any]:
    """A stack file that leaves channels out."""
    settings = engine.stack_settings("local")
    alerting = settings["alerting"]
    for channel in channels:
        if channel in alerting["channels"]:
            alerting["channels"][channel] = None
        key, unused = UNUSED[channel]
        for contact in alerting["contacts"].values():
            contact[key] = unused
    if "mail" in channels:
        settings["reports"]["recipients"] = None
    return settings


LEFT_OUT = {("phone",): [PHONE, step("high")], ("sms", "slack", "mail"): [SMS, SLACK, MAIL, step("medium")]}
"""Channels that are left out -> what is said of the contacts."""


def _recorded(*channels: str) -> tuple[engine.Recording, list[str]]:
    """The platform without some channels, and the warnings."""
    warnings: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi.log, "warn", lambda message, *_args, **_more: warnings.append(message))
        return engine.record("local", without(*channels)), warnings


@pytest.fixture(scope="module", params=LEFT_OUT, ids="-".join)
def few(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], engine.Recording, list[str]]:
    """Channels that are left out, the platform, and the warnings."""
    return (request.param, *_recorded(*request.param))


def test_each_priority_and_each_step_that_a_channel_was_for_is_said_in_one_line() -> None:
    everybody = dict.fromkeys(["operators", *LEVELS.values()], tuple(Channel))
    assert list(not_promised(everybody, LEVELS)) == []
    few = {**everybody, "operators": (Channel.PHONE, Channel.MAIL), "team-leader": ()}
    assert list(not_promised(few, LEVELS)) == [SMS, SLACK, step("medium")]
    assert list(not_promised(dict.fromkeys(everybody, ()), LEVELS)) == [NOBODY, *map(step, LEVELS)]


def test_a_preview_warns_of_what_is_not_promised(few: tuple[tuple[str, ...], engine.Recording, list[str]]) -> None:
    channels, _, warnings = few
    lines = [f"settings.alerting.contacts: {line}" for line in LEFT_OUT[channels]]
    reports = [REPORTS] if "mail" in channels else []
    assert [line for line in warnings if line.startswith("not promised: ")] == [
        f"not promised: {line}" for line in (*lines, *reports)
    ]


def _receivers(recording: engine.Recording) -> dict[str, set[str]]:
    """Receiver -> kinds of its entries."""
    text = recording.one("ConfigMap", "alertmanager")["data"]["alertmanager.yml"]
    return {receiver.pop("name"): set(receiver) for receiver in yaml.safe_load(text)["receivers"]}


_ENTRIES = {"phone": "pagerduty_configs", "sms": "sns_configs", "slack": "slack_configs", "mail": "email_configs"}
_FILES = {"phone": "phone-", "sms": AWS_FILE, "slack": "slack-", "mail": MAIL_PASSWORD_FILE}


def test_nothing_of_an_absent_channel_is_rendered(few: tuple[tuple[str, ...], engine.Recording, list[str]]) -> None:
    channels, recording, _ = few
    kinds = {kind for entries in _receivers(recording).values() for kind in entries}
    assert kinds == {_ENTRIES[channel] for channel in EVERY if channel not in channels} | {"webhook_configs"}
    files = {name for secret in recording.kinds("Secret") for name in secret.get("stringData", {})}
    for channel, begin in _FILES.items():
        assert any(name.startswith(begin) for name in files) is (channel not in channels)
    written = recording.outputs["notify_channels"]["channels"]
    assert {channel for channel, place in written.items() if place is None} == set(channels) - {"slack"}


def test_a_step_without_a_receiver_is_not_rendered(few: tuple[tuple[str, ...], engine.Recording, list[str]]) -> None:
    channels, recording, _ = few
    steps = parse(without(*channels), "Pulumi.local.yaml").alerting.steps
    assert set(_receivers(recording)) >= set(steps.values())
    assert not set(_receivers(recording)) & (set(LEVELS.values()) - set(steps.values()))
    assert {severity for severity, delay in recording.outputs["alert_escalation"].items() if delay} == {*steps}
    assert _escalated_to(recording) == set(steps.values())


def _escalated_to(recording: engine.Recording) -> set[str]:
    """Contacts whom rules raise alerts again for."""
    texts = (
        text
        for manifest in recording.kinds("ConfigMap")
        for name, text in manifest["data"].items()
        if manifest["metadata"]["name"].startswith("prometheus") and name.endswith((".yml", ".yaml"))
    )
    groups = [group for text in texts for group in (yaml.safe_load(text) or {}).get("groups") or ()]
    return {
        rule["labels"][ESCALATION_LABEL]
        for group in groups
        for rule in group["rules"]
        if ESCALATION_LABEL in rule.get("labels", {})
    }


def test_incidents_are_closed_only_where_somebody_is_paged(
    few: tuple[tuple[str, ...], engine.Recording, list[str]],
) -> None:
    channels, recording, _ = few
    pods = recording.one("StatefulSet", "alertmanager")["spec"]["template"]["spec"]["containers"]
    paged = "phone" not in channels
    assert ("incident-closer" in [container["name"] for container in pods]) is paged
    assert ("incident-closer" in recording.outputs["scrape_credentials"]) is paged
    assert any("IncidentsNotClosed" in text for text in engine.texts(recording.kinds("ConfigMap"))) is paged


def findings(recording: engine.Recording, config: Config) -> list[str]:
    """Rules about what may be left out that are violated."""
    rules = tuple(rule for rule in RULES if concern(rule).startswith(CONCERNS))
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    return [verdict.rule.id for verdict in Runner(config, rules=rules, agreed=[]).all(resources)]


def as_the_stack_says(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the pack takes from a stack file."""
    content = {"config": {"observability:settings": settings}}
    (folder / "Pulumi.mine.yaml").write_text(yaml.safe_dump(content))
    return {rule.id: stack_options(rule.id, "urn:pulumi:mine::observability::x::y", folder) for rule in RULES}


def test_the_policies_hold_for_what_the_stack_file_sets_up(
    few: tuple[tuple[str, ...], engine.Recording, list[str]], tmp_path: Path
) -> None:
    channels, recording, _ = few
    assert findings(recording, as_the_stack_says(without(*channels), tmp_path)) == []


def test_in_production_the_policies_ask_for_an_agreement_on_what_is_left_out(
    few: tuple[tuple[str, ...], engine.Recording, list[str]], tmp_path: Path
) -> None:
    channels, recording, _ = few
    settings = {**without(*channels), "profile": "production"}
    steps = {"alert-escalates"} if len(parse(settings, "Pulumi.mine.yaml").alerting.steps) < len(LEVELS) else set()
    assert set(findings(recording, as_the_stack_says(settings, tmp_path))) == steps | {"alertmanager-critical-ways"}


def test_the_pack_knows_who_is_next() -> None:
    assert {str(severity): contact for severity, contact in LEVELS.items()} == dict(NEXT)


def test_a_database_elsewhere_is_rendered_without_rules_about_one_of_ours() -> None:
    settings = engine.stack_settings("local")
    external = {"host": "db.example.com", "port": 5432, "name": "grafana", "user": "grafana"}
    settings["database"] = {"embedded": None, "external": {**external, "networks": ["203.0.113.0/24"]}}
    secrets = {"password": "x" * 20, "authority": engine.AUTHORITY}
    pulumi.runtime.set_config("observability:databaseSecrets", json.dumps(secrets))
    recording = engine.record("local", settings)
    assert not [pods for pods in recording.kinds("StatefulSet") if pods["metadata"]["name"] == "postgres"]
    for name, file in (("alertmanager", "alertmanager.yml"),):
        text = recording.one("ConfigMap", name)["data"][file]
        assert "PostgresDown" not in text
        assert "PrometheusDown" in text
