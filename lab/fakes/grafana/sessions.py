"""Sessions and wrong passwords, both in PostgreSQL, so that every replica knows them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final

from lab.fakes.grafana.database import Db
from lab.fakes.grafana.settings import LoginSettings
from lab.fakes.grafana.users import User, of_row

_WINDOW: Final = timedelta(minutes=5)
_NOTED: Final = timedelta(minutes=1)
_LONGEST_LOGIN: Final = 190


class Sessions:
    """Tokens in cookies; only a keyed hash of one is stored."""

    def __init__(self, settings: LoginSettings) -> None:
        """Make and take sessions as the settings say."""
        self._settings = settings
        self._noted = min(_NOTED, settings.inactive / 4)

    def start(self, db: Db, person: User, client_ip: str) -> str:
        """Begin a session; returns the header of its cookie."""
        self._tidy(db)
        token = secrets.token_hex(32)
        db.execute(
            "INSERT INTO sessions (token_hash, person_id, client_ip) VALUES (%s, %s, %s)",
            (self._hash(token), person.id, client_ip),
        )
        return self._cookie(token, int(self._settings.longest.total_seconds()))

    def person(self, db: Db, cookies: str) -> User | None:
        """Whose session the cookies hold, if it is still alive and the account is not disabled."""
        token = self._token(cookies)
        if not token:
            return None
        row = db.execute(
            "SELECT users.*, sessions.seen < now() - %s AS quiet FROM sessions JOIN users ON users.id = person_id "
            "WHERE token_hash = %s AND sessions.created > now() - %s AND sessions.seen > now() - %s AND NOT disabled",
            (self._noted, self._hash(token), self._settings.longest, self._settings.inactive),
        ).fetchone()
        if row is None:
            return None
        if row["quiet"]:
            db.execute("UPDATE sessions SET seen = now() WHERE token_hash = %s", (self._hash(token),))
            db.execute("UPDATE users SET seen = now() WHERE id = %s", (row["id"],))
        return of_row(row)

    def end(self, db: Db, cookies: str) -> str:
        """End the session of the cookies; returns the header that removes the cookie."""
        token = self._token(cookies)
        if token:
            db.execute("DELETE FROM sessions WHERE token_hash = %s", (self._hash(token),))
        return self._cookie("", 0)

    def given(self, cookies: str) -> bool:
        """Whether the cookies hold a session's token, alive or not."""
        return bool(self._token(cookies))

    def _tidy(self, db: Db) -> None:
        db.execute(
            "DELETE FROM sessions WHERE created < now() - %s OR seen < now() - %s",
            (self._settings.longest, self._settings.inactive),
        )

    def _token(self, cookies: str) -> str:
        try:
            morsel = SimpleCookie(cookies).get(self._settings.cookie)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    def _hash(self, token: str) -> bytes:
        return hmac.digest(self._settings.secret_key.encode(), token.encode("utf-8", "replace"), hashlib.sha256)

    def _cookie(self, token: str, life_s: int) -> str:
        return (
            f"{self._settings.cookie}={token}; Path=/; Max-Age={life_s}; Secure; HttpOnly; "
            f"SameSite={self._settings.same_site}"
        )


class Attempts:
    """Wrong passwords by login; too many in five minutes block it."""

    def __init__(self, settings: LoginSettings) -> None:
        """Count as the settings say."""
        self._settings = settings

    def blocked(self, db: Db, login: str) -> bool:
        """Whether a login must wait."""
        if not self._settings.brute_force:
            return False
        row = db.execute(
            "SELECT count(*) AS wrong FROM login_attempts WHERE login = %s AND made > now() - %s",
            (_key(login), _WINDOW),
        ).fetchone()
        return row is not None and row["wrong"] >= self._settings.attempts

    def wrong(self, db: Db, login: str, client_ip: str) -> None:
        """Note a wrong password."""
        db.execute("DELETE FROM login_attempts WHERE made < now() - %s", (_WINDOW,))
        db.execute("INSERT INTO login_attempts (login, client_ip) VALUES (%s, %s)", (_key(login), client_ip))

    def right(self, db: Db, login: str) -> None:
        """Forget the wrong ones."""
        db.execute("DELETE FROM login_attempts WHERE login = %s", (_key(login),))


def _key(login: str) -> str:
    return login.strip().lower()[:_LONGEST_LOGIN].replace("\0", "")
