"""Preferences of the organization and of teams."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from psycopg.types.json import Jsonb

from lab.fakes.grafana import naming
from lab.fakes.grafana.database import Database, Db
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told

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
    wanted = dict(before) | {key: naming.text(dict(content), key) for key in _TEXTS if key in content}
    if wanted.get("theme", "") not in _THEMES:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Invalid theme")
    home = wanted.get("homeDashboardUID")
    if home and not db.execute("SELECT 1 FROM dashboards WHERE uid = %s", (home,)).fetchone():
        raise RefusedError(HTTPStatus.NOT_FOUND, "Dashboard not found", status="not-found")
    db.execute(
        "INSERT INTO preferences VALUES (%s, %s) ON CONFLICT (scope) DO UPDATE SET content = excluded.content",
        (scope, Jsonb({key: value for key, value in wanted.items() if value})),
    )
