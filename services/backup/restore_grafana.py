"""Restores Grafana's definitions: folders, dashboards, teams, permissions and preferences, as they were.

Nothing makes people or data sources here: people come from the directory, data sources from the deployment. What is
missing of them is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.backup.errors import BackupError
from services.backup.grafana import FILES, Definitions, Thing, permissions_path, read, team_numbers
from services.backup.restore import Outcome, content, opened
from services.backup.settings import GRAFANA
from services.backup.web import connected
from services.runtime.json_api import JsonApi, part


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
    yield from _teams(web, wanted, people)
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


def _teams(web: JsonApi, wanted: Definitions, people: dict[str, int]) -> Iterator[str]:
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
            yield f"data source {source['name']} is not there: it comes from the deployment (pulumi up), not from here"
        elif existing != source:
            keys = sorted(key for key in {*existing, *source} if existing.get(key) != source.get(key))
            yield f"data source {source['name']} differs in {', '.join(keys)}: it comes from the deployment"


def _done(web: JsonApi, method: str, path: str, body: object) -> Any:
    answer = web.ask(method, path, body=body)
    if answer is None:
        raise BackupError(f"{web.name}: {method} {path}: it is not there")
    return answer
