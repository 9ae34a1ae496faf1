"""Tables of what is agreed on, and settings of files against them: one with another value is a finding. Mounts are such
settings: a program reads a file under the name by which rules know it, and no mount hides another one's.

``policy/agreed.yaml`` and ``policy/settings`` are written by hand; ``policy/alerts.yaml`` and ``policy/rights.yaml``
from what is rendered.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import yaml

from policy.model import Finding, Node, Resource
from policy.rules._servers import Container
from policy.rules._values import finding, seconds, shown, written

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
    """Alert -> priority, longest hold and interval in seconds, metrics that it reads, what every stack has it with; the
    expressions of those that keep more urgent ones quiet.

    Escalations are none of them: they follow from the alert that is escalated.
    """
    return _read(ALERTS_FILE)


@functools.cache
def agreed_rights() -> Mapping[str, Mapping[str, Any]]:
    """Kind of right -> who has it -> what it is; and what the gate's catalogue protects."""
    return _read(RIGHTS_FILE)


def _read(file: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return content


def fits(text: str, patterns: Sequence[str]) -> bool:
    """Whether a text is one of the patterns."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def unknown_keys(resource: Resource, node: Node, patterns: Sequence[str]) -> Iterator[Finding]:
    """Keys of a section that no pattern has."""
    for key, setting in node.items():
        if not fits(key, patterns):
            yield finding(resource, setting, f"{key} is not agreed on", ADD)


FOLDER: Final = Path(__file__).parents[1] / "settings"
_BOUNDS: Final = frozenset({"least", "most", "is", "needed", "holds"})
_LIST: Final = ".-"
"""Stands in paths for every element of a list."""


@dataclass(frozen=True)
class Setting:
    """What was agreed on for the settings of one path.

    Attributes:
        values: Patterns, of which a value fits one; any value where there are neither these nor bounds.
        least: Lowest number, or shortest time in seconds.
        most: Highest number, or longest time in seconds.
        needed: Whether it must be there wherever the section around it is.
        holds: Elements that a list must have, or keys of a section that have dots themselves.
    """

    values: tuple[str, ...]
    least: float | None
    most: float | None
    needed: bool
    holds: tuple[str, ...] = ()

    def fits(self, text: str) -> bool:
        """Whether a value is agreed on."""
        if any(fnmatchcase(text, pattern) for pattern in self.values):
            return True
        if self.least is None and self.most is None:
            return not self.values
        amount = _amount(text)
        low = self.least if self.least is not None else float("-inf")
        high = self.most if self.most is not None else float("inf")
        return amount is not None and low <= amount <= high

    def wish(self) -> str:
        """What a value may be, in words."""
        bounds = [f"at least {self.least:g}"] if self.least is not None else []
        bounds += [f"at most {self.most:g}"] if self.most is not None else []
        return " or ".join(filter(None, [", ".join(self.values), " and ".join(bounds)])) or "anything"


class Table:
    """The settings of one kind of file."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self._file = f"policy/settings/{name}.yaml"
        self._settings = {path: _setting(given) for path, given in content.items()}
        self._patterns = [(_pattern(path), path) for path in self._settings if "*" in path]
        self._needed: dict[str, list[str]] = {}
        for path, setting in self._settings.items():
            if setting.needed:
                section, _, key = path.rpartition(".")
                self._needed.setdefault(section, []).append(key)
        self._needy = [(_pattern(section), keys) for section, keys in self._needed.items()]
        self._setting = functools.lru_cache(maxsize=4096)(self._looked_up)
        self._keys = functools.lru_cache(maxsize=4096)(self._needed_in)

    def findings(self, resource: Resource, node: Node, path: str = "") -> Iterator[Finding]:
        """What is not agreed on in a file, or in a part of it that the table calls ``path``."""
        yield from self._at(resource, node, path)

    def missing(self, resource: Resource, node: Node, path: str) -> Iterator[Finding]:
        """What a section must have and has not; what is not known yet is there."""
        for key in self._keys(path):
            if node[key].raw in (None, []):
                yield finding(resource, node[key], f"{key} is not set", f"set it as in {self._file}")

    def _at(self, resource: Resource, node: Node, path: str) -> Iterator[Finding]:
        value = node.value
        if isinstance(value, Mapping) and (value or self._keys(path)):
            yield from self.missing(resource, node, path)
            yield from self._holding(resource, node, path, list(value))
            for key, inner in node.items():
                yield from self._at(resource, inner, f"{path}.{key}" if path else key)
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            yield from self._holding(resource, node, path, node.texts())
            for inner in node.elements():
                yield from self._at(resource, inner, path + _LIST)
        elif node.exists:
            yield from self._leaf(resource, node, path)

    def _holding(self, resource: Resource, node: Node, path: str, there: Sequence[str]) -> Iterator[Finding]:
        setting = self._settings.get(path)
        for name in sorted({*setting.holds} - {*there}) if setting else ():
            yield finding(resource, node, f"{path} has no {name}", f"add it, as in {self._file}")

    def _leaf(self, resource: Resource, node: Node, path: str) -> Iterator[Finding]:
        add = f"remove it, or have it agreed on in {self._file}"
        setting = self._setting(path)
        if setting is None and node.value in ({}, []) and self._sections(path):
            return
        if setting is None:
            yield finding(resource, node, f"{path} is not agreed on", add)
        elif not setting.fits(written(node.value)):
            yield finding(resource, node, f"{path} {shown(node)}, and {setting.wish()} was agreed on", add)

    def _looked_up(self, path: str) -> Setting | None:
        if path in self._settings:
            return self._settings[path]
        return next((self._settings[name] for pattern, name in self._patterns if pattern.fullmatch(path)), None)

    def _sections(self, path: str) -> bool:
        """Whether something below a path is agreed on, so that it may be empty."""
        return any(known.startswith(f"{path}.") for known in self._settings)

    def _needed_in(self, path: str) -> list[str]:
        return [key for section, keys in self._needy if section.fullmatch(path) for key in keys]


@functools.cache
def table(name: str) -> Table:
    """A table of ``policy/settings``."""
    return Table(name, yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader))


