"""What a stack is deployed with, and its passwords: the state as ``pulumi stack export`` writes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components.collector.pods import htpasswd
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi
from policy.analyze import PolicyInputError, opened, resources
from policy.model import Resource

_SCRAM = "SCRAM-SHA-256$"


class Passwords:
    """Passwords of a platform, found by what servers keep of them.

    Args:
        hashes: bcrypt hash -> its password, as far as known.
        others: Further passwords.
    """

    def __init__(self, hashes: Mapping[str, str], others: Iterable[str] = ()) -> None:
        self._hashes = dict(hashes)
        self._all = tuple(dict.fromkeys([*self._hashes.values(), *others]))
        self._htpasswd: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._all)

    def of(self, user: str, verifier: str) -> str | None:
        """The password of a user; None where no known one fits.

        Args:
            user: Its name.
            verifier: bcrypt hash (ours, or the same with Elasticsearch's older prefix), ``sha256:<salt>:<hash>``,
                ``plain:<password>``, or a SCRAM verifier of PostgreSQL.
        """
        if verifier.startswith("plain:"):
            return verifier.removeprefix("plain:")
        if verifier.startswith("sha256:"):
            _, salt, wanted = verifier.split(":")
            return self._first(lambda password: hashlib.sha256(f"{salt}:{password}".encode()).hexdigest() == wanted)
        if verifier.startswith(_SCRAM):
            return self._first(lambda password: fits_scram(verifier, password))
        hashed = "$2b$" + verifier.removeprefix("$2a$") if verifier.startswith("$2a$") else verifier
        return self._hashes.get(hashed) or self._first(lambda password: self._in_htpasswd(user, password) == hashed)

    def _first(self, fits: Callable[[str], bool]) -> str | None:
        return next((password for password in self._all if fits(password)), None)

    def _in_htpasswd(self, user: str, password: str) -> str:
        """The hash in the files that collectors read: its salt follows from user and password."""
        login = user, password
        if login not in self._htpasswd:
            self._htpasswd[login] = htpasswd({user: password}).rstrip("\n").partition(":")[2]
        return self._htpasswd[login]


def fits_scram(verifier: str, password: str) -> bool:
    """Whether a password is the one of a SCRAM verifier of PostgreSQL (RFC 5803)."""
    parameters, keys = verifier.removeprefix(_SCRAM).split("$")
    iterations, salt = parameters.split(":")
    stored = base64.b64decode(keys.split(":")[0])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client).digest(), stored)


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
