"""Whom alerts reach: names of contacts, their addresses in a stack file, and the SNS topics that exist for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CONTACTS = ("operators", "senior-manager", "on-call-engineer", "team-leader")
TOPICS = tuple(f"arn:aws:sns:ap-northeast-1:000000000000:{contact}" for contact in CONTACTS)
"""Topics of a fake that is told of no other."""
_ADDRESSES = ("mail", "sms_topic")


def addresses_of(stack_file: Path) -> dict[str, dict[str, str]]:
    """Contacts of a stack file (``alerting.contacts``) -> channel's key -> address; pager and Slack know names."""
    contacts = (_settings(stack_file).get("alerting") or {}).get("contacts") or {}
    return {
        name: {key: str(contact[key]) for key in _ADDRESSES if contact.get(key)} for name, contact in contacts.items()
    }


def topics_of(stack_file: Path) -> tuple[str, ...]:
    """SNS topics that a stack file's contacts have."""
    topics = {addresses.get("sms_topic") for addresses in addresses_of(stack_file).values()}
    return tuple(sorted(filter(None, topics)))


def gateway_of(stack_file: Path) -> str:
    """Address of a stack file's gateway."""
    return str(_settings(stack_file)["gateway"]["address"])


def _settings(stack_file: Path) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(stack_file.read_text())["config"]["observability:settings"]
    return settings
