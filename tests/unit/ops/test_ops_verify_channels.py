"""Row A2 says which channels are not set up."""

from __future__ import annotations

from typing import Any

from ops.checks.alerting import channels_not_set_up
from ops.core.platform import parse
from tests.unit.ops.test_ops_notify_write import SOURCE


def test_every_channel_is_set_up(outputs: dict[str, Any]) -> None:
    contacts = {**SOURCE["contacts"], "senior-manager": {"phone": True}, "on-call-engineer": {"slack": True}}
    assert channels_not_set_up(parse({**outputs, "notify_channels": {**SOURCE, "contacts": contacts}})) == []


def test_a_stack_of_an_older_version_says_nothing_of_channels(outputs: dict[str, Any]) -> None:
    assert channels_not_set_up(parse(outputs)) == []


def test_a_channel_that_the_first_contact_does_not_have_is_not_set_up(outputs: dict[str, Any]) -> None:
    operators = {**SOURCE["contacts"]["operators"], "sms_topic": None, "slack": False}
    source = {**SOURCE, "contacts": {**SOURCE["contacts"], "operators": operators}}
    hint = "(requirement 6.2): set it under alerting.contacts of the stack file"
    assert channels_not_set_up(parse({**outputs, "notify_channels": source})) == [
        f"critical alerts are not sent to operators by sms {hint}",
        f"critical and high alerts are not sent to operators by slack {hint}",
        f"critical alerts that nobody acknowledges are not sent to senior-manager {hint}",
        f"high alerts that nobody acknowledges are not sent to on-call-engineer {hint}",
    ]
