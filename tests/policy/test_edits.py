"""Single edits of the rendered platform that once passed every rule: refused by the rule that the case names."""

from __future__ import annotations

import base64
import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support.engine import recorded

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases_edits.yaml").read_text(encoding="utf-8"))
_BY_ID = {rule.id: rule for rule in RULES}
_RUNNER = Runner(agreed=[])


@functools.cache
def rendered(stack: str) -> tuple[Resource, ...]:
    """The platform of a stack file; do not change it."""
    registered = recorded(stack).resources
    return tuple(Resource(one.token, one.name, one.inputs) for one in registered if not one.read)


def stops(rule_id: str, resource: Resource, resources: list[Resource]) -> list[str]:
    """What a rule stops about a resource, or about the stack that it is in."""
    rule = _BY_ID[rule_id]
    verdicts = _RUNNER.at_stack(rule, resources) if rule.stack else _RUNNER.at_resource(rule, resource)
    return [verdict.message for verdict in verdicts if verdict.stops]


def edited(case: dict[str, Any], resource: Resource) -> Resource:
    """The resource with the edit of a case: in one of its files, or in its own settings."""
    props = copy.deepcopy(dict(resource.props))
    if "file" not in case:
        return Resource(resource.type, resource.name, _at(props, case["at"], _value(case)))
    section = next(key for key in ("data", "stringData") if case["file"] in (props.get(key) or {}))
    encoded = resource.kind == "Secret" and section == "data"
    text = props[section][case["file"]]
    text = base64.b64decode(text).decode() if encoded else text
    changed = (
        _in_text(case, text) if "text" in case else yaml.safe_dump(_at(yaml.safe_load(text), case["at"], _value(case)))
    )
    assert changed != text
    props[section][case["file"]] = base64.b64encode(changed.encode()).decode() if encoded else changed
    return Resource(resource.type, resource.name, props)


def _in_text(case: dict[str, Any], text: str) -> str:
    old, new = case["text"]
    assert old in text
    return text.replace(old, new, 1)


def _value(case: dict[str, Any]) -> Callable[[Any, Any], None]:
    """What an edit does with a place: ``becomes``, ``more`` of a list, or away with it."""

    def change(holder: Any, key: Any) -> None:
        if "more" in case:
            holder.setdefault(key, []) if isinstance(holder, dict) else None
            holder[key] = [*(holder[key] or []), case["more"]]
        elif "becomes" in case:
            holder[key] = case["becomes"]
        else:
            del holder[key]

    return change


def _at(content: Any, path: list[Any], change: Callable[[Any, Any], None]) -> Any:
    holder = content
    for key in path[:-1]:
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
    change(holder, path[-1])
    return content


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["edit"]))
def test_an_edit_that_weakens_the_platform_is_refused(case: dict[str, Any]) -> None:
    kind, name = case["of"].split()
    resources = list(rendered(case.get("stack", "prod")))
    index, resource = next(
        (index, one) for index, one in enumerate(resources) if (one.kind, one.object_name) == (kind, name)
    )
    assert stops(case["rule"], resource, resources) == []
    changed = edited(case, resource)
    assert stops(case["rule"], changed, [*resources[:index], changed, *resources[index + 1 :]])
