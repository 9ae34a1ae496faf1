"""``/api/teams``: groups of people that permissions are given to."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from psycopg import errors

from lab.fakes.grafana import naming, preferences
from lab.fakes.grafana.database import Database, Db, Row
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.users import LDAP, new_uid

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
        name = naming.title(content.get("name"), "bad request data")
        with self._database.writing() as db:
            try:
                row = db.execute(
                    "INSERT INTO teams (uid, name, email) VALUES (%s, %s, %s) RETURNING id, uid",
                    (new_uid(), name, naming.text(content, "email")),
                ).fetchone()
            except errors.UniqueViolation:
                raise RefusedError(HTTPStatus.CONFLICT, "Team name taken") from None
        return told({"message": "Team created", "teamId": row["id"], "uid": row["uid"]} if row else {})

    def _get(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told(_shown(_team(db, request)))

    def _change(self, request: Request) -> Answer:
        content = request.content()
        name = naming.title(content.get("name"), "bad request data")
        with self._database.writing() as db:
            row = _team(db, request)
            try:
                db.execute(
                    "UPDATE teams SET name = %s, email = %s, updated = now() WHERE id = %s",
                    (name, naming.text(content, "email"), row["id"]),
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
        return told([_member(team, row) for row in rows])

    def _add(self, request: Request) -> Answer:
        number = naming.number(request.content().get("userId"))
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
                (_team(db, request)["id"], naming.number(request.places["person"])),
            )
            if gone.rowcount != 1:
                raise RefusedError(HTTPStatus.NOT_FOUND, "Team member not found.")
        return told({"message": "Team Member removed"})

    def _set_members(self, request: Request) -> Answer:
        content = request.content()
        with self._database.writing() as db:
            team = _team(db, request)
            wanted = {
                _person(db, email): level
                for key, level in (("members", 0), ("admins", _ADMIN))
                for email in content.get(key) or []
            }
            db.execute("DELETE FROM team_members WHERE team_id = %s", (team["id"],))
            for number, level in wanted.items():
                db.execute("INSERT INTO team_members VALUES (%s, %s, %s)", (team["id"], number, level))
        return told({"message": "Team memberships have been updated"})

    def _preferences(self, request: Request) -> Answer:
        with self._database.reading() as db:
            return told(preferences.read(db, f"team:{_team(db, request)['id']}"))

    def _set_preferences(self, request: Request) -> Answer:
        with self._database.writing() as db:
            preferences.write(db, f"team:{_team(db, request)['id']}", request.content(), {})
        return told({"message": "Preferences updated"})


def _reads(method: str, path: str, handle: Callable[[Request], Answer]) -> Route:
    return Route(method=method, path=path, need=Need.ADMIN, action="teams:read", handle=handle)


def _writes(method: str, path: str, handle: Callable[[Request], Answer]) -> Route:
    return Route(method=method, path=path, need=Need.ADMIN, action="teams:write", handle=handle, change=True)


def _team(db: Db, request: Request) -> Row:
    wanted = request.places["team"]
    row = db.execute(f"{_TEAM} WHERE id = %s OR uid = %s".encode(), (naming.number(wanted), wanted)).fetchone()
    if row is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "Team not found")
    return row


def _person(db: Db, email: Any) -> int:
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


def _member(team: Row, row: Row) -> dict[str, Any]:
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
