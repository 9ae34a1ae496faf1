"""``/api/search``: folders and dashboards that the person may see."""

from __future__ import annotations

from typing import Any

from lab.fakes.grafana import naming
from lab.fakes.grafana.access import VIEW, access_of
from lab.fakes.grafana.dashboards import address
from lab.fakes.grafana.database import Database, Row
from lab.fakes.grafana.exchange import Answer, Need, Request, Route, told

_FOLDERS = """
    SELECT folders.id, folders.uid, folders.title, parent_uid AS folder_uid, '{}'::text[] AS tags, true AS is_folder
    FROM folders
"""
_DASHBOARDS = "SELECT id, uid, title, folder_uid, tags, false AS is_folder FROM dashboards"


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
            access = access_of(db, request.person)
            folders = db.execute(f"{_FOLDERS} ORDER BY title".encode()).fetchall() if kind != "dash-db" else []
            dashboards = (
                db.execute(f"{_DASHBOARDS} ORDER BY title".encode()).fetchall() if kind != "dash-folder" else []
            )
        seen = [row for row in folders if access.folder(row["uid"]) >= VIEW]
        return seen + [row for row in dashboards if access.dashboard(row["uid"], row["folder_uid"]) >= VIEW]

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
    slug = naming.slug(row["title"])
    inside = (
        {
            "folderId": folder["id"],
            "folderUid": folder["uid"],
            "folderTitle": folder["title"],
            "folderUrl": f"/dashboards/f/{folder['uid']}/{naming.slug(folder['title'])}",
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
