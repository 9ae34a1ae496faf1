"""What a stack is deployed with, and its passwords: the state as ``pulumi stack export`` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi
from ops.permissions.passwords import Passwords
from policy.analyze import PolicyInputError, opened, resources
from policy.model import Resource

PASSWORD: Final = "random:index/randomPassword:RandomPassword"  # noqa: S105  (a type token)
_LIMIT_S: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployed stack; its resources hold secrets.

    Attributes:
        resources: What the program asked for.
        passwords: Passwords that the program made, and others that it was told.
    """

    resources: Sequence[Resource]
    passwords: Passwords

    def __repr__(self) -> str:
        return f"Deployed({len(self.resources)} resources, {len(self.passwords)} passwords)"


def export(others: Iterable[str] = (), cwd: Path = PROJECT, stack: str = "") -> Deployed:
    """Export a stack's state with its secrets; nothing of it is written to a file.

    Args:
        others: Passwords that other stacks made.
        cwd: Folder of the project.
        stack: Its name; empty for the selected one.

    Raises:
        OpsError: No ``pulumi``, no stack, no answer in time, or no state.
    """
    arguments = ["stack", "export", "--show-secrets", "--non-interactive", *(["--stack", stack] if stack else [])]
    done = run_pulumi(cwd, *arguments, limit_s=_LIMIT_S)
    if done.returncode != 0:
        raise OpsError(f"cannot export the stack's state: {one_line(done.stderr.decode(errors='replace'))}")
    try:
        return deployed(json.loads(done.stdout), others)
    except ValueError:
        raise OpsError("`pulumi stack export` did not print JSON") from None


def deployed(state: Any, others: Iterable[str] = ()) -> Deployed:
    """Read an exported state.

    Raises:
        OpsError: It is none.
    """
    try:
        stack_resources = resources(state, "the stack's state")
    except PolicyInputError as error:
        raise OpsError(str(error)) from None
    hashes: dict[str, str] = {}
    for entry in state["deployment"]["resources"]:
        outputs: Mapping[str, Any] = opened(entry.get("outputs") or {}) if entry.get("type") == PASSWORD else {}
        if isinstance(outputs.get("bcryptHash"), str) and isinstance(outputs.get("result"), str):
            hashes[outputs["bcryptHash"]] = outputs["result"]
    return Deployed(resources=stack_resources, passwords=Passwords(hashes, others))
