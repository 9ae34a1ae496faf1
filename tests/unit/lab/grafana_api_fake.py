"""A fake of Grafana's HTTP API in memory, with the parts of version 12.3 that the provider plugin asks."""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from services.runtime.https import HttpsServer
from tests.config.pki import write_certificates

LOGIN = "admin:hunter2"
_LEVELS = {1: "View", 2: "Edit", 4: "Admin"}
_DEFAULTS = [{"role": "Editor", "permission": 2}, {"role": "Viewer", "permission": 1}]
_PEOPLE = {1: "ada@example.com", 2: "ben@example.com", 3: "cyd@example.com"}

Said = tuple[int, Any]


def message(status: int, text: str) -> Said:
    """An answer with words only."""
    return status, {"message": text}


@dataclass
class GrafanaFake:
    """What is in it, what it was asked, and how it shall fail next.

    Attributes:
        url: Where it is.
        authority: File of the authority of its certificate.
        refuse_next: Statuses of the next answers, given instead of doing anything.
        lose_next: Statuses of the next answers, given after having done what was asked.
        words: What it says when it refuses so; text is sent as it is, and no JSON.
        asked: ``METHOD path`` of every request.
    """

    url: str = ""
    authority: str = ""
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    permissions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    teams: dict[int, dict[str, Any]] = field(default_factory=dict)
    preferences: dict[str, str] = field(default_factory=dict)
    refuse_next: list[int] = field(default_factory=list)
    lose_next: list[int] = field(default_factory=list)
    words: Any = field(default_factory=lambda: {"message": "restarting"})
    requests: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(5))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settings(self, **other: Any) -> dict[str, Any]:
        """Settings of a provider that reaches it."""
        defaults = {"url": self.url, "auth": LOGIN, "caCert": self.authority, "retries": "3", "retryWait": "0"}
        return {**defaults, **other}

    def changes(self) -> list[str]:
        """What it was asked to change."""
        return [line for line in self.requests if not line.startswith("GET")]

    def answer(self, method: str, path: str, login: str, query: dict[str, str], body: Any) -> Said:
        """One request."""
        with self.lock:
            self.requests.append(f"{method} {path}")
            if self.refuse_next:
                return self.refuse_next.pop(0), self.words
            if login != LOGIN:
                return message(401, "Invalid username or password")
            for pattern, verb, act in _ROUTES:
                if verb == method and (match := re.fullmatch(pattern, path)):
                    said = act(self, *match.groups(), query if method in ("GET", "DELETE") else body)
                    return message(self.lose_next.pop(0), "gateway") if self.lose_next else said
            return message(404, "Not found")

    def add_folder(self, body: Any) -> Said:
        uid = body["uid"]
        if uid in self.folders:
            return message(409, "a folder with the same uid already exists")
        if any(folder["title"] == body["title"] for folder in self.folders.values()):
            return message(409, "a folder with the same name already exists in the current location")
        self.folders[uid] = {
            "id": next(self.numbers),
            "uid": uid,
            "title": body["title"],
            "url": f"/dashboards/f/{uid}",
        }
        self.folders[uid] |= {"parentUid": body["parentUid"]} if "parentUid" in body else {}
        self.permissions[f"folders/{uid}"] = list(_DEFAULTS)
        return 200, self.folders[uid]

    def folder(self, uid: str, query: Any) -> Said:
        content = self.folders.get(uid)
        return (200, content) if content else message(404, "folder not found")

    def change_folder(self, uid: str, body: Any) -> Said:
        if uid not in self.folders:
            return message(404, "folder not found")
        if not body.get("overwrite"):
            return message(412, "the folder has been changed by someone else")
        self.folders[uid]["title"] = body["title"]
        return 200, self.folders[uid]

    def drop_folder(self, uid: str, query: Any) -> Said:
        if self.folders.pop(uid, None) is None:
            return message(404, "folder not found")
        self.dashboards = {key: dashboard for key, dashboard in self.dashboards.items() if dashboard["folder"] != uid}
        return message(200, "Folder deleted")

    def save_dashboard(self, body: Any) -> Said:
        model = body["dashboard"]
        uid, there = model["uid"], self.dashboards.get(model["uid"])
        if body["folderUid"] and body["folderUid"] not in self.folders:
            return message(400, "folder not found")
        if there and not body["overwrite"] and model.get("version") != there["model"]["version"]:
            return message(412, "The dashboard has been changed by someone else")
        number = there["model"]["id"] if there else next(self.numbers)
        version = there["model"]["version"] + 1 if there else 1
        panels = [{"id": place, **panel} for place, panel in enumerate(model.get("panels", []), 1)]
        saved = {**model, **({"panels": panels} if panels else {}), "id": number, "version": version}
        self.dashboards[uid] = {"model": saved, "folder": body["folderUid"], "message": body["message"]}
        if not there:
            self.permissions[f"dashboards/uid/{uid}"] = []
        url = f"/d/{uid}/dashboard"
        return 200, {"id": number, "uid": uid, "url": url, "status": "success", "version": version}

    def dashboard(self, uid: str, query: Any) -> Said:
        saved_dashboard = self.dashboards.get(uid)
        if not saved_dashboard:
            return message(404, "Dashboard not found")
        return 200, {
            "dashboard": saved_dashboard["model"],
            "meta": {"url": f"/d/{uid}/dashboard", "folderUid": saved_dashboard["folder"]},
        }

    def delete_dashboard(self, uid: str, query: Any) -> Said:
        if self.dashboards.pop(uid, None) is None:
            return message(404, "Dashboard not found")
        return message(200, "Dashboard deleted")

    def search(self, query: Any) -> Said:
        inside = [dashboard for dashboard in self.dashboards.values() if dashboard["folder"] == query["folderUIDs"]]
        return 200, [{"title": entry["model"]["title"]} for entry in inside]

    def _permissions_of(self, thing: str) -> list[dict[str, Any]] | None:
        kind, _, uid = thing.rpartition("/")
        return self.permissions[thing] if uid in (self.folders if kind == "folders" else self.dashboards) else None

    def allowed(self, thing: str, query: Any) -> Said:
        own = self._permissions_of(thing)
        if own is None:
            return message(404, "not found")
        above = [] if thing.startswith("folders/") else [{**default, "inherited": True} for default in _DEFAULTS]
        blank = {"userId": 0, "teamId": 0, "role": "", "inherited": False}
        return 200, [{**blank, **entry, "permissionName": _LEVELS[entry["permission"]]} for entry in [*own, *above]]

    def allow(self, thing: str, body: Any) -> Said:
        if self._permissions_of(thing) is None:
            return message(404, "not found")
        self.permissions[thing] = list(reversed(body["items"]))
        return message(200, "permissions updated")

    def add_team(self, body: Any) -> Said:
        if any(team["name"] == body["name"] for team in self.teams.values()):
            return message(409, "Team name taken")
        number = next(self.numbers)
        self.teams[number] = {"id": number, "uid": f"t{number}", **body, "people": {}}
        return 200, {"message": "Team created", "teamId": number, "uid": f"t{number}"}

    def find_teams(self, query: Any) -> Said:
        return 200, {"teams": [team for team in self.teams.values() if team["name"] == query["name"]]}

    def team(self, number: str, query: Any) -> Said:
        content = self.teams.get(int(number))
        return (200, content) if content else message(404, "Team not found")

    def change_team(self, number: str, body: Any) -> Said:
        self.teams[int(number)] |= body
        return message(200, "Team updated")

    def drop_team(self, number: str, query: Any) -> Said:
        return message(200, "Team deleted") if self.teams.pop(int(number), None) else message(404, "Team not found")

    def people(self, number: str, query: Any) -> Said:
        there = self.teams[int(number)]["people"]
        return 200, [{"email": email, "login": email[:3], "permission": level} for email, level in there.items()]

    def set_people(self, number: str, body: Any) -> Said:
        wanted = {**dict.fromkeys(body["members"], 0), **dict.fromkeys(body["admins"], 4)}
        strange = sorted(wanted.keys() - set(_PEOPLE.values()))
        if strange:
            return message(400, "user not found")
        self.teams[int(number)]["people"] = wanted
        return message(200, "Team memberships have been updated")

    def preferred(self, query: Any) -> Said:
        return 200, {key: value for key, value in self.preferences.items() if value or key != "homeDashboardUID"}

    def prefer(self, body: Any) -> Said:
        if body["homeDashboardUID"] and body["homeDashboardUID"] not in self.dashboards:
            return message(404, "Dashboard not found")
        self.preferences = body
        return message(200, "Preferences updated")


