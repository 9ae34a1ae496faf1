"""The channels' secrets of a stack: each contact's own, and a mistake is one line that shows none of them."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from components.alerting.escalation import EscalationDelays, escalated
from components.rules import RuleGroup
from stacks import rules
from stacks.secrets import alerting_secrets
from stacks.settings import SettingsError, parse
from stacks.stage_settings import SHORTEST
from tests.support import engine

WHERE = "Pulumi.local.yaml: observability:alertingSecrets"
PHONES = ("operators", "senior-manager", "on-call-engineer")
WEBHOOK = "https://hooks.example.com/services/T1/B1/secret"


def given(slack: tuple[str, ...] = ("operators", "team-leader"), **changes: Any) -> str:
    """What a stack with these contacts at Slack says about its secrets; the secrets themselves on success."""
    settings = engine.stack_settings("local")
    contacts = settings["alerting"]["contacts"]
    for name, contact in contacts.items():
        contact["slack"], contact["phone"] = name in slack, name in PHONES
    urls = {name: f"{WEBHOOK}-{name}" for name in slack}
    secrets = {**engine.alerting_secrets(settings["alerting"]), "slack_urls": urls, **changes}
    told = ["taken"]

    def program() -> None:
        pulumi.runtime.set_config(engine.ALERTING_SECRETS, json.dumps(secrets))
        try:
            alerting_secrets(parse(settings, "Pulumi.local.yaml").alerting)
        except SettingsError as error:
            told[0] = str(error)

    engine.run(engine.Recording(), "local", program)
    return told[0]


def test_each_contact_of_slack_has_a_webhook_of_its_own() -> None:
    assert given() == "taken"


def test_a_stack_without_slack_contacts_beside_the_first_needs_no_more_webhooks() -> None:
    assert given(slack=("operators",)) == "taken"


@pytest.mark.parametrize(
    ("urls", "line"),
    [
        (
            {"operators": WEBHOOK},
            "slack_urls lacks team-leader: add the webhook (https://...) of every contact with slack: true",
        ),
        (
            {"operators": WEBHOOK, "team-leader": ""},
            "slack_urls lacks team-leader: add the webhook (https://...) of every contact with slack: true",
        ),
        (
            [WEBHOOK],
            "slack_urls lacks operators, team-leader: add the webhook (https://...) of every contact with slack: true",
        ),
        (
            {"operators": WEBHOOK, "team-leader": "#leaders"},
            "slack_urls of team-leader is no https:// address: give the webhook's",
        ),
        (
            {"operators": WEBHOOK, "team-leader": WEBHOOK},
            "slack_urls of operators and team-leader are the same: a webhook tells one channel, so give every contact "
            "its own",
        ),
    ],
)
def test_a_contact_without_a_webhook_of_its_own_is_one_line_without_any_secret(urls: Any, line: str) -> None:
    told = given(slack_urls=urls)
    assert told == f"{WHERE}: {line}"
    assert WEBHOOK not in told


def test_a_phone_without_a_routing_key_is_one_line() -> None:
    told = given(phone_keys={"operators": "k" * 32})
    assert told == (
        f"{WHERE}: phone_keys lacks senior-manager, on-call-engineer: add the routing key of every contact with "
        "phone: true"
    )


def test_the_secrets_of_an_older_version_are_told_what_changed() -> None:
    secrets = {**engine.alerting_secrets(), "slack_url": WEBHOOK}
    del secrets["slack_urls"]
    settings = engine.stack_settings("local")
    told = [""]

    def program() -> None:
        pulumi.runtime.set_config(engine.ALERTING_SECRETS, json.dumps(secrets))
        try:
            alerting_secrets(parse(settings, "Pulumi.local.yaml").alerting)
        except SettingsError as error:
            told[0] = str(error)

    engine.run(engine.Recording(), "local", program)
    assert told[0].startswith(f"{WHERE}: slack_url, slack_urls: allowed are exactly the keys phone_keys, slack_urls, ")


def test_the_shortest_delays_are_longer_than_the_way_of_every_notification() -> None:
    groups: tuple[RuleGroup, ...] = rules.FIXED
    assert escalated(groups, EscalationDelays(**SHORTEST))
