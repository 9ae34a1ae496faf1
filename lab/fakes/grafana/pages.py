"""The pages that a browser sees: the list of folders and dashboards, and a dashboard with its panels drawn.

A dashboard is drawn of what the database holds. Its queries go the way of ``/api/ds/query``, as the person who looks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from lab.fakes.grafana import exchange
from lab.fakes.grafana.dashboards import address, allowed_dashboard, visible
from lab.fakes.grafana.database import Database, Row
from lab.fakes.grafana.exchange import Answer, Need, Request, Route
from lab.fakes.grafana.folders import allowed_folder
from lab.fakes.grafana.queries import Queries, Variables, window_of
from lab.fakes.grafana.users import VIEW, Access, access_of

_MOST_LISTED: Final = 1000
_DEFAULT_RANGE: Final = ("now-6h", "now")
_RANGES: Final = ("15m", "1h", "6h", "24h", "7d")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A dashboard in a list."""

    title: str
    address: str
    tags: tuple[str, ...]


class Pages:
    """What somebody with a browser may look at."""

    def __init__(self, database: Database, queries: Queries, variables: Variables) -> None:
        """Show that database's content, with data by ``queries``."""
        self._database, self._queries, self._variables = database, queries, variables

    def routes(self) -> list[Route]:
        """Its routes."""
        handlers = {
            "/": self._home,
            "/dashboards": self._home,
            "/dashboards/f/{uid}": self._folder,
            "/dashboards/f/{uid}/{slug*}": self._folder,
            "/d/{uid}": self._dashboard,
            "/d/{uid}/{slug*}": self._dashboard,
        }
        return [Route(method="GET", path=path, need=Need.PERSON, handle=handle) for path, handle in handlers.items()]

    def _home(self, request: Request) -> Answer:
        with self._database.reading() as db:
            access = access_of(db, request.person)
            folders, dashboards = visible(db, access)
        return _list(request, "Dashboards", folders, dashboards, access)

    def _folder(self, request: Request) -> Answer:
        uid = request.places["uid"]
        with self._database.reading() as db:
            access = access_of(db, request.person)
            folder = allowed_folder(db, access, uid, VIEW, "folders:read")
            folders, dashboards = visible(db, access)
        inside = access.below(uid)
        chosen = [row for row in folders if row["uid"] in inside]
        return _list(
            request, folder["title"], chosen, [row for row in dashboards if row["folder_uid"] in inside], access
        )

    def _dashboard(self, request: Request) -> Answer:
        # With what it draws by, which is large and takes seconds to load: who only uses the interface needs none of it.
        from lab.fakes.grafana.drawing import Drawing

        with self._database.reading() as db:
            row = allowed_dashboard(db, access_of(db, request.person), request.places["uid"], VIEW, "dashboards:read")
        model: Mapping[str, Any] = row["content"]
        begin, finish = _range(model, request)
        window = window_of({"from": begin, "to": finish}, time.time())
        variables = self._variables.read(model, request, window)
        drawing = Drawing(variables=variables, window=window, queries=self._queries, find=self._variables.source)
        here = address(row["uid"], row["title"])
        chosen = [(f"var-{variable.name}", value) for variable in variables.values() for value in variable.values]
        return exchange.answer(
            drawing.page(
                model,
                title=row["title"],
                person=request.person,
                address=here,
                begin=begin,
                finish=finish,
                ranges=_ranges(here, (begin, finish), chosen),
                variables=[variable for variable in variables.values() if not variable.hidden],
            )
        )


def _list(request: Request, title: str, folders: Iterable[Row], dashboards: list[Row], access: Access) -> Answer:
    """Sections in the order of their paths; what is in a folder that cannot be seen stands apart."""
    shown, by_uid = dashboards[:_MOST_LISTED], {row["uid"]: row for row in folders}
    inside: dict[str, list[Listed]] = {uid: [] for uid in by_uid}
    outside: list[Listed] = []
    for row in shown:
        listed = Listed(title=row["title"], address=address(row["uid"], row["title"]), tags=tuple(row["tags"]))
        inside.get(row["folder_uid"] or "", outside).append(listed)
    sections = sorted(
        (_path(uid, by_uid, access), f"/dashboards/f/{uid}/{exchange.slug(by_uid[uid]['title'])}", inside[uid])
        for uid in by_uid
    )
    if outside:
        sections.append(("In no folder", "", outside))
    left_out = len(dashboards) - len(shown)
    return exchange.page("home.html.j2", title=title, person=request.person, sections=sections, left_out=left_out)


def _path(uid: str, folders: Mapping[str, Row], access: Access) -> str:
    """Titles of a folder and of those that it is in, as far as they are listed."""
    return " / ".join(folders[above]["title"] for above in reversed((uid, *access.above(uid))) if above in folders)


def _range(model: Mapping[str, Any], request: Request) -> tuple[str, str]:
    """Begin and end as the address names them, else as the dashboard does."""
    saved = model.get("time")
    own = saved if isinstance(saved, dict) else {}
    begin, finish = (
        request.one(name) or str(own.get(name) or default)
        for name, default in zip(("from", "to"), _DEFAULT_RANGE, strict=True)
    )
    return begin, finish


def _ranges(here: str, now: tuple[str, str], chosen: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Links to other times of the same dashboard."""
    choices = [(f"Last {length}", (f"now-{length}", "now")) for length in _RANGES]
    return [
        (label, f"{here}?{urlencode([('from', begin), ('to', finish), *chosen])}")
        for label, (begin, finish) in [*choices, ("Refresh", now)]
    ]