_THING = r"/api/(folders/[^/]+|dashboards/uid/[^/]+)/permissions"
_ROUTES: list[tuple[str, str, Callable[..., Said]]] = [
    ("/api/folders", "POST", GrafanaFake.add_folder),
    ("/api/folders/([^/]+)", "GET", GrafanaFake.folder),
    ("/api/folders/([^/]+)", "PUT", GrafanaFake.change_folder),
    ("/api/folders/([^/]+)", "DELETE", GrafanaFake.drop_folder),
    ("/api/dashboards/db", "POST", GrafanaFake.save_dashboard),
    ("/api/dashboards/uid/([^/]+)", "GET", GrafanaFake.dashboard),
    ("/api/dashboards/uid/([^/]+)", "DELETE", GrafanaFake.delete_dashboard),
    ("/api/search", "GET", GrafanaFake.search),
    (_THING, "GET", GrafanaFake.allowed),
    (_THING, "POST", GrafanaFake.allow),
    ("/api/teams", "POST", GrafanaFake.add_team),
    ("/api/teams/search", "GET", GrafanaFake.find_teams),
    (r"/api/teams/(\d+)", "GET", GrafanaFake.team),
    (r"/api/teams/(\d+)", "PUT", GrafanaFake.change_team),
    (r"/api/teams/(\d+)", "DELETE", GrafanaFake.drop_team),
    (r"/api/teams/(\d+)/members", "GET", GrafanaFake.people),
    (r"/api/teams/(\d+)/members", "PUT", GrafanaFake.set_people),
    ("/api/org/preferences", "GET", GrafanaFake.preferred),
    ("/api/org/preferences", "PUT", GrafanaFake.prefer),
]


@contextmanager
def grafana_fake(folder: Path) -> Iterator[GrafanaFake]:
    """Serve one on ``localhost`` until the block ends."""
    write_certificates(folder)
    fake = GrafanaFake(authority=str(folder / "ca.crt"))

    def application(environ: Any, start: Any) -> Iterable[bytes]:
        encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")[2]
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        query = {key: values[0] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        status, content = fake.answer(
            environ["REQUEST_METHOD"],
            unquote(environ["PATH_INFO"]),
            base64.b64decode(encoded).decode(),
            query,
            json.loads(sent) if sent else None,
        )
        start(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "application/json")])
        return [(content if isinstance(content, str) else json.dumps(content)).encode()]

    server = HttpsServer("127.0.0.1", 0, folder / "tls.crt", folder / "tls.key", application)
    fake.url = f"https://localhost:{server.server_port}"
    server.start()
    try:
        yield fake
    finally:
        server.stop()
