"""The identity provider as a part of the lab: its files, its process, and the secrets that the stack gets from it."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import requests
import yaml

from components.login_proxy import callback_url, login_url
from lab import LabError, key_files
from lab.cluster import network
from lab.cluster.network import IDENTITY_PORT, RECEIVERS, Daemon, fingerprint, wait_until
from lab.fakes.receivers import settings as receivers
from lab.paths import CHECKOUT, LabPaths
from ops.core.files import write_private

URL = f"https://{RECEIVERS}:{IDENTITY_PORT}"
CLIENT, TOOL = "jaeger", "ops"
"""Clients: of the trace queries, and of the command line tools."""
PEOPLE = {
    "visitor": ("traces-public",),
    "developer": ("traces-internal", "metrics-readers"),
    "investigator": ("traces-confidential", "metrics-readers", "alerts-operators"),
}
"""Who can sign in -> groups; the last one is in every group that lets anybody in."""
_TOOL_GROUPS = PEOPLE["investigator"]
_STACK_FILES = ("Pulumi.local.yaml", "Pulumi.local-dr.yaml")
_SOURCES = ("lab/fakes/identity/*.py", "services/runtime/*.py")
_CERTIFICATES, _SECRETS, _CONFIG, _MADE_FROM = "pki", "secrets.json", "config.json", "made-from"
_READY_LIMIT_S = 30


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens the identity provider.

    Attributes:
        people: Person -> password.
        client_secret, tool_secret: Of `CLIENT` and `TOOL`.
    """

    people: dict[str, str] = field(default_factory=lambda: {name: _password() for name in PEOPLE})
    client_secret: str = field(default_factory=_password)
    tool_secret: str = field(default_factory=_password)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [*self.people.values(), self.client_secret, self.tool_secret]


def folder(paths: LabPaths) -> Path:
    """Folder of the identity provider in a lab's state."""
    return paths.state / "identity"


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    command = [sys.executable, "-m", "lab.fakes.identity", "--config", str(folder(paths) / _CONFIG)]
    return Daemon("identity", [*network.enter(paths.netns), *command], paths.state, {"PYTHONPATH": str(CHECKOUT)})


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing, and end a process that runs other code or settings than the present ones.

    Raises:
        LabError: The file of its secrets is not whole.
    """
    place, authority = folder(paths), receivers.folder(paths) / receivers.CERTIFICATES
    key_files.create_authority(authority)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_files.issue(authority, place / _CERTIFICATES, "identity", RECEIVERS)
    known = key_files.load_or_make(Secrets, place / _SECRETS, "the identity provider")
    wanted, mark = _made_from(known), place / _MADE_FROM
    if mark.exists() and mark.read_text() == wanted:
        return
    daemon(paths).stop()
    mark.unlink(missing_ok=True)
    write_private(place / _CONFIG, json.dumps(settings(place / _CERTIFICATES, known), indent=1).encode() + b"\n")
    mark.write_text(wanted)


def settings(certificate: Path, known: Secrets) -> dict[str, Any]:
    """Content of the fake's settings file.

    Args:
        certificate: Folder of its certificate and key.
        known: Passwords.
    """
    return {
        "issuer": URL,
        "host": RECEIVERS,
        "port": IDENTITY_PORT,
        "cert_file": str(certificate / key_files.CERTIFICATE),
        "key_file": str(certificate / key_files.KEY),
        "users": [
            {
                "name": name,
                "password_hash": bcrypt.hashpw(known.people[name].encode(), bcrypt.gensalt(10)).decode(),
                "email": f"{name}@example.com",
                "groups": list(groups),
            }
            for name, groups in PEOPLE.items()
        ],
        "clients": [
            {"client_id": CLIENT, "secret": known.client_secret, "redirects": redirects()},
            {"client_id": TOOL, "secret": known.tool_secret, "groups": list(_TOOL_GROUPS), "audiences": [CLIENT]},
        ],
    }


def redirects() -> list[str]:
    """Where the logins of the lab's stacks have people sent back to."""
    stacks = [
        yaml.safe_load((CHECKOUT / name).read_text())["config"]["observability:settings"] for name in _STACK_FILES
    ]
    hosts = [
        page["host"] for stack in stacks for page in (*stack["traces"]["queries"].values(), *stack["sign_in"].values())
    ]
    return [callback_url(login_url(host)) for host in dict.fromkeys(hosts)]


def wait_ready(paths: LabPaths) -> None:
    """Wait until the provider answers; works inside the lab's network namespace.

    Raises:
        LabError: It ended, or does not answer in time; the message carries the end of its log.
    """
    process = daemon(paths)

    def alive_and_answering() -> bool:
        if process.pid() is None:
            raise LabError(f"identity provider ended; log {process.log}:\n{process.tail()}")
        with contextlib.suppress(requests.RequestException), requests.Session() as session:
            session.trust_env = False
            session.verify = str(folder(paths) / _CERTIFICATES / key_files.AUTHORITY)
            return session.get(f"{URL}/healthz", timeout=2).ok
        return False

    wait_until(f"the identity provider to answer (log {process.log})", alive_and_answering, timeout_s=_READY_LIMIT_S)


def identity_secrets(paths: LabPaths) -> dict[str, Any]:
    """What the stack needs to sign people in: the value of the secret ``observability:identitySecrets``.

    Raises:
        LabError: The provider's files are not there: no lab.
    """
    known = _load(paths)
    return {
        "client_secret": known.client_secret,
        "tool_secret": known.tool_secret,
        "authority": authority(paths).read_text(),
    }


def authority(paths: LabPaths) -> Path:
    """File of who signs the provider's certificate."""
    return folder(paths) / _CERTIFICATES / key_files.AUTHORITY


def people(paths: LabPaths) -> dict[str, str]:
    """People of the provider -> password, for tests inside the lab.

    Raises:
        LabError: The provider's files are not there: no lab.
    """
    return dict(_load(paths).people)


def client_secret(paths: LabPaths) -> str:
    """Password of `CLIENT`, for tests inside the lab.

    Raises:
        LabError: The provider's files are not there: no lab.
    """
    return _load(paths).client_secret


def _load(paths: LabPaths) -> Secrets:
    return key_files.load(Secrets, folder(paths) / _SECRETS, "the identity provider")


def _made_from(known: Secrets) -> str:
    """What the process is made from; the hash of a password differs each time, so passwords stand here."""
    groups = (group for own in PEOPLE.values() for group in own)
    return fingerprint(" ".join([*known.all(), *redirects(), *groups]), _SOURCES)
