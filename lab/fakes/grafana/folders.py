"""``/api/folders``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from psycopg import errors

from lab.fakes.grafana import exchange
from lab.fakes.grafana.database import Database, Db, Row
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, denied, told
from lab.fakes.grafana.users import ADMIN, EDIT, VIEW, Access, access_of, give_at_first

_DEEPEST: Final = 4
_SAME_NAME: Final = "a folder with the same name already exists in the current location"


def folder_row(db: Db, uid: str) -> Row | None:
    """A folder's row."""
    return db.execute("SELECT * FROM folders WHERE uid = %s", (uid,)).fetchone()


def allowed_folder(db: Db, access: Access, uid: str, level: int, action: str) -> Row:
    """A folder that somebody may use at that level.

    Raises:
        RefusedError: 404 for administrators when it is not there, 403 otherwise.
    """
    row = folder_row(db, uid)
    if row is None and access.admin:
        raise RefusedError(HTTPStatus.NOT_FOUND, "folder not found", status="not-found")
    if row is None or access.folder(uid) < level:
        raise denied(action)
    return row


class Folders:
    """Folders, within each other."""

    def __init__(self, database: Database) -> None:
        """Keep them in that database."""
        self._database = database

    def routes(self) -> list[Route]:
        """Its routes."""
        one = "/api/folders/{uid}"
        return [
            Route(method="GET", path="/api/folders", need=Need.PERSON, handle=self._list),
            Route(method="POST", path="/api/folders", need=Need.PERSON, handle=self._make, change=True),
            Route(method="GET", path=one, need=Need.PERSON, handle=self._get),
            Route(method="PUT", path=one, need=Need.PERSON, handle=self._change, change=True),
            Route(method="DELETE", path=one, need=Need.PERSON, handle=self._delete, change=True),
            Route(method="GET", path=f"{one}/counts", need=Need.PERSON, handle=self._counts),
            Route(method="POST", path=f"{one}/move", need=Need.PERSON, handle=self._move, change=True),
        ]

    def _list(self, request: Request) -> Answer:
        parent = request.one("parentUid") or None
        limit, page = request.number("limit", 1000, 1000), request.number("page", 1, 10**6)
        with self._database.reading() as db:
            access = access_of(db, request.person)
            rows = db.execute(
                "SELECT id, uid, title, parent_uid FROM folders WHERE parent_uid IS NOT DISTINCT FROM %s "
                "ORDER BY title",
                (parent,),
            ).fetchall()
        seen = [row for row in rows if access.folder(row["uid"]) >= VIEW]
        return told(
            [
                {"id": row["id"], "uid": row["uid"], "title": row["title"]}
                | ({"parentUid": row["parent_uid"]} if row["parent_uid"] else {})
                for row in seen[(page - 1) * limit : page * limit]
            ]
        )

    def _make(self, request: Request) -> Answer:
        content, person = request.content(), request.person
        parent = exchange.text(content, "parentUid") or None
        with self._database.writing() as db:
            access = access_of(db, person)
            if parent:
                allowed_folder(db, access, parent, EDIT, "folders:create")
                _check_depth(len(access.above(parent)) + 2)
            elif not access.inside(None):
                raise denied("folders:create")
            title = exchange.title(content.get("title"), "folder title cannot be empty")
            uid = exchange.chosen_uid(content.get("uid"))
            if uid == "general" or folder_row(db, uid):
                raise RefusedError(HTTPStatus.CONFLICT, "a folder with the same uid already exists")
            try:
                db.execute(
                    "INSERT INTO folders (uid, title, description, parent_uid, created_by, updated_by) "
                    "VALUES (%s, %s, %s, %s, %s, %s)",
                    (uid, title, exchange.text(content, "description"), parent, person.login, person.login),
                )
            except errors.UniqueViolation:
                raise RefusedError(HTTPStatus.CONFLICT, _SAME_NAME) from None
            give_at_first(db, person, folder=uid, root=parent is None)
            return self._told(db, access_of(db, person), uid)

    def _get(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            access = access_of(db, request.person)
            if uid == "general":
                return told(_general(access))
            allowed_folder(db, access, uid, VIEW, "folders:read")
            return self._told(db, access, uid)

    def _change(self, request: Request) -> Answer:
        content, uid = request.content(), request.places["uid"]
        with self._database.writing() as db:
            access = access_of(db, request.person)
            row = allowed_folder(db, access, uid, EDIT, "folders:write")
            if not content.get("overwrite") and exchange.number(content.get("version")) != row["version"]:
                raise RefusedError(
                    HTTPStatus.PRECONDITION_FAILED,
                    "the folder has been changed by someone else",
                    status="version-mismatch",
                )
            title = exchange.title(content.get("title", row["title"]), "folder title cannot be empty")
            try:
                changed = db.execute(
                    "UPDATE folders SET title = %s, description = %s, version = version + 1, updated = now(), "
                    "updated_by = %s WHERE uid = %s AND version = %s",
                    (
                        title,
                        exchange.text(content, "description", row["description"]),
                        request.person.login,
                        uid,
                        row["version"],
                    ),
                )
            except errors.UniqueViolation:
                raise RefusedError(HTTPStatus.CONFLICT, _SAME_NAME) from None
            if changed.rowcount != 1:
                raise RefusedError(
                    HTTPStatus.PRECONDITION_FAILED,
                    "the folder has been changed by someone else",
                    status="version-mismatch",
                )
            return self._told(db, access, uid)

    def _delete(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.writing() as db:
            row = allowed_folder(db, access_of(db, request.person), uid, EDIT, "folders:delete")
            db.execute("DELETE FROM folders WHERE uid = %s", (uid,))
        return told({"message": "Folder deleted", "id": row["id"], "title": row["title"]})

    def _counts(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            access = access_of(db, request.person)
            allowed_folder(db, access, uid, VIEW, "folders:read")
            inside = sorted(access.below(uid))
            row = db.execute("SELECT count(*) AS held FROM dashboards WHERE folder_uid = ANY(%s)", (inside,)).fetchone()
        return told({"folder": len(inside) - 1, "dashboard": row["held"] if row else 0})

    def _move(self, request: Request) -> Answer:
        uid, parent = request.places["uid"], exchange.text(request.content(), "parentUid") or None
        with self._database.writing() as db:
            access = access_of(db, request.person)
            allowed_folder(db, access, uid, EDIT, "folders:write")
            if parent:
                allowed_folder(db, access, parent, EDIT, "folders:write")
                inside = access.below(uid)
                if parent in inside:
                    raise RefusedError(HTTPStatus.BAD_REQUEST, "a folder cannot be moved into itself or what it holds")
                deepest = max(len(access.above(folder_uid)) for folder_uid in inside) - len(access.above(uid))
                _check_depth(len(access.above(parent)) + 2 + deepest)
            elif not access.inside(None):
                raise denied("folders:create")
            try:
                db.execute("UPDATE folders SET parent_uid = %s, updated = now() WHERE uid = %s", (parent, uid))
            except errors.UniqueViolation:
                raise RefusedError(HTTPStatus.CONFLICT, _SAME_NAME) from None
            return self._told(db, access_of(db, request.person), uid)

    def _told(self, db: Db, access: Access, uid: str) -> Answer:
        row = folder_row(db, uid)
        if row is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "folder not found", status="not-found")
        above = [folder_row(db, ancestor) for ancestor in reversed(access.above(uid))]
        parents = [
            _shown(ancestor, access) for ancestor in above if ancestor and access.folder(ancestor["uid"]) >= VIEW
        ]
        more = {"parentUid": row["parent_uid"], "parents": parents} if row["parent_uid"] else {}
        return told(_shown(row, access) | more)


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Maximum nested folder depth reached")


def _shown(row: Row, access: Access) -> dict[str, Any]:
    level = access.folder(row["uid"])
    return {
        "id": row["id"],
        "orgId": 1,
        "uid": row["uid"],
        "title": row["title"],
        "description": row["description"],
        "url": f"/dashboards/f/{row['uid']}/{exchange.slug(row['title'])}",
        "hasAcl": False,
        "canSave": level >= EDIT,
        "canEdit": level >= EDIT,
        "canAdmin": level >= ADMIN,
        "canDelete": level >= EDIT,
        "createdBy": row["created_by"],
        "created": exchange.time(row["created"]),
        "updatedBy": row["updated_by"],
        "updated": exchange.time(row["updated"]),
        "version": row["version"],
    }


def _general(access: Access) -> dict[str, Any]:
    may = access.inside(None)
    return {
        "id": 0,
        "orgId": 1,
        "uid": "general",
        "title": "Dashboards",
        "url": "",
        "hasAcl": False,
        "canSave": may,
        "canEdit": may,
        "canAdmin": access.admin,
        "canDelete": False,
        "version": 0,
    }
