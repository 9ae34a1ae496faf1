"""``/api/user``, ``/api/users``, ``/api/org``, ``/api/teams``: who there is, groups of people that permissions are
given to, and preferences.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from psycopg import errors
from psycopg.types.json import Jsonb

from lab.fakes.grafana import exchange, users
from lab.fakes.grafana.database import Database, Db, Row
from lab.fakes.grafana.directory import ROLES
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.users import LDAP, new_uid

ORGANIZATION: Final = "org"
_TEXTS: Final = ("theme", "timezone", "weekStart", "language", "homeDashboardUID")
_THEMES: Final = ("", "light", "dark", "system")


class Preferences:
    """What people see at first."""

    def __init__(self, database: Database) -> None:
        """Keep them in that database."""
        self._database = database

    def routes(self) -> list[Route]:
        """Its routes."""
        path = "/api/org/preferences"
        return [
            Route(method="GET", path=path, need=Need.ADMIN, action="orgs.preferences:read", handle=self._get),
            Route(
                method="PUT", path=path, handle=self._put, need=Need.ADMIN, action="orgs.preferences:write", change=True
            ),
            Route(
                method="PATCH",
                path=path,
                handle=self._patch,
                need=Need.ADMIN,
                action="orgs.preferences:write",
                change=True,
            ),
            Route(method="GET", path="/api/dashboards/home", need=Need.PERSON, handle=self._home),
        ]

    def _get(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told(read(db, ORGANIZATION))

    def _put(self, request: Request) -> Answer:
        with self._database.writing() as db:
            write(db, ORGANIZATION, request.content(), {})
        return told({"message": "Preferences updated"})

    def _patch(self, request: Request) -> Answer:
        with self._database.writing() as db:
            write(db, ORGANIZATION, request.content(), read(db, ORGANIZATION))
        return told({"message": "Preferences updated"})

    def _home(self, request: Request) -> Answer:
        with self._database.reading() as db:
            uid = read(db, ORGANIZATION).get("homeDashboardUID")
        if uid:
            return told({"redirectUri": f"/d/{uid}"})
        return told(
            {"meta": {"canSave": False, "folderTitle": "Dashboards"}, "dashboard": {"title": "Home", "panels": []}}
        )


def read(db: Db, scope: str) -> dict[str, Any]:
    """Preferences of the organization or a team."""
    row = db.execute("SELECT content FROM preferences WHERE scope = %s", (scope,)).fetchone()
    return dict(row["content"]) if row else {}


def write(db: Db, scope: str, content: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Check and write preferences.

    Args:
        db: Where.
        scope: Whose.
        content: What somebody wants.
        before: What stays where ``content`` says nothing.

    Raises:
        RefusedError: A value is not acceptable, or the home dashboard is not there.
    """
    wanted = dict(before) | {key: exchange.text(dict(content), key) for key in _TEXTS if key in content}
    if wanted.get("theme", "") not in _THEMES:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Invalid theme")
    home = wanted.get("homeDashboardUID")
    if home and not db.execute("SELECT 1 FROM dashboards WHERE uid = %s", (home,)).fetchone():
        raise RefusedError(HTTPStatus.NOT_FOUND, "Dashboard not found", status="not-found")
    db.execute(
        "INSERT INTO preferences VALUES (%s, %s) ON CONFLICT (scope) DO UPDATE SET content = excluded.content",
        (scope, Jsonb({key: value for key, value in wanted.items() if value})),
    )


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
        name = exchange.title(request.content().get("name"), "bad request data")
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
        login = exchange.text(content, "login") or exchange.text(content, "email")
        if not login.strip():
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Validation error, need specify either username or email")
        password = exchange.text(content, "password") or secrets.token_urlsafe(24)
        values = (users.new_uid(), login, exchange.text(content, "email"), exchange.text(content, "name"))
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
    row = users.by_id(db, exchange.number(request.places["person"]))
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
        "updatedAt": exchange.time(row["updated"]),
        "createdAt": exchange.time(row["created"]),
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
        "lastSeenAt": exchange.time(row["seen"]),
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
        "lastSeenAt": exchange.time(row["seen"]),
        "isDisabled": row["disabled"],
        "authLabels": _labels(row),
        "isExternallySynced": row["source"] == LDAP,
        "isGrafanaAdmin": row["server_admin"],
    }


_ADMIN = 4
_TEAM = "SELECT teams.*, (SELECT count(*) FROM team_members WHERE team_id = teams.id) AS members FROM teams "


