"""People and their accounts: one local administrator, everybody else from the directory."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
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