def _pattern(path: str) -> re.Pattern[str]:
    """Paths of a table: ``*`` stands for one key or a part of it, ``**`` for any number of keys."""
    return re.compile(
        "".join({"**": ".*", "*": "[^.]*"}.get(part, re.escape(part)) for part in re.split(r"(\*+)", path))
    )


def _setting(given: Any) -> Setting:
    bounded = given if isinstance(given, Mapping) else {"is": given}
    if not bounded.keys() <= _BOUNDS:
        raise ValueError(f"{sorted(bounded.keys() - _BOUNDS)} says nothing about a setting")
    values = bounded.get("is", ())
    listed = values if isinstance(values, list) else [values] if values != () else []
    patterns = () if listed == ["*"] else tuple(map(written, listed))
    needed, holds = bool(bounded.get("needed")), tuple(bounded.get("holds", ()))
    return Setting(patterns, _bound(bounded, "least"), _bound(bounded, "most"), needed, holds)


def _bound(given: Mapping[str, Any], key: str) -> float | None:
    return _amount(written(given[key])) if key in given else None


def _amount(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return seconds(text)


def unagreed_volumes(resource: Resource, pod: Node) -> Iterator[Finding]:
    """Files of a pod that it has under other names, or may lack."""
    for source in (source for volume in pod["volumes"].elements() for source in _sources(volume)):
        for item in source["items"].elements():
            yield from _renamed(resource, item["path"], item["key"].text(), item["path"].text())
        held = source["name"].text() or source["secretName"].text()
        if source["optional"].value and held not in agreed()["optional_files"]:
            yield finding(resource, source["optional"], f"the program may start without the files of {held}", ADD)


def _sources(volume: Node) -> Iterator[Node]:
    for holder in (volume, *volume["projected"]["sources"].elements()):
        yield from (holder["configMap"], holder["secret"])


def unagreed_mounts(container: Container) -> Iterator[Finding]:
    """Mounts of a container that hide what another one has at a path, or bring a file under the name of another."""
    resource, mounts = container.resource, list(container.node["volumeMounts"].elements())
    scratch = {volume["name"].text() for volume in container.pod["volumes"].elements() if volume["emptyDir"].exists}
    for mount in mounts:
        path, part = mount["mountPath"], mount["subPath"]
        if mount["name"].text() in scratch and not fits(path.text(), agreed()["scratch_paths"]):
            yield finding(resource, path, f"what the program reads at {path.text()} is empty scratch space", ADD)
        if part.text():
            yield from _renamed(resource, part, part.text(), path.text())
    for pair in combinations(mounts, 2):
        outer, inner = sorted(pair, key=lambda mount: len(_place(mount)))
        if _place(inner) == _place(outer) or (_within(inner, outer) and outer["name"].text() not in scratch):
            problem = f"the mount at {_place(inner)} hides what the one at {_place(outer)} has there"
            yield finding(resource, inner["mountPath"], problem, "mount them at paths of which none is in the other")


def _place(mount: Node) -> str:
    return posixpath.normpath(mount["mountPath"].text())


def _within(inner: Node, outer: Node) -> bool:
    return _place(inner).startswith(f"{_place(outer).rstrip('/')}/")


def _renamed(resource: Resource, where: Node, name: str, path: str) -> Iterator[Finding]:
    if posixpath.basename(name) != posixpath.basename(posixpath.normpath(path)):
        problem = f"the program reads {path}, and rules {name}: they are the same file"
        yield finding(resource, where, problem, "give the file the name by which the program reads it")
