"""Slack and SMS may be absent: nothing of them is rendered, and what is then not promised is said."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
import yaml

from components.alertmanager.receivers import AWS_FILE, Channel, not_promised
from policy.model import Resource
from policy.rules import RULES, concern
from policy.runner import Config, Runner
from tests.support import engine

SLACK = "critical and high alerts are not sent to operators by slack (requirement 6.2)"
SMS = "critical alerts are not sent to operators by sms (requirement 6.2)"


def _quiet(stack: str = "local") -> dict[str, Any]:
    """A stack file without Slack and SMS."""
    settings = engine.stack_settings(stack)
    settings["alerting"]["channels"]["sms"] = None
    for contact in settings["alerting"]["contacts"].values():
        contact.update(slack=False, sms_topic=None)
    contacts = settings["alerting"]["contacts"]
    contacts["team-leader"]["mail"] = contacts["team-leader"]["mail"] or "leader@example.com"
    return settings


@pytest.fixture(scope="module")
def quiet() -> tuple[engine.Recording, list[str]]:
    """The platform without Slack and SMS, and the warnings."""
    warnings: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi.log, "warn", lambda message, *_args, **_more: warnings.append(message))
        return engine.record("local", _quiet()), warnings


def test_each_priority_that_a_channel_was_for_is_said_in_one_line() -> None:
    assert list(not_promised(Channel)) == []
    assert list(not_promised([Channel.PHONE, Channel.MAIL])) == [SMS, SLACK]


def test_a_preview_warns_of_what_is_not_promised(quiet: tuple[engine.Recording, list[str]]) -> None:
    assert quiet[1] == [f"settings.alerting.contacts: {line}" for line in (SMS, SLACK)]


def test_nothing_of_an_absent_channel_is_rendered(quiet: tuple[engine.Recording, list[str]]) -> None:
    recording = quiet[0]
    text = recording.one("ConfigMap", "alertmanager")["data"]["alertmanager.yml"]
    kinds = {key for receiver in yaml.safe_load(text)["receivers"] for key in receiver} - {"name"}
    assert kinds == {"pagerduty_configs", "email_configs", "webhook_configs"}
    files = {name for secret in recording.kinds("Secret") for name in secret.get("stringData", {})}
    assert "phone-operators" in files
    assert AWS_FILE not in files
    assert not {name for name in files if name.startswith("slack-")}
    assert recording.outputs["notify_channels"]["channels"]["sms"] is None


def _findings(recording: engine.Recording, config: Config) -> list[str]:
    rules = tuple(rule for rule in RULES if concern(rule).startswith(("alerting", "secret", "workload")))
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    return [verdict.rule.id for verdict in Runner(config, rules=rules, agreed=[]).all(resources)]


def test_the_policies_ask_for_an_agreement_on_fewer_channels_and_for_nothing_else(
    quiet: tuple[engine.Recording, list[str]],
) -> None:
    assert set(_findings(quiet[0], {})) == {"alertmanager-critical-ways"}
    assert _findings(quiet[0], {"alertmanager-critical-ways": {"least": 1}}) == []


def test_a_database_elsewhere_is_rendered_without_rules_about_one_of_ours() -> None:
    settings = engine.stack_settings("local")
    external = {"host": "db.example.com", "port": 5432, "name": "grafana", "user": "grafana"}
    settings["database"] = {"embedded": None, "external": {**external, "networks": ["203.0.113.0/24"]}}
    pulumi.runtime.set_config("observability:databasePassword", "x" * 20)
    recording = engine.record("local", settings)
    assert not [pods for pods in recording.kinds("StatefulSet") if pods["metadata"]["name"] == "postgres"]
    for name, file in (("alertmanager", "alertmanager.yml"),):
        text = recording.one("ConfigMap", name)["data"][file]
        assert "PostgresDown" not in text
        assert "PrometheusDown" in text
