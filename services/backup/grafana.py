"""Grafana's definitions, through its HTTP API: what people and the deployment made in it, and no secret.

Numbers that a Grafana gives by itself (ids, versions) are left out: two Grafanas with the same definitions read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from services.backup.errors import BackupError
from services.backup.run_writer import RunSummary, RunWriter
from services.backup.settings import Grafana
from services.backup.web import connected
from services.runtime.json_api import JsonApi, part
from services.runtime.settings import secret

_PAGE = 1000
_MOST_PAGES = 1000
_DEEPEST = 16
_ADMIN = "Admin"
_PREFERENCES = ("theme", "timezone", "weekStart", "language", "homeDashboardUID")
_SOURCE = (
    *("uid", "name", "type", "access", "url", "user", "database", "basicAuth", "basicAuthUser", "withCredentials"),
    *("isDefault", "jsonData", "readOnly"),
)

Thing = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Everything, in an order that does not change by itself.

    Attributes:
        folders: ``uid``, ``title``, ``description``, ``parent``; parents first.
        dashboards: ``uid``, ``folder``, ``model``.
        teams: ``name``, ``email``, ``members`` (``login``, ``email``, ``level``), ``preferences``.
        permissions: ``kind`` (``folders``, ``dashboards``), ``uid`` and own ``items`` (``role``, ``team`` or ``login``,
            and ``level``); inherited ones are their folder's.
        sources: Data sources without secrets; ``secrets`` has the names of those.
        organization: ``name`` and ``preferences``.
    """

    folders: list[Thing]
    dashboards: list[Thing]
    teams: list[Thing]
    permissions: list[Thing]
    sources: list[Thing]
    organization: Thing

    def counts(self) -> dict[str, int]:
        """What a restore is compared with."""
        return {
            "folders": len(self.folders),
            "dashboards": len(self.dashboards),
            "teams": len(self.teams),
            "team members": sum(len(team["members"]) for team in self.teams),
            "permissions": sum(len(permission["items"]) for permission in self.permissions),
            "data sources": len(self.sources),
            "preferences": len(self.organization["preferences"]) + sum(len(team["preferences"]) for team in self.teams),
        }


FILES = {field.name: f"{field.name}.json" for field in fields(Definitions)}
"""Part of the definitions -> object of the run."""


def back_up(settings: Grafana, target: RunWriter) -> RunSummary:
    """Read everything and store it.

    Raises:
        BackupError: Grafana refuses or does not answer, or it cannot be stored.
        SettingsError: The password cannot be read.
    """
    login = (settings.user, secret(settings.password_file))
    with connected("Grafana", settings.url, settings.ca_file, login=login) as web:
        health = web.ask("GET", "/api/health") or {}
        definitions = read(web)
    for name, content in asdict(definitions).items():
        target.add_json(FILES[name], content)
    return RunSummary(program=f"Grafana {health.get('version', 'of an unknown version')}", counts=definitions.counts())


def read(web: JsonApi) -> Definitions:
    """Everything that a Grafana has; what goes away meanwhile is not in it.

    Raises:
        BackupError: It refuses, or does not answer.
    """
    folders = list(_folders(web))
    dashboards = list(_dashboards(web))
    things = [
        *(("folders", folder["uid"]) for folder in folders),
        *(("dashboards", dashboard["uid"]) for dashboard in dashboards),
    ]
    return Definitions(
        folders=folders,
        dashboards=dashboards,
        teams=list(_teams(web)),
        permissions=[permissions for kind, uid in things if (permissions := _permissions(web, kind, uid))],
        sources=sorted(
            (_source(source) for source in web.ask("GET", "/api/datasources") or []), key=lambda source: source["uid"]
        ),
        organization={
            "name": (web.ask("GET", "/api/org") or {}).get("name", ""),
            "preferences": _preferences(web.ask("GET", "/api/org/preferences")),
        },
    )


def permissions_path(kind: str, uid: str) -> str:
    """Where the permissions of a folder or a dashboard are."""
    return (
        f"/api/folders/{part(uid)}/permissions" if kind == "folders" else f"/api/dashboards/uid/{part(uid)}/permissions"
    )


