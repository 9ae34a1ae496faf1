"""People: their accounts, their sessions and wrong passwords (in PostgreSQL, so that every replica knows them), and
what they may do with folders and dashboards.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import bcrypt

from lab.fakes.grafana.database import Db, Row
from lab.fakes.grafana.directory import DirectoryPerson
from lab.fakes.grafana.settings import LoginSettings

LOCAL: Final = "local"
LDAP: Final = "ldap"
_ROUNDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody with an account.

    Attributes:
        id: Number of the account.
        uid: Its text.
        login: Login.
        name: Full name.
        email: Mail address.
        role: Viewer, Editor or Admin.
        server_admin: Whether they administrate the server: accounts of others.
        source: ``local`` or ``ldap``.
        created: Since when, ISO 8601.
        updated: Last change, ISO 8601.
    """

    id: int
    uid: str
    login: str
    name: str
    email: str
    role: str
    server_admin: bool
    source: str
    created: str = ""
    updated: str = ""

    @property
    def admin(self) -> bool:
        """Whether they may do everything in the organization."""
        return self.role == "Admin" or self.server_admin


def of_row(row: Row) -> User:
    """A person from a row of the table."""
    return User(
        id=row["id"],
        uid=row["uid"],
        login=row["login"],
        name=row["name"],
        email=row["email"],
        role=row["role"],
        server_admin=row["server_admin"],
        source=row["source"],
        created=moment(row["created"]),
        updated=moment(row["updated"]),
    )


def moment(value: Any) -> str:
    """A time as Grafana writes it, empty for none."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def new_uid() -> str:
    """An identifier that nobody has."""
    return secrets.token_hex(7)


def hashed(password: str) -> str:
    """Hash of a password."""
    return bcrypt.hashpw(_digest(password), bcrypt.gensalt(_ROUNDS)).decode()


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one of a stored hash."""
    return bool(stored) and bcrypt.checkpw(_digest(password), stored.encode())


def _digest(password: str) -> bytes:
    # bcrypt reads 72 bytes at most and stops at a zero byte.
    return base64.b64encode(hashlib.sha256(password.encode()).digest())


def ensure_administrator(db: Db, settings: LoginSettings) -> bool:
    """Make the local administrator at the first start; a later change of the setting changes no password.

    Returns:
        Whether it was made.
    """
    known = db.execute("SELECT 1 FROM users WHERE lower(login) = lower(%s)", (settings.admin_user,)).fetchone()
    if known:
        return False
    cursor = db.execute(
        "INSERT INTO users (uid, login, email, name, role, server_admin, source, password_hash) "
        "VALUES (%s, %s, %s, %s, 'Admin', true, %s, %s) ON CONFLICT DO NOTHING",
        (
            new_uid(),
            settings.admin_user,
            settings.admin_email,
            settings.admin_user,
            LOCAL,
            hashed(settings.admin_password),
        ),
    )
    return cursor.rowcount == 1


def find(db: Db, name: str) -> Row | None:
    """The account of a login or mail address."""
    return db.execute(
        "SELECT * FROM users WHERE lower(login) = lower(%(name)s) OR (email <> '' AND lower(email) = lower(%(name)s)) "
        "ORDER BY lower(login) = lower(%(name)s) DESC LIMIT 1",
        {"name": name},
    ).fetchone()


def by_id(db: Db, number: int) -> Row | None:
    """The account with that number."""
    return db.execute("SELECT * FROM users WHERE id = %s", (number,)).fetchone()


def synchronize(db: Db, directory_person: DirectoryPerson, *, sign_up: bool) -> User | None:
    """Write what the directory says about a person who just proved themselves.

    Returns:
        The account; none when there is no account and none may be made, or the login is the local administrator's.
    """
    row = db.execute("SELECT * FROM users WHERE lower(login) = lower(%s)", (directory_person.login,)).fetchone()
    if row and row["source"] == LOCAL and row["server_admin"]:
        return None
    if row is None and not sign_up:
        return None
    values = {
        "login": directory_person.login,
        "email": directory_person.email,
        "name": directory_person.name,
        "role": directory_person.role,
        "server_admin": directory_person.server_admin,
    }
    if row is None:
        # Two replicas may see somebody's first login at once.
        statement = (
            "INSERT INTO users (uid, login, email, name, role, server_admin, source) VALUES "
            "(%(uid)s, %(login)s, %(email)s, %(name)s, %(role)s, %(server_admin)s, 'ldap') "
            "ON CONFLICT (lower(login)) DO UPDATE SET role = excluded.role RETURNING *"
        )
        row = db.execute(statement, values | {"uid": new_uid()}).fetchone()
    else:
        statement = (
            "UPDATE users SET email = %(email)s, name = %(name)s, role = %(role)s, server_admin = %(server_admin)s, "
            "source = 'ldap', password_hash = '', disabled = false, updated = now() WHERE id = %(id)s RETURNING *"
        )
        row = db.execute(statement, values | {"id": row["id"]}).fetchone()
    return of_row(row) if row else None


