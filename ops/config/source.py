"""Where a stack's configuration comes from: Pulumi, which decrypts it, or a stack file as it is; and the generations of
passwords in it: one, or two with the newer one first while clients change over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ops.core import pulumi
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi, selected_stack

_LIMIT_S = 60
_FILE = re.compile(r"Pulumi\.([A-Za-z0-9_.-]+)\.yaml")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The configuration of a stack.

    Attributes:
        stack: Its name.
        values: Key with its namespace -> value; what is no text is JSON, as Pulumi hands it to a program.
        encrypted: Keys whose value is there and cannot be read here.
    """

    stack: str
    values: Mapping[str, str]
    encrypted: frozenset[str] = frozenset()


def of_file(path: Path) -> Configuration:
    """Read a stack file; its encrypted values stay closed.

    Raises:
        OpsError: It is no stack file.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        raise OpsError(f"--file is {path}: name a file Pulumi.NAME.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OpsError(f"{path} cannot be read: {one_line(error, 200)}") from None
    values = content.get("config") if isinstance(content, Mapping) else None
    if values is not None and not isinstance(values, Mapping):
        raise OpsError(f"{path}: config is no group of keys")
    given: Mapping[str, Any] = values or {}
    encrypted = frozenset(
        key for key, value in given.items() if isinstance(value, Mapping) and set(value) == {"secure"}
    )
    plain = {key: _text(value) for key, value in given.items() if key not in encrypted and value is not None}
    return Configuration(stack=named[1], values=plain, encrypted=encrypted)


def of_stack(stack: str = "", cwd: Path = PROJECT) -> Configuration:
    """The configuration of a stack, of the selected one if none is named, from Pulumi.

    Raises:
        OpsError: No ``pulumi``, no stack, or its secrets cannot be decrypted.
    """
    chosen = ["--stack", stack] if stack else []
    name = stack or selected_stack(cwd)
    answer = _run(cwd, "config", "--json", "--show-secrets", *chosen)
    try:
        entries = json.loads(answer or "{}")
        values = {key: str(entry["value"]) for key, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError("`pulumi config --json` printed something else than a configuration") from None
    return Configuration(stack=name.rpartition("/")[2], values=values)


def _run(cwd: Path, *arguments: str) -> str:
    done = run_pulumi(cwd, *arguments, "--non-interactive", limit_s=_LIMIT_S)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("error:")), (lines or ["no reason given"])[0])
        raise OpsError(
            f"`pulumi {' '.join(arguments[:2])}` failed: {one_line(reason.removeprefix('error:'))}: select a stack, or "
            "name a file with --file"
        )
    return done.stdout.decode()


def _text(value: Any) -> str:
    """A value as a program gets it."""
    return value if isinstance(value, str) else json.dumps(value)


ALLOWED: Final = "one whole number from 1 on, or two with the newer one first, such as [2, 1]"

Generations = tuple[int, ...]


def settings(stack: str = "") -> Mapping[str, Any]:
    """The settings of a stack's file; empty stack: the selected one.

    Raises:
        OpsError: It cannot be read.
    """
    given: Any = json.loads(of_stack(stack).values.get(pulumi.SETTINGS_KEY, "null"))
    return given if isinstance(given, Mapping) else {}


def written(given: Mapping[str, Any], group: str, key: str) -> Generations:
    """The generations that a stack's file has under ``settings.<group>.<key>``; the first one where there are none.

    Raises:
        OpsError: There is no such group, or these are none.
    """
    named = given.get(group)
    if not isinstance(named, Mapping):
        raise OpsError(f"the stack's file has no settings.{group}: run `ops config check`")
    numbers: Any = named.get(key, [1])
    if (
        not isinstance(numbers, list)
        or not 0 < len(numbers) <= 2
        or not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
    ):
        raise OpsError(f"settings.{group}.{key} is {numbers!r}: allowed is {ALLOWED}; correct it")
    return tuple(numbers)


def check(key: str, current: Generations, deployed: Generations, wanted: Generations) -> bool:
    """Whether the stack's file has what is wanted already: an update was interrupted, or is still to come.

    Args:
        key: The setting, as it is told.
        current: Its generations.
        deployed: Those of the stack's outputs.
        wanted: Those to come.

    Raises:
        OpsError: It has neither, nor what an interrupted command leaves.
    """
    newest = deployed[0]
    if current not in (deployed, wanted, (newest, newest)):
        allowed = " or ".join(str(list(generations)) for generations in dict.fromkeys((deployed, wanted)))
        raise OpsError(f"{key} is {list(current)}, and {list(deployed)} is deployed: allowed is {allowed}; correct it")
    return current == wanted != deployed
