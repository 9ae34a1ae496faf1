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
from services.backup.web import Web, part


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
    with Web("Grafana", url, ca_file, login=login) as web:
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


def _apply(web: Web, wanted: Definitions, there: Definitions, run: str) -> Iterator[str]:
    _remove(web, wanted, there)
    present = {each["uid"] for each in there.folders}
    for each in wanted.folders:
        _folder(web, each, present)
    for each in wanted.dashboards:
        body = {
            "dashboard": {**each["model"], "id": None, "uid": each["uid"]},
            "folderUid": each["folder"],
            "overwrite": True,
            "message": f"Restored from backup {run}",
        }
        _done(web, "POST", "/api/dashboards/db", body)
    people: dict[str, int] = {}
    yield from _teams(web, wanted, people)
    numbers = team_numbers(web)
    for each in wanted.permissions:
        items = []
        for item in each["items"]:
            owner = _owner(web, item, people, numbers)
            if owner:
                items.append({**owner, "permission": item["level"]})
            else:
                who = item.get("login") or item.get("team") or "somebody without a name"
                yield f"{each['kind'][:-1]} {each['uid']}: {who} is not there, so has no permission"
        _done(web, "POST", permissions_path(each["kind"], each["uid"]), {"items": items})
    _done(web, "PUT", "/api/org", {"name": wanted.organization["name"]})
    _done(web, "PUT", "/api/org/preferences", wanted.organization["preferences"])


def _remove(web: Web, wanted: Definitions, there: Definitions) -> None:
    """Remove what the backup does not have. It goes first: its names may be those of what comes."""
    dashboards, folders = ({each["uid"] for each in those} for those in (wanted.dashboards, wanted.folders))
    for each in there.dashboards:
        if each["uid"] not in dashboards:
            web.ask("DELETE", f"/api/dashboards/uid/{part(each['uid'])}")
    # Children come after their parents in the list, and go before them.
    for each in reversed(there.folders):
        if each["uid"] not in folders:
            web.ask("DELETE", f"/api/folders/{part(each['uid'])}")
    teams = {each["name"] for each in wanted.teams}
    for name, number in team_numbers(web).items():
        if name not in teams:
            web.ask("DELETE", f"/api/teams/{number}")


def _folder(web: Web, each: Thing, present: set[str]) -> None:
    uid, path = each["uid"], f"/api/folders/{part(each['uid'])}"
    text = {"title": each["title"], "description": each["description"]}
    # One that was there may have gone with a parent that was removed.
    found = web.ask("GET", path) if uid in present else None
    if found is None:
        _done(web, "POST", "/api/folders", {"uid": uid, "parentUid": each["parent"], **text})
        return
    if (found.get("parentUid") or "") != each["parent"]:
        _done(web, "POST", f"{path}/move", {"parentUid": each["parent"]})
    _done(web, "PUT", path, {**text, "overwrite": True})


def _teams(web: Web, wanted: Definitions, people: dict[str, int]) -> Iterator[str]:
    numbers = team_numbers(web)
    for each in wanted.teams:
        text = {"name": each["name"], "email": each["email"]}
        number = numbers.get(each["name"]) or int(_done(web, "POST", "/api/teams", text)["teamId"])
        path = f"/api/teams/{number}"
        _done(web, "PUT", path, text)
        there = [member for member in each["members"] if _person(web, member["login"], people)]
        for member in each["members"]:
            if member not in there:
                yield f"team {each['name']}: {member['login']} is not there, so is no member"
        _members(web, path, there, people)
        _done(web, "PUT", f"{path}/preferences", each["preferences"])


def _members(web: Web, path: str, wanted: list[Any], people: dict[str, int]) -> None:
    emails = {level: [each["email"] for each in wanted if bool(each["level"]) == level] for level in (False, True)}
    if all(each["email"] for each in wanted):
        _done(web, "PUT", f"{path}/members", {"members": emails[False], "admins": emails[True]})
        return
    # Somebody without a mail address can only be added by number, as a plain member.
    held = {int(each["userId"]) for each in web.ask("GET", f"{path}/members") or []}
    numbers = {people[each["login"]] for each in wanted}
    for number in held - numbers:
        web.ask("DELETE", f"{path}/members/{number}")
    for number in numbers - held:
        _done(web, "POST", f"{path}/members", {"userId": number})


def _owner(web: Web, item: Thing, people: dict[str, int], teams: dict[str, int]) -> dict[str, Any] | None:
    if "role" in item:
        return {"role": item["role"]}
    if "team" in item:
        return {"teamId": teams[item["team"]]} if item["team"] in teams else None
    number = _person(web, item["login"], people)
    return {"userId": number} if number else None


def _person(web: Web, login: str, people: dict[str, int]) -> int:
    """Number of somebody in this Grafana, 0 for somebody who is not there."""
    if login not in people:
        found = web.ask("GET", "/api/users/lookup", params={"loginOrEmail": login}) if login else None
        people[login] = int(found["id"]) if found else 0
    return people[login]


def _missing_sources(wanted: Definitions, there: Definitions) -> Iterator[str]:
    held = {each["uid"]: each for each in there.sources}
    for each in wanted.sources:
        found = held.get(each["uid"])
        if found is None:
            yield f"data source {each['name']} is not there: it comes from the deployment (pulumi up), not from here"
        elif found != each:
            keys = sorted(key for key in {*found, *each} if found.get(key) != each.get(key))
            yield f"data source {each['name']} differs in {', '.join(keys)}: it comes from the deployment"


def _done(web: Web, method: str, path: str, body: object) -> Any:
    answer = web.ask(method, path, body=body)
    if answer is None:
        raise BackupError(f"{web.what}: {method} {path}: it is not there")
    return answer
