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
from policy.stack_config import left_out
from tests.support import choices
from tests.support.agreed_recordings import resources
from tests.support.engine import CHECKOUT, recorded

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases_edits.yaml").read_text(encoding="utf-8"))
_BY_ID = {rule.id: rule for rule in RULES}


@functools.cache
def rendered(stack: str, names: tuple[str, ...] = ()) -> tuple[Resource, ...]:
    """The platform of a stack file, with some choices of `tests.support.choices`; do not change it."""
    return tuple(resources(choices.recorded(stack, names) if names else recorded(stack)))


@functools.cache
def runner(stack: str) -> Runner:
    """The pack as it looks at a stack: with what its file says."""
    return Runner(left_out(stack, CHECKOUT), agreed=[])


def stops(stack: str, rule_id: str, resource: Resource, others: list[Resource]) -> list[str]:
    """What a rule stops about a resource, or about the stack that it is in."""
    rule = _BY_ID[rule_id]
    verdicts = runner(stack).at_stack(rule, others) if rule.stack else runner(stack).at_resource(rule, resource)
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
    stack = case.get("stack", "prod")
    whole = list(rendered(stack, tuple(case.get("with", ()))))
    index, resource = next(
        (index, one) for index, one in enumerate(whole) if (one.kind, one.object_name) == (kind, name)
    )
    assert stops(stack, case["rule"], resource, whole) == []
    changed = edited(case, resource)
    assert stops(stack, case["rule"], changed, [*whole[:index], changed, *whole[index + 1 :]])
