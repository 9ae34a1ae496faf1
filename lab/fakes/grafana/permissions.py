"""Permissions of folders and dashboards, by the older interface (whole lists) and the newer one (single items)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from lab.fakes.grafana import exchange
from lab.fakes.grafana.dashboards import address, allowed_dashboard
from lab.fakes.grafana.database import Database, Db, Row
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.folders import allowed_folder
from lab.fakes.grafana.users import ADMIN, LEVELS, Access, access_of

_NAMES: Final = {name: level for level, name in LEVELS.items()}
_ROLES: Final = ("Viewer", "Editor")
_ACTIONS: Final = {1: ("read",), 2: ("read", "write", "delete"), 4: ("read", "write", "delete", "permissions:write")}
_ITEMS: Final = """
    SELECT permissions.*, users.login, users.email, users.uid AS person_uid,
           teams.name AS team, teams.uid AS team_uid
    FROM permissions LEFT JOIN users ON users.id = person_id LEFT JOIN teams ON teams.id = team_id
"""


@dataclass(frozen=True, kw_only=True)
class _Item:
    role: str | None = None
    team: int | None = None
    person: int | None = None
    level: int


class Permissions:
    """Who may do what, as data."""

    def __init__(self, database: Database) -> None:
        """Keep it in that database."""
        self._database = database

    def routes(self) -> list[Route]:
        """Its routes."""
        older = {"folders": "/api/folders/{uid}/permissions", "dashboards": "/api/dashboards/uid/{uid}/permissions"}
        routes = []
        for kind, path in older.items():
            newer = f"/api/access-control/{kind}/{{uid}}"
            routes += [
                self._route("GET", path, kind, self._list),
                self._route("POST", path, kind, self._replace),
                self._route("GET", newer, kind, self._managed),
                self._route("POST", newer, kind, self._set_many),
                self._route("POST", f"{newer}/{{whose}}/{{name}}", kind, self._set_one),
            ]
        return routes

    def _route(self, method: str, path: str, kind: str, handle: Any) -> Route:
        return Route(
            method=method,
            path=path,
            need=Need.PERSON,
            handle=lambda request: handle(request, kind),
            change=method == "POST",
        )

    def _list(self, request: Request, kind: str) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            row, access = _target(db, request, kind, uid, "read")
            items = [
                _older(item, row, kind, uid, inherited=inherited)
                for item, inherited in _all(db, row, access, kind, uid)
            ]
        return told(items)

    def _managed(self, request: Request, kind: str) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            row, access = _target(db, request, kind, uid, "read")
            items = [_newer(item, kind, inherited=inherited) for item, inherited in _all(db, row, access, kind, uid)]
        return told(items)

    def _replace(self, request: Request, kind: str) -> Answer:
        uid = request.places["uid"]
        given = request.content().get("items")
        if not isinstance(given, list):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
        items = [_numbered(permission) for permission in given]
        owners = [(item.role, item.team, item.person) for item in items]
        if len(set(owners)) != len(owners):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "duplicate permission items: one for each role, team and user")
        with self._database.writing() as db:
            _target(db, request, kind, uid, "write")
            db.execute(f"DELETE FROM permissions WHERE {_column(kind)} = %s".encode(), (uid,))  # noqa: S608
            for item in items:
                _write(db, kind, uid, item)
        return told({"message": f"{'Folder' if kind == 'folders' else 'Dashboard'} permissions updated"})

    def _set_many(self, request: Request, kind: str) -> Answer:
        given = request.content().get("permissions")
        if not isinstance(given, list):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
        items = [_named(permission) for permission in given]
        with self._database.writing() as db:
            _target(db, request, kind, request.places["uid"], "write")
            for item in items:
                _write(db, kind, request.places["uid"], item)
        return told({"message": "Permissions updated"})

    def _set_one(self, request: Request, kind: str) -> Answer:
        keys = {"users": "userId", "teams": "teamId", "builtInRoles": "builtInRole"}
        whose, name = request.places["whose"], request.places["name"]
        if whose not in keys:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Not found")
        item = _named({keys[whose]: name, "permission": request.content().get("permission")})
        with self._database.writing() as db:
            _target(db, request, kind, request.places["uid"], "write")
            _write(db, kind, request.places["uid"], item)
        return told({"message": "Permission updated" if item.level else "Permission removed"})


def _target(db: Db, request: Request, kind: str, uid: str, verb: str) -> tuple[Row, Access]:
    access = access_of(db, request.person)
    allowed = allowed_folder if kind == "folders" else allowed_dashboard
    return allowed(db, access, uid, ADMIN, f"{kind}.permissions:{verb}"), access


def _column(kind: str) -> str:
    return "folder_uid" if kind == "folders" else "dashboard_uid"


def _all(db: Db, row: Row, access: Access, kind: str, uid: str) -> Sequence[tuple[Row, bool]]:
    """Items of a thing, then those that it inherits."""
    own = db.execute(f"{_ITEMS} WHERE {_column(kind)} = %s ORDER BY permissions.id".encode(), (uid,)).fetchall()
    nearest = uid if kind == "folders" else row["folder_uid"]
    above = [*access.above(nearest)] if nearest else []
    if kind == "dashboards" and nearest:
        above.insert(0, nearest)
    inherited = db.execute(f"{_ITEMS} WHERE folder_uid = ANY(%s) ORDER BY permissions.id".encode(), (above,)).fetchall()
    return [*((item, False) for item in own), *((item, True) for item in inherited)]


def _item(given: object, level: int) -> _Item:
    if not isinstance(given, Mapping):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
    role = given.get("role") or given.get("builtInRole") or None
    team, person = exchange.number(given.get("teamId")) or None, exchange.number(given.get("userId")) or None
    if sum(subject is not None for subject in (role, team, person)) != 1 or (role is not None and role not in _ROLES):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "a permission needs exactly one of role (Viewer, Editor), teamId and userId"
        )
    return _Item(role=role, team=team, person=person, level=level)


def _numbered(given: object) -> _Item:
    level = given.get("permission") if isinstance(given, Mapping) else None
    if level not in LEVELS:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a permission is 1 (View), 2 (Edit) or 4 (Admin)")
    return _item(given, level)


def _named(given: object) -> _Item:
    name = given.get("permission") if isinstance(given, Mapping) else None
    if name not in ("", *_NAMES):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a permission is View, Edit, Admin, or empty to remove it")
    return _item(given, _NAMES.get(name or "", 0))


def _write(db: Db, kind: str, uid: str, item: _Item) -> None:
    """Set an item; level 0 removes it."""
    owner = (item.role, item.team, item.person)
    for number, table, what in ((item.team, "teams", "team"), (item.person, "users", "user")):
        if number and not db.execute(f"SELECT 1 FROM {table} WHERE id = %s".encode(), (number,)).fetchone():  # noqa: S608
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"{what} {number} does not exist")
    db.execute(
        f"DELETE FROM permissions WHERE {_column(kind)} = %s AND role IS NOT DISTINCT FROM %s "  # noqa: S608
        "AND team_id IS NOT DISTINCT FROM %s AND person_id IS NOT DISTINCT FROM %s".encode(),
        (uid, *owner),
    )
    if item.level:
        db.execute(
            f"INSERT INTO permissions ({_column(kind)}, role, team_id, person_id, level) "  # noqa: S608
            "VALUES (%s, %s, %s, %s, %s)".encode(),
            (uid, *owner, item.level),
        )


def _older(item: Row, row: Row, kind: str, uid: str, *, inherited: bool) -> dict[str, Any]:
    folder = kind == "folders"
    where = f"/dashboards/f/{uid}/{exchange.slug(row['title'])}" if folder else address(uid, row["title"])
    return {
        "uid": uid,
        "folderUid": item["folder_uid"] or "",
        "inherited": inherited,
        "userId": item["person_id"] or 0,
        "userUid": item["person_uid"] or "",
        "userLogin": item["login"] or "",
        "userEmail": item["email"] or "",
        "teamId": item["team_id"] or 0,
        "teamUid": item["team_uid"] or "",
        "team": item["team"] or "",
        **({"role": item["role"]} if item["role"] else {}),
        "permission": item["level"],
        "permissionName": LEVELS[item["level"]],
        "title": row["title"],
        "slug": exchange.slug(row["title"]),
        "isFolder": folder,
        "url": where,
    }


def _newer(item: Row, kind: str, *, inherited: bool) -> dict[str, Any]:
    owner = item["role"] or (f"team:{item['team_id']}" if item["team_id"] else f"user:{item['person_id']}")
    return {
        "id": item["id"],
        "roleName": f"managed:{owner}:permissions".lower(),
        "isManaged": True,
        "isInherited": inherited,
        "isServiceAccount": False,
        "userId": item["person_id"] or 0,
        "userUid": item["person_uid"] or "",
        "userLogin": item["login"] or "",
        "team": item["team"] or "",
        "teamId": item["team_id"] or 0,
        "teamUid": item["team_uid"] or "",
        "builtInRole": item["role"] or "",
        "actions": [f"{kind}:{action}" for action in _ACTIONS[item["level"]]],
        "permission": LEVELS[item["level"]],
    }
