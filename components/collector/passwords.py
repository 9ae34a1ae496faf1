"""Password files that a collector checks its clients against."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import bcrypt

_COST = 4
"""The usual cost of 10 is 60 ms of processor time for each wrong password, and for each scrape, which nothing
remembers. Cost slows the guessing of weak passwords down; ours are 32 random characters, which nobody guesses at any
cost."""


def htpasswd(passwords: Mapping[str, str]) -> str:
    """An htpasswd file of user name -> password.

    The salt follows from user and password, so that the same input gives the same file (and no roll of the pods).
    """
    return "".join(f"{user}:{_hash(user, password)}\n" for user, password in sorted(passwords.items()))


def _hash(user: str, password: str) -> str:
    salt = hashlib.sha256(f"htpasswd\0{user}\0{password}".encode()).digest()[:16]
    encoded = base64.b64encode(salt).decode().rstrip("=")
    standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return bcrypt.hashpw(
        password.encode(), f"$2b${_COST:02d}${encoded.translate(str.maketrans(standard, own))}".encode()
    ).decode()
