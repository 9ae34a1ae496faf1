"""Tables of what is agreed on: ``policy/agreed.yaml``, by hand; ``policy/alerts.yaml`` and
``policy/rights.yaml``, from what is rendered."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from policy.model import Finding, Node, Resource
from policy.rules._values import finding

FILE: Final = Path(__file__).parents[1] / "agreed.yaml"
ALERTS_FILE: Final = Path(__file__).parents[1] / "alerts.yaml"
RIGHTS_FILE: Final = Path(__file__).parents[1] / "rights.yaml"
ADD: Final = "remove it, or have it agreed on in policy/agreed.yaml"


@functools.cache
def agreed() -> Mapping[str, Any]:
    """The table of programs, settings, parts and types."""
    return _read(FILE)


@functools.cache
def agreed_alerts() -> Mapping[str, Mapping[str, Any]]:
    """Alert -> priority, longest hold and interval in seconds, metrics that it reads, what every stack has it with.

    Escalations are none of them: they follow from the alert that is escalated.
    """
    return _read(ALERTS_FILE)


@functools.cache
def agreed_rights() -> Mapping[str, Mapping[str, Any]]:
    """Kind of right -> who has it -> what it is; and what the gate's catalogue protects."""
    return _read(RIGHTS_FILE)


def _read(file: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def fits(text: str, patterns: Sequence[str]) -> bool:
    """Whether a text is one of the patterns."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def unknown_keys(resource: Resource, node: Node, patterns: Sequence[str]) -> Iterator[Finding]:
    """Keys of a section that no pattern has."""
    for key, setting in node.items():
        if not fits(key, patterns):
            yield finding(resource, setting, f"{key} is not agreed on", ADD)
