"""Grafana's definitions, through its HTTP API, and their restore: what people and the deployment made in it, no secret.

Numbers that a Grafana gives by itself (ids, versions) are left out: two Grafanas with the same definitions read alike.
A restore makes neither people nor data sources: people come from the directory, data sources from the deployment. What
is missing of them is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from services.backup import GRAFANA, BackupError, Grafana
from services.backup.manifest import RunSummary, RunWriter
from services.backup.restore import Outcome, connected, content, opened
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
    for name, definition in asdict(definitions).items():
        target.add_json(FILES[name], definition)
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


def restore(folder: Path, url: str, login: tuple[str, str], *, ca_file: Path, replace: bool = False) -> Outcome:
    """Restore a fetched run.

    Args:
        folder: Where the run was fetched to.
        url: Address of Grafana, ``https://host:port``.
        login: Name and password of its administrator.
        ca_file: Authority of its certificate.
        replace: Whether folders, dashboards and teams that are there may be changed, and removed where the backup has
            none of them.

    Returns:
        Counts of what the target has now, read from it anew, and what was not restored.

    Raises:
        BackupError: The target is not empty, or Grafana refuses or does not answer.
    """
    run = opened(folder, GRAFANA).run
    wanted = load(folder)
    with connected("Grafana", url, ca_file, login=login) as web:
        there = read(web)
        held = {key: there.counts()[key] for key in ("folders", "dashboards", "teams") if there.counts()[key]}
        if held and not replace:
            listed = ", ".join(f"{count} {name}" for name, count in held.items())
            raise BackupError(f"Grafana {url}: is not empty ({listed}); nothing was changed")
        notes = [*_apply(web, wanted, there, run), *_missing_sources(wanted, there)]
        return Outcome(counts=read(web).counts(), notes=tuple(notes))


def load(folder: Path) -> Definitions:
    """The definitions of a fetched run.

    Raises:
        BackupError: A file is missing, or no JSON.
    """
    return Definitions(**{name: content(folder, file) for name, file in FILES.items()})


def _apply(web: JsonApi, wanted: Definitions, there: Definitions, run: str) -> Iterator[str]:
    _remove(web, wanted, there)
    present = {folder["uid"] for folder in there.folders}
    for folder in wanted.folders:
        _folder(web, folder, present)
    for dashboard in wanted.dashboards:
        body = {
            "dashboard": {**dashboard["model"], "id": None, "uid": dashboard["uid"]},
            "folderUid": dashboard["folder"],
            "overwrite": True,
            "message": f"Restored from backup {run}",
        }
        _done(web, "POST", "/api/dashboards/db", body)
    people: dict[str, int] = {}
    yield from _restore_teams(web, wanted, people)
    numbers = team_numbers(web)
    for permission in wanted.permissions:
        items = []
        for item in permission["items"]:
            owner = _owner(web, item, people, numbers)
            if owner:
                items.append({**owner, "permission": item["level"]})
            else:
                who = item.get("login") or item.get("team") or "somebody without a name"
                yield f"{permission['kind'][:-1]} {permission['uid']}: {who} is not there, so has no permission"
        _done(web, "POST", permissions_path(permission["kind"], permission["uid"]), {"items": items})
    _done(web, "PUT", "/api/org", {"name": wanted.organization["name"]})
    _done(web, "PUT", "/api/org/preferences", wanted.organization["preferences"])


def _remove(web: JsonApi, wanted: Definitions, there: Definitions) -> None:
    """Remove what the backup does not have. It goes first: its names may be those of what comes."""
    dashboards, folders = ({thing["uid"] for thing in those} for those in (wanted.dashboards, wanted.folders))
    for dashboard in there.dashboards:
        if dashboard["uid"] not in dashboards:
            web.ask("DELETE", f"/api/dashboards/uid/{part(dashboard['uid'])}")
    # Children come after their parents in the list, and go before them.
    for folder in reversed(there.folders):
        if folder["uid"] not in folders:
            web.ask("DELETE", f"/api/folders/{part(folder['uid'])}")
    teams = {team["name"] for team in wanted.teams}
    for name, number in team_numbers(web).items():
        if name not in teams:
            web.ask("DELETE", f"/api/teams/{number}")


def _folder(web: JsonApi, folder: Thing, present: set[str]) -> None:
    uid, path = folder["uid"], f"/api/folders/{part(folder['uid'])}"
    text = {"title": folder["title"], "description": folder["description"]}
    # One that was there may have gone with a parent that was removed.
    existing = web.ask("GET", path) if uid in present else None
    if existing is None:
        _done(web, "POST", "/api/folders", {"uid": uid, "parentUid": folder["parent"], **text})
        return
    if (existing.get("parentUid") or "") != folder["parent"]:
        _done(web, "POST", f"{path}/move", {"parentUid": folder["parent"]})
    _done(web, "PUT", path, {**text, "overwrite": True})


def _restore_teams(web: JsonApi, wanted: Definitions, people: dict[str, int]) -> Iterator[str]:
    numbers = team_numbers(web)
    for team in wanted.teams:
        text = {"name": team["name"], "email": team["email"]}
        number = numbers.get(team["name"]) or int(_done(web, "POST", "/api/teams", text)["teamId"])
        path = f"/api/teams/{number}"
        _done(web, "PUT", path, text)
        there = [member for member in team["members"] if _person(web, member["login"], people)]
        for member in team["members"]:
            if member not in there:
                yield f"team {team['name']}: {member['login']} is not there, so is no member"
        _members(web, path, there, people)
        _done(web, "PUT", f"{path}/preferences", team["preferences"])


def _members(web: JsonApi, path: str, wanted: list[Any], people: dict[str, int]) -> None:
    emails = {
        level: [member["email"] for member in wanted if bool(member["level"]) == level] for level in (False, True)
    }
    if all(member["email"] for member in wanted):
        _done(web, "PUT", f"{path}/members", {"members": emails[False], "admins": emails[True]})
        return
    # Somebody without a mail address can only be added by number, as a plain member.
    held = {int(member["userId"]) for member in web.ask("GET", f"{path}/members") or []}
    numbers = {people[member["login"]] for member in wanted}
    for number in held - numbers:
        web.ask("DELETE", f"{path}/members/{number}")
    for number in numbers - held:
        _done(web, "POST", f"{path}/members", {"userId": number})


def _owner(web: JsonApi, item: Thing, people: dict[str, int], teams: dict[str, int]) -> dict[str, Any] | None:
    if "role" in item:
        return {"role": item["role"]}
    if "team" in item:
        return {"teamId": teams[item["team"]]} if item["team"] in teams else None
    number = _person(web, item["login"], people)
    return {"userId": number} if number else None


def _person(web: JsonApi, login: str, people: dict[str, int]) -> int:
    """Number of somebody in this Grafana, 0 for somebody who is not there."""
    if login not in people:
        user = web.ask("GET", "/api/users/lookup", params={"loginOrEmail": login}) if login else None
        people[login] = int(user["id"]) if user else 0
    return people[login]


def _missing_sources(wanted: Definitions, there: Definitions) -> Iterator[str]:
    held = {source["uid"]: source for source in there.sources}
    for source in wanted.sources:
        existing = held.get(source["uid"])
        if existing is None:
            yield f"data source {source['name']} is missing: `pulumi up --policy-pack policy` makes it"
        elif existing != source:
            keys = sorted(key for key in {*existing, *source} if existing.get(key) != source.get(key))
            yield f"data source {source['name']} differs in {', '.join(keys)}: it comes from the deployment"


def _done(web: JsonApi, method: str, path: str, body: object) -> Any:
    answer = web.ask(method, path, body=body)
    if answer is None:
        raise BackupError(f"{web.name}: {method} {path}: it is not there")
    return answer
