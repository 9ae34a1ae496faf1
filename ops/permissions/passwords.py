"""Which password belongs to a user, of those that a platform has: servers store something else in its place."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from components.collector.passwords import htpasswd

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
