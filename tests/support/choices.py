"""Choices of a stack file: what its schema allows in place of what is there, as far as the settings take it."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
import yaml

from stacks import schema
from stacks.secrets import DATABASE_KEY, DATABASE_NAMES, OIDC_KEY, OIDC_NAMES
from stacks.settings import CONFIG_KEY, CONFIG_NAMESPACE, SettingsError, parse
from tests.support import engine, shared

Place = tuple[str | int, ...]
"""Keys that lead to a setting."""
Data = dict[str, Any]

_GIVEN: Final[Data] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_SCHEMA: Final[Data] = json.loads(schema.text())
_ROOT: Final[Data] = _SCHEMA["properties"]["config"]["properties"][f"{CONFIG_NAMESPACE}:{CONFIG_KEY}"]
_AMOUNT: Final = re.compile(r"(\d+)([A-Za-z]+)")
_NO_NAME: Final = re.compile(r"[^a-z0-9]+")
_STACKS: Final = ("local", "prod", "kind", "local-dr", "dr")


@dataclass(frozen=True, eq=False)
class Choice:
    """What a stack file may say instead.

    Attributes:
        name: Place and value, or what several of them are together.
        changes: Place -> what is there.
        less: Whether something is then left out, which other choices are about.
    """

    name: str
    changes: Mapping[Place, Any]
    less: bool

    def applied(self, settings: Data) -> Data:
        """The settings with this choice."""
        chosen = copy.deepcopy(settings)
        for place, value in self.changes.items():
            holder: Any = chosen
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = copy.deepcopy(value)
        return chosen

    def apart(self, other: Choice) -> bool:
        """Whether neither changes what the other one changes."""
        return not any(one[: len(two)] == two[: len(one)] for one in self.changes for two in other.changes)


def legal(stack: str) -> tuple[list[Choice], dict[Choice, str]]:
    """Every choice that is legal for a stack file that is else as it is in the checkout.

    Returns:
        Those that are free, and those that policies bound, with the rules.
    """
    settings = engine.stack_settings(stack)
    single = [
        _first_legal(settings, place, values)
        for place, values in _others(_ROOT, settings, ())
        if not _dotted(place).startswith(tuple(_GIVEN["not_alone"]))
    ]
    single += [_first_legal(settings, (key,), [value]) for key, value in _whole(stack)]
    together = (_together(name, settings) for name in _GIVEN["together"])
    there = (choice for choice in together if all(_at(settings, place[:-1]) is not None for place in choice.changes))
    choices = [*filter(None, single), *(choice for choice in there if taken(choice.applied(settings)))]
    bounded = {choice: _GIVEN["bounded"][choice.name] for choice in choices if choice.name in _GIVEN["bounded"]}
    return [choice for choice in choices if choice not in bounded], bounded


def packed(stack: str, choices: Sequence[Choice]) -> Iterator[list[Choice]]:
    """As many choices at once as are legal together, those that leave something out apart from those about it."""
    ordered = sorted(choices, key=lambda choice: min(map(len, choice.changes)))
    for less in (False, True):
        left = [choice for choice in ordered if choice.less is less]
        while left:
            settings, used, later = engine.stack_settings(stack), [], []
            for choice in left:
                changed = choice.applied(settings) if all(map(choice.apart, used)) else None
                if changed is not None and taken(changed):
                    settings = changed
                    used.append(choice)
                else:
                    later.append(choice)
            yield used
            left = later


def chosen(stack: str, *names: str) -> Data:
    """The settings of a stack file with some of the choices that several settings are together."""
    settings = engine.stack_settings(stack)
    for name in names:
        settings = _together(name, settings).applied(settings)
    return settings


@functools.cache
def recorded(stack: str, names: tuple[str, ...]) -> engine.Recording:
    """The recording of a stack file with some of these choices; do not change it."""
    title = f"recording of {stack} with {', '.join(names)}"
    return shared.once(title, lambda: record(stack, chosen(stack, *names)))


def record(stack: str, settings: Data, role: str | None = None) -> engine.Recording:
    """Run the program with some settings and the secrets that any of them may ask for."""
    for key, names in {DATABASE_KEY: DATABASE_NAMES, OIDC_KEY: OIDC_NAMES}.items():
        secret, authority = names
        content = {secret: engine.password_of(key), authority: engine.AUTHORITY}
        pulumi.runtime.set_config(f"{CONFIG_NAMESPACE}:{key}", json.dumps(content))
    return engine.record(stack, settings, role)


def taken(settings: Data) -> bool:
    """Whether the settings are legal."""
    try:
        parse(settings, "Pulumi.mine.yaml")
    except SettingsError:
        return False
    return True


def _first_legal(settings: Data, place: Place, values: Sequence[Any]) -> Choice | None:
    for value in values:
        shown = json.dumps(value)
        choice = Choice(f"{_dotted(place)}: {shown}", {place: value}, value is None or value is False or value == [])
        if taken(choice.applied(settings)):
            return choice
    return None


def _whole(stack: str) -> Iterator[tuple[str, Any]]:
    """Whole groups of the stack file that has least, or for that one of the one that has most."""
    own, other = engine.stack_settings(stack), engine.stack_settings("kind" if stack != "kind" else "prod")
    yield from ((key, value) for key, value in other.items() if isinstance(value, dict) and value != own[key])


def _together(name: str, settings: Data) -> Choice:
    changes: dict[Place, Any] = {}
    for dotted, value in _GIVEN["together"][name].items():
        before, star, after = dotted.partition(".*.")
        for key in _at(settings, tuple(before.split("."))) if star else ():
            changes[(*before.split("."), key, after)] = value
        if not star:
            changes[tuple(dotted.split("."))] = value
    return Choice(name, changes, less=True)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _at(settings: Any, place: Place) -> Any:
    for key in place:
        try:
            settings = settings[key]
        except (KeyError, IndexError, TypeError):
            return None
    return settings


def _resolved(node: Data) -> tuple[str, Data]:
    """A node of the schema and the name of its group, without null where it may be that too."""
    rest = [one for one in node.get("anyOf", [node]) if one.get("type") != "null"]
    name = rest[0].get("$ref", "").rpartition("/")[2]
    return (name, _SCHEMA["$defs"][name]) if name else ("", rest[0])


def _others(node: Data, value: Any, place: Place) -> Iterator[tuple[Place, list[Any]]]:
    """Places, and for each several values, of which one that is legal is enough."""
    _, inner = _resolved(node)
    if value is None:
        yield from ((place, samples) for samples in _either(node, place))
        return
    if "anyOf" in node:
        yield place, [None]
    if "properties" in inner:
        for key, of_key in inner["properties"].items():
            yield from _others(of_key, value.get(key, of_key.get("default")), (*place, key))
    elif "additionalProperties" in inner:
        for key in value:
            yield place, [{other: value[other] for other in value if other != key}]
            yield from _others(inner["additionalProperties"], value[key], (*place, key))
        for key in _GIVEN["keys"].get(_dotted(place), ()):
            if key not in value:
                for samples in _either(inner["additionalProperties"], (*place, key)):
                    yield place, [{**value, key: sample} for sample in samples]
    elif "items" in inner:
        if value:
            yield place, [value[:-1]]
            yield from _others(inner["items"], value[0], (*place, 0))
        for samples in _either(inner["items"], (*place, len(value))):
            yield place, [[*value, sample] for sample in samples if sample not in value]
    elif "enum" in inner or inner.get("type") == "boolean":
        yield from ((place, [other]) for other in inner.get("enum", (True, False)) if other != value)
    elif inner.get("type") == "integer":
        yield place, [other for other in (2 * value, value + 1, value - 1) if other != value]
    elif amount := _AMOUNT.fullmatch(value):
        yield from ((place, [f"{other}{amount[2]}"]) for other in (int(amount[1]) // 2, 2 * int(amount[1])))
    else:
        yield place, [sample for sample in _samples(node, place) if sample != value]


def _either(node: Data, place: Place) -> Iterator[list[Any]]:
    """Values of a node of the schema: each group of keys, and one of all the others."""
    samples = [sample for sample in _samples(node, place) if sample is not None]
    yield from ([sample] for sample in samples if isinstance(sample, dict))
    yield [sample for sample in samples if not isinstance(sample, dict)]


def _samples(node: Data, place: Place) -> Iterator[Any]:
    """Values of a node of the schema."""
    name, inner = _resolved(node)
    if "properties" in inner:
        other = (_at(engine.stack_settings(stack), place) for stack in _STACKS)
        yield from _GIVEN["groups"].get(name) or [next(filter(None, other), None)]
        yield {key: next(_samples(one, (*place, key)), None) for key, one in inner["properties"].items()}
    elif "additionalProperties" in inner:
        yield {}
    elif "items" in inner:
        yield from ([sample] for sample in _samples(inner["items"], (*place, 0)))
    elif inner.get("type") == "integer":
        yield max(inner.get("minimum", 0), 2)
    elif inner.get("type") == "boolean":
        yield True
    elif "const" in inner or "enum" in inner:
        yield from inner.get("enum", [inner.get("const")])
    else:
        key = next(key for key in reversed(place) if isinstance(key, str))
        texts = (text.replace("{key}", _NO_NAME.sub("-", key)) for text in _GIVEN["texts"])
        yield from (text for text in texts if re.fullmatch(inner.get("pattern", ".*"), text))
