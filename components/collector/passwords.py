"""Password files that a collector checks its clients against."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import bcrypt
import pulumi

from components.contracts import Credential

_COST = 4
"""The usual cost of 10 takes 64 times the processor time for each wrong password, and for each scrape, which nothing
remembers. It slows the guessing of weak passwords down; ours are 32 random characters, which nobody guesses at any
cost."""


def htpasswd(passwords: Mapping[str, str], former: Mapping[str, str] = MappingProxyType({})) -> str:
    """An htpasswd file.

    The salt follows from user and password, so that the same input gives the same file (and no roll of the pods).

    Args:
        passwords: User name -> password.
        former: User name -> a second password that is taken as well, which comes after the user's other one; only the
            extension ``login`` knows what that means.
    """
    return "".join(
        f"{user}:{_hash(user, password)}\n" for group in (passwords, former) for user, password in sorted(group.items())
    )


def client_file(users: Iterable[Credential], former: Iterable[Credential] = ()) -> pulumi.Output[str]:
    """The htpasswd file of users, and of the passwords that some of them had before."""
    given, before = ({user.username: user.password for user in group} for group in (users, former))
    return pulumi.Output.all(given, before).apply(lambda both: htpasswd(*both))


def _hash(user: str, password: str) -> str:
    salt = hashlib.sha256(f"htpasswd\0{user}\0{password}".encode()).digest()[:16]
    encoded = base64.b64encode(salt).decode().rstrip("=")
    standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return bcrypt.hashpw(
        password.encode(), f"$2b${_COST:02d}${encoded.translate(str.maketrans(standard, own))}".encode()
    ).decode()
