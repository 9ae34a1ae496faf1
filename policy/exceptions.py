"""Named exceptions: a rule, a resource, a reason, an owner and the last day on which it holds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policy.model import Finding, Resource

FILE = Path(__file__).with_name("exceptions.yaml")
LONGEST_DAYS = 180
_KEYS = ("rule", "resource", "reason", "owner", "expires")


@dataclass(frozen=True, kw_only=True)
class ExceptionEntry:
    """One agreed deviation.

    Attributes:
        rule: Id of the rule.
        resource: Label of the resource as messages show it, for example ``Service obs/gateway``.
        reason: Why it is acceptable for now.
        owner: Who sees to its end.
        expires: Last day on which it holds.
    """

    rule: str
    resource: str
    reason: str
    owner: str
    expires: datetime.date

    def covers(self, rule_id: str, resource: Resource | None, today: datetime.date) -> bool:
        """Whether a finding of that rule at that resource is agreed today."""
        label = resource.label if resource else "stack"
        return self.rule == rule_id and self.resource == label and today <= self.expires


def load(file: Path = FILE) -> tuple[tuple[ExceptionEntry, ...], tuple[Finding, ...]]:
    """Read the file; entries that cannot be used are findings, never exceptions."""
    content = yaml.load(file.read_text(), yaml.CSafeLoader) if file.exists() else []
    entries: list[ExceptionEntry] = []
    mistakes: list[Finding] = []
    for index, entry in enumerate(content or []):
        problem = _problem(entry)
        if problem:
            mistakes.append(_finding(f"{file.name}[{index}]", problem, f"give {', '.join(_KEYS)}, all of them filled"))
        else:
            entries.append(ExceptionEntry(**entry))
    return tuple(entries), tuple(mistakes)


def stale(
    entries: Sequence[ExceptionEntry], known_rules: frozenset[str], resources: Sequence[Resource], today: datetime.date
) -> list[Finding]:
    """What is wrong with the exceptions themselves on that day."""
    labels = {resource.label for resource in resources} | {"stack"}
    findings: list[Finding] = []
    for entry in entries:
        where = f"{FILE.name}: {entry.rule} at {entry.resource}"
        if entry.rule not in known_rules:
            findings.append(_finding(where, f"there is no rule {entry.rule}", "remove the exception or name the rule"))
        elif today > entry.expires:
            findings.append(
                _finding(where, f"expired on {entry.expires}", f"mend the cause, or have {entry.owner} agree anew")
            )
        elif entry.expires > today + datetime.timedelta(days=LONGEST_DAYS):
            findings.append(
                _finding(
                    where,
                    f"holds until {entry.expires}, longer than {LONGEST_DAYS} days",
                    f"end it within {LONGEST_DAYS} days",
                )
            )
        elif entry.resource not in labels and entry.resource.split(" ")[-1].split("/")[0] in _namespaces(resources):
            findings.append(_finding(where, f"there is no {entry.resource}", "remove the exception"))
    return findings


def _namespaces(resources: Sequence[Resource]) -> set[str]:
    return {resource.namespace for resource in resources if resource.namespace}


def _problem(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "is not a mapping"
    for key in _KEYS:
        if not entry.get(key):
            return f"has no {key}"
    extra = sorted(set(entry) - set(_KEYS))
    if extra:
        return f"has unknown keys {', '.join(map(str, extra))}"
    if not isinstance(entry["expires"], datetime.date) or isinstance(entry["expires"], datetime.datetime):
        return f"has expires {entry['expires']}, which is no date"
    return ""


def _finding(where: str, problem: str, fix: str) -> Finding:
    return Finding(resource=None, where=where, problem=problem, fix=fix)
