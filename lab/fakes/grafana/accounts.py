"""``/api/user``, ``/api/users``, ``/api/org``: who there is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from psycopg import errors

from lab.fakes.grafana import naming, users
from lab.fakes.grafana.database import Database, Db, Row
from lab.fakes.grafana.directory_settings import ROLES
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.users import LDAP


class Accounts:
    """Accounts, as far as each person may know them."""

    def __init__(self, database: Database) -> None:
        """Keep them in that database."""
        self._database = database

    def routes(self) -> list[Route]:
        """Its routes."""
        return [
            Route(method="GET", path="/api/user", need=Need.PERSON, handle=self._self),
            Route(method="GET", path="/api/user/orgs", need=Need.PERSON, handle=self._organizations),
            Route(method="GET", path="/api/user/teams", need=Need.PERSON, handle=self._own_teams),
            Route(method="GET", path="/api/org", need=Need.PERSON, handle=self._organization),
            _admin("PUT", "/api/org", self._rename, "orgs:write"),
            _admin("GET", "/api/org/users", self._members, "org.users:read"),
            _admin("PATCH", "/api/org/users/{person}", self._set_role, "org.users:write"),
            _server("GET", "/api/users", self._list, "users:read"),
            _server("GET", "/api/users/search", self._search, "users:read"),
            _server("GET", "/api/users/lookup", self._lookup, "users:read"),
            _server("GET", "/api/users/{person}", self._one, "users:read"),
            _server("POST", "/api/admin/users", self._make, "users:create"),
            _server("DELETE", "/api/admin/users/{person}", self._delete, "users:delete"),
            _server("POST", "/api/admin/users/{person}/disable", self._disable, "users:disable"),
            _server("POST", "/api/admin/users/{person}/enable", self._enable, "users:enable"),
            _server("POST", "/api/admin/users/{person}/logout", self._log_out, "users:logout"),
        ]

    def _self(self, request: Request) -> Answer:
        with self._database.reading() as db:
            row = users.by_id(db, request.person.id)
        return told(_whole(row) if row else {})

    def _organizations(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told([{"orgId": 1, "name": _name(db), "role": request.person.role}])

    def _own_teams(self, request: Request) -> Answer:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT id, uid, name, email FROM teams JOIN team_members ON team_id = id WHERE person_id = %s "
                "ORDER BY name",
                (request.person.id,),
            ).fetchall()
        return told([{**row, "orgId": 1} for row in rows])

    def _organization(self, request: Request) -> Answer:
        with self._database.reading() as db:
            name = _name(db)
        blank = dict.fromkeys(("address1", "address2", "city", "zipCode", "state", "country"), "")
        return told({"id": 1, "name": name, "address": blank})

    def _rename(self, request: Request) -> Answer:
        name = naming.title(request.content().get("name"), "bad request data")
        with self._database.writing() as db:
            db.execute("UPDATE organization SET name = %s", (name,))
        return told({"message": "Organization updated"})

    def _members(self, request: Request) -> Answer:
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM users ORDER BY login").fetchall()
        return told([_member(row) for row in rows if _found(row, request)])

    def _set_role(self, request: Request) -> Answer:
        role = request.content().get("role")
        if role not in ROLES:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Invalid role specified")
        with self._database.writing() as db:
            row = _person(db, request)
            if row["source"] == LDAP:
                raise RefusedError(HTTPStatus.FORBIDDEN, "Cannot change role for externally synced user")
            db.execute("UPDATE users SET role = %s, updated = now() WHERE id = %s", (role, row["id"]))
        return told({"message": "Organization user updated"})

    def _list(self, request: Request) -> Answer:
        return told(self._page(request)[0])

    def _search(self, request: Request) -> Answer:
        users, total, page, limit = self._page(request)
        return told({"totalCount": total, "users": users, "page": page, "perPage": limit})

    def _page(self, request: Request) -> tuple[list[dict[str, Any]], int, int, int]:
        limit, page = request.number("perpage", 1000, 1000), request.number("page", 1, 10**6)
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM users ORDER BY login").fetchall()
        accounts = [_listed(row) for row in rows if _found(row, request)]
        return accounts[(page - 1) * limit : page * limit], len(accounts), page, limit

    def _lookup(self, request: Request) -> Answer:
        with self._database.reading() as db:
            row = users.find(db, request.one("loginOrEmail"))
        if row is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "user not found")
        return told(_whole(row))

    def _one(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told(_whole(_person(db, request)))

    def _make(self, request: Request) -> Answer:
        content = request.content()
        login = naming.text(content, "login") or naming.text(content, "email")
        if not login.strip():
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Validation error, need specify either username or email")
        password = naming.text(content, "password") or secrets.token_urlsafe(24)
        values = (users.new_uid(), login, naming.text(content, "email"), naming.text(content, "name"))
        with self._database.writing() as db:
            try:
                row = db.execute(
                    "INSERT INTO users (uid, login, email, name, role, source, password_hash) "
                    "VALUES (%s, %s, %s, %s, 'Viewer', 'local', %s) RETURNING id, uid",
                    (*values, users.hashed(password)),
                ).fetchone()
            except errors.UniqueViolation:
                message = f"User with email '{values[2]}' or username '{login}' already exists"
                raise RefusedError(HTTPStatus.PRECONDITION_FAILED, message) from None
        return told({"id": row["id"], "uid": row["uid"], "message": "User created"} if row else {})

    def _delete(self, request: Request) -> Answer:
        with self._database.writing() as db:
            db.execute("DELETE FROM users WHERE id = %s", (_other(db, request)["id"],))
        return told({"message": "User deleted"})

    def _disable(self, request: Request) -> Answer:
        with self._database.writing() as db:
            users.disable(db, _other(db, request)["id"])
        return told({"message": "User disabled"})

    def _enable(self, request: Request) -> Answer:
        with self._database.writing() as db:
            db.execute("UPDATE users SET disabled = false WHERE id = %s", (_person(db, request)["id"],))
        return told({"message": "User enabled"})

    def _log_out(self, request: Request) -> Answer:
        with self._database.writing() as db:
            db.execute("DELETE FROM sessions WHERE person_id = %s", (_other(db, request)["id"],))
        return told({"message": "User logged out"})


def _admin(method: str, path: str, handle: Callable[[Request], Answer], action: str) -> Route:
    return Route(method=method, path=path, need=Need.ADMIN, action=action, handle=handle, change=method != "GET")


def _server(method: str, path: str, handle: Callable[[Request], Answer], action: str) -> Route:
    need = Need.SERVER_ADMIN
    return Route(method=method, path=path, need=need, action=action, handle=handle, change=method != "GET")


def _name(db: Db) -> str:
    row = db.execute("SELECT name FROM organization").fetchone()
    return str(row["name"]) if row else ""


def _person(db: Db, request: Request) -> Row:
    row = users.by_id(db, naming.number(request.places["person"]))
    if row is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "user not found")
    return row


def _other(db: Db, request: Request) -> Row:
    row = _person(db, request)
    if row["id"] == request.person.id:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "You cannot do this to yourself")
    return row


def _found(row: Row, request: Request) -> bool:
    query = request.one("query").lower()
    return any(query in row[key].lower() for key in ("login", "email", "name"))


def _labels(row: Row) -> list[str]:
    return ["LDAP"] if row["source"] == LDAP else []


def _whole(row: Row) -> dict[str, Any]:
    external = row["source"] == LDAP
    return {
        "id": row["id"],
        "uid": row["uid"],
        "email": row["email"],
        "name": row["name"],
        "login": row["login"],
        "theme": "",
        "orgId": 1,
        "isGrafanaAdmin": row["server_admin"],
        "isDisabled": row["disabled"],
        "isExternal": external,
        "isExternallySynced": external,
        "isGrafanaAdminExternallySynced": external,
        "authLabels": _labels(row),
        "updatedAt": naming.time(row["updated"]),
        "createdAt": naming.time(row["created"]),
        "avatarUrl": "",
        "isProvisioned": False,
    }


def _listed(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "uid": row["uid"],
        "name": row["name"],
        "login": row["login"],
        "email": row["email"],
        "avatarUrl": "",
        "isAdmin": row["server_admin"],
        "isDisabled": row["disabled"],
        "lastSeenAt": naming.time(row["seen"]),
        "authLabels": _labels(row),
    }


def _member(row: Row) -> dict[str, Any]:
    return {
        "orgId": 1,
        "userId": row["id"],
        "uid": row["uid"],
        "email": row["email"],
        "name": row["name"],
        "avatarUrl": "",
        "login": row["login"],
        "role": row["role"],
        "lastSeenAt": naming.time(row["seen"]),
        "isDisabled": row["disabled"],
        "authLabels": _labels(row),
        "isExternallySynced": row["source"] == LDAP,
        "isGrafanaAdmin": row["server_admin"],
    }
