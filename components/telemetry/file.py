"""Reads ``thresholds.yaml``, the reviewed file with thresholds, objectives and further services, as plain data.

The lab's simulator reads it in a pod, where there is no pydantic. So the schema is not asked here: it judges the file
when `components.telemetry.thresholds` is imported, and explains what `explaining` could not read.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).with_name("thresholds.yaml")
NAME = "components/telemetry/thresholds.yaml"


class CatalogueError(ValueError):
    """The catalogue cannot be used; the message has one line per mistake."""


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a key that occurs twice is a mistake, and not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                line = key.start_mark.line + 1
                raise CatalogueError(f"{NAME}: line {line}: key {name!r} occurs twice: allowed is once; remove one")
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse(text: str) -> dict[str, Any]:
    """What YAML makes of the file's text.

    Raises:
        CatalogueError: It is no YAML, no group of keys, or has a key twice.
    """
    try:
        content = yaml.load(text, _OnceLoader)  # noqa: S506  (a safe loader, only stricter)
    except yaml.YAMLError as error:
        raise CatalogueError(f"{NAME}: is not YAML ({' '.join(str(error).split())}); correct it") from None
    if not isinstance(content, dict):
        raise CatalogueError(f"{NAME}: is {type(content).__name__}: allowed is a group of keys; see the file's history")
    return content


@functools.cache
def content() -> dict[str, Any]:
    """The file as plain data.

    Raises:
        CatalogueError: It is no YAML, no group of keys, or has a key twice.
    """
    return parse(PATH.read_text(encoding="utf-8"))


def text(value: object) -> str:
    """A text of the file.

    Raises:
        TypeError: YAML reads something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """While the file is read without its schema: has the schema explain what could not be read.

    Raises:
        CatalogueError: The file is wrong; one line per mistake.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError):
        with contextlib.suppress(ModuleNotFoundError):
            from components.telemetry.schema import judge

            outcome = judge(content())
            if isinstance(outcome, list):
                raise refusal(outcome) from None
        raise


def refusal(lines: list[str]) -> CatalogueError:
    """The error about a file with mistakes, one line each."""
    return CatalogueError("\n".join(f"{NAME}: {line}" for line in lines))