def disable(db: Db, number: int) -> None:
    """Let somebody in no more; their sessions end."""
    db.execute("UPDATE users SET disabled = true, updated = now() WHERE id = %s", (number,))
    db.execute("DELETE FROM sessions WHERE person_id = %s", (number,))


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


VIEW: Final = 1
EDIT: Final = 2
ADMIN: Final = 4
LEVELS: Final = {VIEW: "View", EDIT: "Edit", ADMIN: "Admin"}
"""Levels of a permission and their names."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What one person may do.

    Attributes:
        admin: Whether they may do everything.
        editor: Whether they may make root folders and dashboards outside of folders.
        folders: Folder -> level that an item of the folder itself gives them.
        dashboards: The same for dashboards.
        parents: Folder -> the folder that it is in, none at the root.
    """

    admin: bool
    editor: bool
    folders: Mapping[str, int]
    dashboards: Mapping[str, int]
    parents: Mapping[str, str | None]

    def folder(self, uid: str) -> int:
        """Level in a folder: the highest of its own and of the folders that it is in; 0: nothing."""
        if self.admin:
            return ADMIN
        return max(self.folders.get(ancestor, 0) for ancestor in (uid, *self.above(uid)))

    def dashboard(self, uid: str, folder_uid: str | None) -> int:
        """Level on a dashboard: the highest of its own and of its folder's."""
        if self.admin:
            return ADMIN
        return max(self.dashboards.get(uid, 0), self.folder(folder_uid) if folder_uid else 0)

    def inside(self, folder_uid: str | None) -> bool:
        """Whether they may make something in a folder, or outside of folders."""
        return self.folder(folder_uid) >= EDIT if folder_uid else self.admin or self.editor

    def above(self, uid: str) -> tuple[str, ...]:
        """Folders that a folder is in, the nearest first."""
        ancestors: list[str] = []
        at = self.parents.get(uid)
        while at and at not in ancestors:
            ancestors.append(at)
            at = self.parents.get(at)
        return tuple(ancestors)

    def below(self, uid: str) -> set[str]:
        """A folder and everything inside it."""
        return {parent for parent in self.parents if uid in (parent, *self.above(parent))}


def access_of(db: Db, person: User) -> Access:
    """Read what a person may do."""
    rows = db.execute("SELECT uid, parent_uid FROM folders").fetchall()
    parents = {row["uid"]: row["parent_uid"] for row in rows}
    items = []
    if not person.admin:
        items = db.execute(
            "SELECT folder_uid, dashboard_uid, max(level) AS level FROM permissions WHERE role = %(role)s OR "
            "person_id = %(id)s OR team_id IN (SELECT team_id FROM team_members WHERE person_id = %(id)s) "
            "GROUP BY folder_uid, dashboard_uid",
            {"role": person.role, "id": person.id},
        ).fetchall()
    return Access(
        admin=person.admin,
        editor=person.role == "Editor",
        folders={row["folder_uid"]: row["level"] for row in items if row["folder_uid"]},
        dashboards={row["dashboard_uid"]: row["level"] for row in items if row["dashboard_uid"]},
        parents=parents,
    )


def give_at_first(db: Db, person: User, *, folder: str = "", dashboard: str = "", root: bool) -> None:
    """The items of something new: its maker administrates it; at the root, editors edit it and viewers view it."""
    items: list[tuple[str | None, int | None, int]] = []
    if root:
        items += [("Editor", None, EDIT), ("Viewer", None, VIEW)]
    if not person.server_admin:
        items.append((None, person.id, ADMIN))
    for role, number, level in items:
        db.execute(
            "INSERT INTO permissions (folder_uid, dashboard_uid, role, person_id, level) VALUES (%s, %s, %s, %s, %s)",
            (folder or None, dashboard or None, role, number, level),
        )