class Teams:
    """Teams and their members."""

    def __init__(self, database: Database) -> None:
        """Keep them in that database."""
        self._database = database

    def routes(self) -> list[Route]:
        """Its routes."""
        one, members = "/api/teams/{team}", "/api/teams/{team}/members"
        return [
            _reads("GET", "/api/teams/search", self._search),
            _writes("POST", "/api/teams", self._make),
            _reads("GET", one, self._get),
            _writes("PUT", one, self._change),
            _writes("DELETE", one, self._delete),
            _reads("GET", members, self._members),
            _writes("POST", members, self._add),
            _writes("PUT", members, self._set_members),
            _writes("DELETE", f"{members}/{{person}}", self._remove),
            _reads("GET", f"{one}/preferences", self._preferences),
            _writes("PUT", f"{one}/preferences", self._set_preferences),
        ]

    def _search(self, request: Request) -> Answer:
        limit, page = request.number("perpage", 1000, 1000), request.number("page", 1, 10**6)
        name, query = request.one("name"), request.one("query").lower()
        with self._database.reading() as db:
            rows = db.execute(f"{_TEAM} ORDER BY name".encode()).fetchall()
        matching = [row for row in rows if (not name or row["name"] == name) and query in row["name"].lower()]
        chosen = [_shown(row) for row in matching[(page - 1) * limit : page * limit]]
        return told({"totalCount": len(matching), "teams": chosen, "page": page, "perPage": limit})

    def _make(self, request: Request) -> Answer:
        content = request.content()
        name = exchange.title(content.get("name"), "bad request data")
        with self._database.writing() as db:
            try:
                row = db.execute(
                    "INSERT INTO teams (uid, name, email) VALUES (%s, %s, %s) RETURNING id, uid",
                    (new_uid(), name, exchange.text(content, "email")),
                ).fetchone()
            except errors.UniqueViolation:
                raise RefusedError(HTTPStatus.CONFLICT, "Team name taken") from None
        return told({"message": "Team created", "teamId": row["id"], "uid": row["uid"]} if row else {})

    def _get(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told(_shown(_team(db, request)))

    def _change(self, request: Request) -> Answer:
        content = request.content()
        name = exchange.title(content.get("name"), "bad request data")
        with self._database.writing() as db:
            row = _team(db, request)
            try:
                db.execute(
                    "UPDATE teams SET name = %s, email = %s, updated = now() WHERE id = %s",
                    (name, exchange.text(content, "email"), row["id"]),
                )
            except errors.UniqueViolation:
                raise RefusedError(HTTPStatus.CONFLICT, "Team name taken") from None
        return told({"message": "Team updated"})

    def _delete(self, request: Request) -> Answer:
        with self._database.writing() as db:
            db.execute("DELETE FROM teams WHERE id = %s", (_team(db, request)["id"],))
        return told({"message": "Team deleted"})

    def _members(self, request: Request) -> Answer:
        with self._database.reading() as db:
            team = _team(db, request)
            rows = db.execute(
                "SELECT users.*, level FROM team_members JOIN users ON users.id = person_id WHERE team_id = %s "
                "ORDER BY login",
                (team["id"],),
            ).fetchall()
        return told([_team_member(team, row) for row in rows])

    def _add(self, request: Request) -> Answer:
        number = exchange.number(request.content().get("userId"))
        with self._database.writing() as db:
            team = _team(db, request)
            if not db.execute("SELECT 1 FROM users WHERE id = %s", (number,)).fetchone():
                raise RefusedError(HTTPStatus.NOT_FOUND, "user not found")
            cursor = db.execute(
                "INSERT INTO team_members (team_id, person_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (team["id"], number),
            )
            if cursor.rowcount != 1:
                raise RefusedError(HTTPStatus.BAD_REQUEST, "User is already added to this team")
        return told({"message": "Member added to Team"})

    def _remove(self, request: Request) -> Answer:
        with self._database.writing() as db:
            gone = db.execute(
                "DELETE FROM team_members WHERE team_id = %s AND person_id = %s",
                (_team(db, request)["id"], exchange.number(request.places["person"])),
            )
            if gone.rowcount != 1:
                raise RefusedError(HTTPStatus.NOT_FOUND, "Team member not found.")
        return told({"message": "Team Member removed"})

    def _set_members(self, request: Request) -> Answer:
        content = request.content()
        with self._database.writing() as db:
            team = _team(db, request)
            wanted = {
                _person_id(db, email): level
                for key, level in (("members", 0), ("admins", _ADMIN))
                for email in content.get(key) or []
            }
            db.execute("DELETE FROM team_members WHERE team_id = %s", (team["id"],))
            for number, level in wanted.items():
                db.execute("INSERT INTO team_members VALUES (%s, %s, %s)", (team["id"], number, level))
        return told({"message": "Team memberships have been updated"})

    def _preferences(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told(read(db, f"team:{_team(db, request)['id']}"))

    def _set_preferences(self, request: Request) -> Answer:
        with self._database.writing() as db:
            write(db, f"team:{_team(db, request)['id']}", request.content(), {})
        return told({"message": "Preferences updated"})


def _reads(method: str, path: str, handle: Callable[[Request], Answer]) -> Route:
    return Route(method=method, path=path, need=Need.ADMIN, action="teams:read", handle=handle)


def _writes(method: str, path: str, handle: Callable[[Request], Answer]) -> Route:
    return Route(method=method, path=path, need=Need.ADMIN, action="teams:write", handle=handle, change=True)


def _team(db: Db, request: Request) -> Row:
    wanted = request.places["team"]
    row = db.execute(f"{_TEAM} WHERE id = %s OR uid = %s".encode(), (exchange.number(wanted), wanted)).fetchone()
    if row is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "Team not found")
    return row


def _person_id(db: Db, email: Any) -> int:
    row = db.execute("SELECT id FROM users WHERE lower(email) = lower(%s)", (str(email),)).fetchone()
    if row is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"user {str(email)[:200]} not found")
    return int(row["id"])


def _shown(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "uid": row["uid"],
        "orgId": 1,
        "name": row["name"],
        "email": row["email"],
        "externalUID": "",
        "isProvisioned": False,
        "avatarUrl": "",
        "memberCount": row["members"],
        "permission": 0,
        "accessControl": None,
    }


def _team_member(team: Row, row: Row) -> dict[str, Any]:
    return {
        "orgId": 1,
        "teamId": team["id"],
        "teamUID": team["uid"],
        "userId": row["id"],
        "userUID": row["uid"],
        "auth_module": "ldap" if row["source"] == LDAP else "",
        "email": row["email"],
        "name": row["name"],
        "login": row["login"],
        "avatarUrl": "",
        "labels": ["LDAP"] if row["source"] == LDAP else [],
        "permission": row["level"],
    }