def team_numbers(web: JsonApi) -> dict[str, int]:
    """Name of each team -> its number in this Grafana.

    Raises:
        BackupError: It refuses, or does not answer.
    """
    return {str(team["name"]): int(team["id"]) for team in _paged(web, "/api/teams/search", {}, "perpage", "teams")}


def _folders(web: JsonApi, parent: str = "", depth: int = 0) -> Iterator[Thing]:
    if depth > _DEEPEST:
        raise BackupError(f"{web.name}: folders are nested deeper than {_DEEPEST}")
    for folder in sorted(
        _paged(web, "/api/folders", {"parentUid": parent}, "limit"), key=lambda folder: str(folder["uid"])
    ):
        uid = str(folder["uid"])
        whole = web.ask("GET", f"/api/folders/{part(uid)}")
        if whole:
            yield {
                "uid": uid,
                "title": whole["title"],
                "description": whole.get("description") or "",
                "parent": parent,
            }
            yield from _folders(web, uid, depth + 1)


def _dashboards(web: JsonApi) -> Iterator[Thing]:
    hits = _paged(web, "/api/search", {"type": "dash-db"}, "limit")
    for uid in sorted({str(hit["uid"]) for hit in hits}):
        whole = web.ask("GET", f"/api/dashboards/uid/{part(uid)}")
        if whole:
            model = {key: value for key, value in whole["dashboard"].items() if key not in ("id", "version")}
            yield {"uid": uid, "folder": whole["meta"].get("folderUid") or "", "model": model}


def _teams(web: JsonApi) -> Iterator[Thing]:
    for team in sorted(_paged(web, "/api/teams/search", {}, "perpage", "teams"), key=lambda team: str(team["name"])):
        path = f"/api/teams/{int(team['id'])}"
        members = [
            {"login": one["login"], "email": one.get("email") or "", "level": one.get("permission") or 0}
            for one in web.ask("GET", f"{path}/members") or []
        ]
        yield {
            "name": team["name"],
            "email": team.get("email") or "",
            "members": sorted(members, key=lambda one: str(one["login"])),
            "preferences": _preferences(web.ask("GET", f"{path}/preferences")),
        }


def _permissions(web: JsonApi, kind: str, uid: str) -> Thing | None:
    listed = web.ask("GET", permissions_path(kind, uid))
    if listed is None:
        return None
    own = [permission for permission in listed if not permission.get("inherited") and permission.get("role") != _ADMIN]
    items = [{**_whose(permission), "level": permission["permission"]} for permission in own]
    return {
        "kind": kind,
        "uid": uid,
        "items": sorted(items, key=lambda permission: sorted(map(str, permission.items()))),
    }


def _whose(item: Thing) -> dict[str, str]:
    if item.get("role"):
        return {"role": str(item["role"])}
    return {"team": str(item["team"])} if item.get("teamId") else {"login": str(item.get("userLogin") or "")}


def _source(datasource: Thing) -> Thing:
    secrets = sorted(name for name, held in (datasource.get("secureJsonFields") or {}).items() if held)
    return {**{key: datasource[key] for key in _SOURCE if key in datasource}, "secrets": secrets}


def _preferences(preferences: Any) -> dict[str, str]:
    return {key: str(preferences[key]) for key in _PREFERENCES if preferences and preferences.get(key)}


def _paged(web: JsonApi, path: str, query: Mapping[str, str], size: str, inside: str = "") -> Iterator[Thing]:
    """All pages of a list; ``inside`` is the key under which a page has it."""
    for page in range(1, _MOST_PAGES + 1):
        answer = web.ask("GET", path, params={**query, size: _PAGE, "page": page})
        listed = (answer or {}).get(inside, []) if inside else answer or []
        yield from listed
        if len(listed) < _PAGE:
            return
    raise BackupError(f"{web.name}: {path} has more than {_MOST_PAGES * _PAGE} entries")
