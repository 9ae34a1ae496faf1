"""What a stack file leaves out is known to rows and commands, by its key."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.checks.command import CHECKS
from ops.core.context import Context
from ops.core.platform import Platform, parse
from ops.core.rows import Setup, not_set_up

SMS = "settings.alerting.contacts: critical alerts are not sent to operators by sms (requirement 6.2)"
SLACK = "settings.alerting.contacts: critical and high alerts are not sent to operators by slack (requirement 6.2)"
SWITCH = "settings.alerting.heartbeat: nobody is told when the whole platform is down (requirement D4)"


def test_a_stack_of_an_older_version_leaves_nothing_out(outputs: dict[str, Any]) -> None:
    assert parse(outputs).left_out("alerting.contacts") == ()


def test_what_a_key_leaves_out_is_not_set_up(outputs: dict[str, Any]) -> None:
    platform = parse({**outputs, "not_promised": [SMS, SLACK, SWITCH]})
    assert platform.left_out("alerting.heartbeat") == (SWITCH,)
    finding = not_set_up(platform.left_out("alerting.contacts"))
    assert finding.wrong == []
    assert finding.setups == [Setup(what=line, command="pulumi up --policy-pack policy") for line in (SMS, SLACK)]


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("D3", "regions.witness"),
        ("D4", "alerting.heartbeat"),
        ("G5", "grafana.ldap"),
        ("J1", "traces.identity"),
        ("J2", "traces.identity"),
        ("J3", "traces.identity"),
    ],
)
def test_the_row_of_what_is_left_out_asks_nobody_and_is_not_set_up(row: str, key: str) -> None:
    line = f"settings.{key}: it is left out"
    platform = Platform.model_construct(not_promised=(line,))
    finding = CHECKS[row](cast(Context, SimpleNamespace(platform=platform)))
    assert finding.wrong == []
    assert [setup.what for setup in finding.setups] == [line]
