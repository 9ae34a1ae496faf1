"""Settings of the identity fake, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.collector.config import TLS_DIRECTORY

PORT = 5556
METRICS_PORT = 8080
CONFIG_DIRECTORY = "/etc/identity"
ACCOUNTS_DIRECTORY = "/etc/identity-accounts"
METRICS_PASSWORD = f"{ACCOUNTS_DIRECTORY}/metrics-password"
TOKEN_LIFE_S = 3600


@dataclass(frozen=True, kw_only=True)
class FakeUser:
    """Somebody who can sign in at the fake: a name, a mail address and groups; the password is made."""

    name: str
    email: str
    groups: tuple[str, ...]


def settings(issuer: str, metrics_user: str) -> dict[str, Any]:
    """The public settings file."""
    return {
        "issuer": issuer,
        "listen": f"0.0.0.0:{PORT}",
        "tls": {"cert_file": f"{TLS_DIRECTORY}/tls.crt", "key_file": f"{TLS_DIRECTORY}/tls.key"},
        "accounts_file": f"{ACCOUNTS_DIRECTORY}/accounts.json",
        "token_life_s": TOKEN_LIFE_S,
        "metrics": {
            "listen": f"0.0.0.0:{METRICS_PORT}",
            "user": metrics_user,
            "password_file": METRICS_PASSWORD,
        },
    }


def login_client(secret: str, redirects: Sequence[str]) -> dict[str, Any]:
    """A client that users sign in to."""
    return {"secret": secret, "redirects": list(redirects), "groups": [], "audiences": []}


def tool_client(secret: str, groups: Sequence[str], audiences: Sequence[str]) -> dict[str, Any]:
    """A program that signs in itself and acts as a member of ``groups``."""
    return {"secret": secret, "redirects": [], "groups": list(groups), "audiences": list(audiences)}


def accounts(
    users: Sequence[FakeUser], hashes: Mapping[str, str], clients: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The secret file with users (password hashes) and clients."""
    return {
        "users": {
            user.name: {"password_hash": hashes[user.name], "email": user.email, "groups": list(user.groups)}
            for user in users
        },
        "clients": {name: dict(client) for name, client in clients.items()},
    }
