"""``/api/dashboards``, content, versions, and the conflicts of two who change at once; ``/api/search``, as far as the
person may see.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from psycopg import errors
from psycopg.types.json import Json

from lab.fakes.grafana import exchange
from lab.fakes.grafana.database import Database, Db, Row
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, denied, told
from lab.fakes.grafana.folders import allowed_folder, folder_row
from lab.fakes.grafana.settings import duration_of
from lab.fakes.grafana.users import ADMIN, EDIT, VIEW, Access, access_of, give_at_first


def address(uid: str, title: str) -> str:
    """Path of a dashboard's page."""
    return f"/d/{uid}/{exchange.slug(title)}"


def allowed_dashboard(db: Db, access: Access, uid: str, level: int, action: str) -> Row:
    """A dashboard that somebody may use at that level.

    Raises:
        RefusedError: 404 for administrators when it is not there, 403 otherwise.
    """
    row = db.execute("SELECT * FROM dashboards WHERE uid = %s", (uid,)).fetchone()
    if row is None and access.admin:
        raise _not_found()
    if row is None or access.dashboard(uid, row["folder_uid"]) < level:
        raise denied(action)
    return row


class Dashboards:
    """Dashboards and their versions."""

    def __init__(self, database: Database, versions_to_keep: int, min_refresh: timedelta) -> None:
        """Keep them in that database, each with so many versions, and none that refreshes itself more often."""
        self._database, self._keep, self._min_refresh = database, versions_to_keep, min_refresh

    def routes(self) -> list[Route]:
        """Its routes."""
        one = "/api/dashboards/uid/{uid}"
        return [
            Route(method="POST", path="/api/dashboards/db", need=Need.PERSON, handle=self._save, change=True),
            Route(method="GET", path=one, need=Need.PERSON, handle=self._get),
            Route(method="DELETE", path=one, need=Need.PERSON, handle=self._delete, change=True),
            Route(method="GET", path=f"{one}/versions", need=Need.PERSON, handle=self._versions),
            Route(method="GET", path=f"{one}/versions/{{version}}", need=Need.PERSON, handle=self._version),
            Route(method="POST", path=f"{one}/restore", need=Need.PERSON, handle=self._restore, change=True),
        ]

    def _save(self, request: Request) -> Answer:
        content = request.content()
        model = content.get("dashboard")
        if not isinstance(model, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
        title = exchange.title(model.get("title"), "Dashboard title cannot be empty")
        self._check_refresh(model.get("refresh"))
        given = content.get("folderUid")
        folder = given if isinstance(given, str) and given not in ("", "general") else None
        with self._database.writing() as db:
            access = access_of(db, request.person)
            row = _existing(db, model)
            if given is None and row:
                folder = row["folder_uid"]
            if folder and folder_row(db, folder) is None:
                raise RefusedError(HTTPStatus.BAD_REQUEST, "folder not found", status="not-found")
            if row is None or row["folder_uid"] != folder:
                # New here, or moved to here.
                if not access.inside(folder):
                    raise denied("dashboards:create")
                if folder:
                    allowed_folder(db, access, folder, EDIT, "dashboards:create")
            if row and access.dashboard(row["uid"], row["folder_uid"]) < EDIT:
                raise denied("dashboards:write")
            if row and not content.get("overwrite") and exchange.number(model.get("version")) != row["version"]:
                raise _changed()
            message = exchange.text(content, "message")
            saved = self._write(db, request, row, model, title, folder, message)
        return told(
            {
                "folderUid": folder or "",
                "id": saved["id"],
                "uid": saved["uid"],
                "url": address(saved["uid"], title),
                "status": "success",
                "version": saved["version"],
                "slug": exchange.slug(title),
            }
        )

    def _check_refresh(self, given: object) -> None:
        """Refuse a dashboard that would ask more often than the settings allow."""
        if given in (None, "", False):
            return
        every = duration_of(given) if isinstance(given, str) else None
        if every is None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "parsing refresh duration failed: invalid duration")
        if every < self._min_refresh:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Dashboard refresh interval is too low")

    def _write(
        self,
        db: Db,
        request: Request,
        row: Row | None,
        model: Mapping[str, Any],
        title: str,
        folder: str | None,
        message: str,
        restored_from: int = 0,
    ) -> Row:
        person = request.person
        uid = row["uid"] if row else exchange.chosen_uid(model.get("uid"))
        before = row["version"] if row else 0
        tags = [tag for tag in model.get("tags") or [] if isinstance(tag, str) and "\0" not in tag]
        stored = {key: value for key, value in model.items() if key != "id"}
        stored |= {"uid": uid, "title": title, "version": before + 1}
        values = {
            "uid": uid,
            "title": title,
            "folder": folder,
            "content": Json(stored),
            "tags": tags,
            "who": person.login,
            "before": before,
            "message": message[:500],
            "restored": restored_from,
        }
        try:
            if row is None:
                saved = db.execute(
                    "INSERT INTO dashboards (uid, title, folder_uid, content, tags, created_by, updated_by) VALUES "
                    "(%(uid)s, %(title)s, %(folder)s, %(content)s, %(tags)s, %(who)s, %(who)s) RETURNING *",
                    values,
                ).fetchone()
            else:
                saved = db.execute(
                    "UPDATE dashboards SET title = %(title)s, folder_uid = %(folder)s, content = %(content)s, "
                    "tags = %(tags)s, version = version + 1, updated = now(), updated_by = %(who)s "
                    "WHERE uid = %(uid)s AND version = %(before)s RETURNING *",
                    values,
                ).fetchone()
        except errors.UniqueViolation:
            raise _changed() from None
        except (errors.UntranslatableCharacter, errors.InvalidTextRepresentation):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data") from None
        if saved is None:
            raise _changed()
        if row is None:
            give_at_first(db, person, dashboard=uid, root=folder is None)
        db.execute(
            "INSERT INTO dashboard_versions (dashboard_id, version, parent_version, restored_from, created_by, "
            "message, content) VALUES (%(id)s, %(before)s + 1, %(before)s, %(restored)s, %(who)s, %(message)s, "
            "%(content)s)",
            values | {"id": saved["id"]},
        )
        db.execute(
            "DELETE FROM dashboard_versions WHERE dashboard_id = %s AND version <= %s",
            (saved["id"], saved["version"] - self._keep),
        )
        return saved

    def _get(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            access = access_of(db, request.person)
            row = allowed_dashboard(db, access, uid, VIEW, "dashboards:read")
            folder = folder_row(db, row["folder_uid"]) if row["folder_uid"] else None
        return told({"meta": _meta(row, folder, access), "dashboard": row["content"] | {"id": row["id"]}})

    def _delete(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.writing() as db:
            row = allowed_dashboard(db, access_of(db, request.person), uid, EDIT, "dashboards:delete")
            db.execute("DELETE FROM dashboards WHERE uid = %s", (uid,))
        return told({"title": row["title"], "message": f"Dashboard {row['title']} deleted", "uid": uid})

    def _versions(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            row = allowed_dashboard(db, access_of(db, request.person), uid, EDIT, "dashboards:write")
            rows = db.execute(
                "SELECT * FROM dashboard_versions WHERE dashboard_id = %s ORDER BY version DESC LIMIT %s OFFSET %s",
                (row["id"], request.number("limit", 1000, 1000), request.number("start", 0, 10**6)),
            ).fetchall()
        return told({"continueToken": "", "versions": [_version(uid, row) for row in rows]})

    def _version(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            row = allowed_dashboard(db, access_of(db, request.person), uid, EDIT, "dashboards:write")
            content = _of_version(db, row, request.places["version"])
        return told(_version(uid, content) | {"data": content["content"]})

    def _restore(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.writing() as db:
            row = allowed_dashboard(db, access_of(db, request.person), uid, EDIT, "dashboards:write")
            content = _of_version(db, row, request.content().get("version"))
            if content["version"] == row["version"]:
                raise RefusedError(HTTPStatus.BAD_REQUEST, "Current dashboard is identical to the specified version")
            message = f"Restored from version {content['version']}"
            model = content["content"]
            title = model["title"]
            saved = self._write(db, request, row, model, title, row["folder_uid"], message, content["version"])
        more = {"id": saved["id"], "uid": uid, "url": address(uid, title), "slug": exchange.slug(title)}
        return told({"status": "success", "version": saved["version"], **more})


def _existing(db: Db, model: Mapping[str, Any]) -> Row | None:
    number, uid = exchange.number(model.get("id")), model.get("uid")
    by_id = db.execute("SELECT * FROM dashboards WHERE id = %s FOR UPDATE", (number,)).fetchone() if number else None
    if number and by_id is None:
        raise _not_found()
    if uid in (None, ""):
        return by_id
    uid = exchange.chosen_uid(uid)
    by_uid = db.execute("SELECT * FROM dashboards WHERE uid = %s FOR UPDATE", (uid,)).fetchone()
    if by_id and by_id["uid"] != uid:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "A dashboard with the same uid already exists")
    return by_uid


def _of_version(db: Db, row: Row, version: Any) -> Row:
    row_of_version = db.execute(
        "SELECT * FROM dashboard_versions WHERE dashboard_id = %s AND version = %s",
        (row["id"], min(exchange.number(version), 2**31 - 1)),
    ).fetchone()
    if row_of_version is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "Dashboard version not found")
    return row_of_version


def _changed() -> RefusedError:
    message = "The dashboard has been changed by someone else"
    return RefusedError(HTTPStatus.PRECONDITION_FAILED, message, status="version-mismatch")


def _not_found() -> RefusedError:
    return RefusedError(HTTPStatus.NOT_FOUND, "Dashboard not found", status="not-found")


def _version(uid: str, row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "dashboardId": row["dashboard_id"],
        "uid": uid,
        "parentVersion": row["parent_version"],
        "restoredFrom": row["restored_from"],
        "version": row["version"],
        "created": exchange.time(row["created"]),
        "createdBy": row["created_by"],
        "message": row["message"],
    }


def _meta(row: Row, folder: Row | None, access: Access) -> dict[str, Any]:
    level = access.dashboard(row["uid"], row["folder_uid"])
    title = folder["title"] if folder else "Dashboards"
    return {
        "type": "db",
        "canSave": level >= EDIT,
        "canEdit": level >= EDIT,
        "canAdmin": level >= ADMIN,
        "canStar": True,
        "canDelete": level >= EDIT,
        "slug": exchange.slug(row["title"]),
        "url": address(row["uid"], row["title"]),
        "expires": exchange.time(None),
        "created": exchange.time(row["created"]),
        "updated": exchange.time(row["updated"]),
        "updatedBy": row["updated_by"],
        "createdBy": row["created_by"],
        "version": row["version"],
        "hasAcl": False,
        "isFolder": False,
        "folderId": folder["id"] if folder else 0,
        "folderUid": folder["uid"] if folder else "",
        "folderTitle": title,
        "folderUrl": f"/dashboards/f/{folder['uid']}/{exchange.slug(title)}" if folder else "",
        "provisioned": False,
        "provisionedExternalId": "",
        "annotationsPermissions": {
            scope: {"canAdd": level >= EDIT, "canEdit": level >= EDIT, "canDelete": level >= EDIT}
            for scope in ("dashboard", "organization")
        },
    }


_FOLDERS = """
    SELECT folders.id, folders.uid, folders.title, parent_uid AS folder_uid, '{}'::text[] AS tags, true AS is_folder
    FROM folders
"""
_DASHBOARDS = "SELECT id, uid, title, folder_uid, tags, false AS is_folder FROM dashboards"


def visible(db: Db, access: Access) -> tuple[list[Row], list[Row]]:
    """Folders and dashboards that somebody may see, by title."""
    folders = db.execute(f"{_FOLDERS} ORDER BY title".encode()).fetchall()
    dashboards = db.execute(f"{_DASHBOARDS} ORDER BY title".encode()).fetchall()
    return (
        [row for row in folders if access.folder(row["uid"]) >= VIEW],
        [row for row in dashboards if access.dashboard(row["uid"], row["folder_uid"]) >= VIEW],
    )


class Search:
    """Finds by words of the title, tags, folders and identifiers."""

    def __init__(self, database: Database) -> None:
        """Look into that database."""
        self._database = database

    def routes(self) -> list[Route]:
        """Its routes."""
        return [
            Route(method="GET", path="/api/search", need=Need.PERSON, handle=self._search),
            Route(method="GET", path="/api/dashboards/tags", need=Need.PERSON, handle=self._tags),
        ]

    def _search(self, request: Request) -> Answer:
        limit, page = request.number("limit", 1000, 5000), request.number("page", 1, 10**6)
        rows = [row for row in self._seen(request) if _wanted(row, request)]
        with self._database.reading() as db:
            folders = {row["uid"]: row for row in db.execute("SELECT id, uid, title FROM folders").fetchall()}
        chosen = rows[(page - 1) * limit : page * limit]
        return told([_shown(row, folders.get(row["folder_uid"] or "")) for row in chosen])

    def _seen(self, request: Request) -> list[Row]:
        kind = request.one("type")
        with self._database.reading() as db:
            folders, dashboards = visible(db, access_of(db, request.person))
        return [*(folders if kind != "dash-db" else ()), *(dashboards if kind != "dash-folder" else ())]

    def _tags(self, request: Request) -> Answer:
        counts: dict[str, int] = {}
        for row in self._seen(request):
            for tag in row["tags"]:
                counts[tag] = counts.get(tag, 0) + 1
        return told([{"term": tag, "count": count} for tag, count in sorted(counts.items())])


def _wanted(row: Row, request: Request) -> bool:
    words = request.one("query").lower().split()
    tags, uids = request.query.get("tag", ()), request.query.get("dashboardUIDs", request.query.get("dashboardUID", ()))
    folders = [part for value in request.query.get("folderUIDs", ()) for part in value.split(",")]
    return (
        all(word in row["title"].lower() for word in words)
        and all(tag in row["tags"] for tag in tags)
        and (not uids or row["uid"] in [part for value in uids for part in value.split(",")])
        and (not folders or (row["folder_uid"] or "general") in folders)
    )


def _shown(row: Row, folder: Row | None) -> dict[str, Any]:
    slug = exchange.slug(row["title"])
    inside = (
        {
            "folderId": folder["id"],
            "folderUid": folder["uid"],
            "folderTitle": folder["title"],
            "folderUrl": f"/dashboards/f/{folder['uid']}/{exchange.slug(folder['title'])}",
        }
        if folder
        else {}
    )
    return {
        "id": row["id"],
        "orgId": 1,
        "uid": row["uid"],
        "title": row["title"],
        "uri": f"db/{slug}",
        "url": f"/dashboards/f/{row['uid']}/{slug}" if row["is_folder"] else address(row["uid"], row["title"]),
        "slug": "",
        "type": "dash-folder" if row["is_folder"] else "dash-db",
        "tags": row["tags"],
        "isStarred": False,
        "sortMeta": 0,
        "isDeleted": False,
        **inside,
    }
