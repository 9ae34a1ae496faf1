"""Reads the reviewed files of the catalogue as plain data: ``thresholds.yaml`` and those in ``registry/``.

The lab's simulator reads them in a pod, where there is no pydantic. So the schemas are not asked here: they judge the
files when `components.telemetry.thresholds` or `components.telemetry.registry` is imported, and explain what
`explaining` could not read.
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
REGISTRY_PATH = Path(__file__).with_name("registry")
REGISTRY_NAME = "components/telemetry/registry"


class CatalogueError(ValueError):
    """The catalogue cannot be used; the message has one line per mistake."""


class _OnceLoader(yaml.CSafeLoader):
    """YAML in which a key that occurs twice is a mistake, and not the last one's victory."""

    file = NAME

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                line = key.start_mark.line + 1
                raise CatalogueError(
                    f"{self.file}: line {line}: key {name!r} occurs twice: allowed is once; remove one"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse(text: str, file: str = NAME) -> dict[str, Any]:
    """What YAML makes of a file's text.

    Args:
        text: The file's content.
        file: What a message calls the file.

    Raises:
        CatalogueError: It is no YAML, no group of keys, or has a key twice.
    """
    loader = type("_NamedLoader", (_OnceLoader,), {"file": file})
    try:
        content = yaml.load(text, loader)  # noqa: S506  (a safe loader, only stricter)
    except yaml.YAMLError as error:
        raise CatalogueError(f"{file}: is not YAML ({' '.join(str(error).split())}); correct it") from None
    if not isinstance(content, dict):
        raise CatalogueError(f"{file}: is {type(content).__name__}: allowed is a group of keys; see the file's history")
    return content


@functools.cache
def content() -> dict[str, Any]:
    """The file as plain data.

    Raises:
        CatalogueError: It is no YAML, no group of keys, or has a key twice.
    """
    return parse(PATH.read_text(encoding="utf-8"))


@functools.cache
def registry_content(name: str) -> dict[str, Any]:
    """A file of the registry as plain data.

    Args:
        name: Its name, without its ending.

    Raises:
        CatalogueError: It is no YAML, no group of keys, or has a key twice.
    """
    return parse((REGISTRY_PATH / f"{name}.yaml").read_text(encoding="utf-8"), f"{REGISTRY_NAME}/{name}.yaml")


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
    """While files are read without their schemas: has the schemas explain what could not be read.

    Raises:
        CatalogueError: A file is wrong; one line per mistake.
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
