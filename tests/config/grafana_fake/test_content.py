"""Dashboards and folders: versions, conflicts of two who change at once, identifiers, what is logged."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.config.grafana_fake.replica import Client, Replica

CHANGED = {"status": "version-mismatch", "message": "The dashboard has been changed by someone else"}


@pytest.fixture
def admin(first: Replica) -> Client:
    return first.administrator()


@pytest.fixture
def uid() -> str:
    return f"c-{uuid.uuid4().hex[:10]}"


def save(person: Client, model: dict[str, Any], **more: Any) -> Any:
    """Save a dashboard."""
    return person.post("/api/dashboards/db", {"dashboard": {"title": "A dashboard"} | model, **more})


def test_a_dashboard_comes_back_as_it_was_saved(admin: Client, uid: str) -> None:
    model = {
        "uid": uid,
        "title": "Größe / 容量",
        "tags": ["a", "b"],
        "panels": [{"id": 1, "z": 1, "a": None}],
        "id": None,
    }
    saved = save(admin, model, message="first").json()
    dashboard = admin.get(f"/api/dashboards/uid/{uid}").json()

    assert {key: saved[key] for key in ("uid", "status", "version", "folderUid")} == {
        "uid": uid,
        "status": "success",
        "version": 1,
        "folderUid": "",
    }
    assert saved["url"] == f"/d/{uid}/{saved['slug']}"
    assert dashboard["dashboard"] == model | {"id": saved["id"], "version": 1}
    assert list(dashboard["dashboard"]["panels"][0]) == ["id", "z", "a"]
    assert dashboard["meta"]["createdBy"] == "administrator"
    assert admin.get(f"/d/{uid}/any").text.count("Größe / 容量") == 2


def test_who_saves_an_older_version_is_told_so_unless_they_overwrite(admin: Client, uid: str) -> None:
    assert save(admin, {"uid": uid}).json()["version"] == 1
    assert save(admin, {"uid": uid, "version": 1}).json()["version"] == 2

    for stale in ({"uid": uid, "version": 1}, {"uid": uid}):
        refused = save(admin, stale)
        assert (refused.status_code, refused.json()) == (412, CHANGED)
    assert save(admin, {"uid": uid}, overwrite=True).json()["version"] == 3


def test_of_many_who_save_the_same_version_at_once_one_wins(replicas: tuple[Replica, Replica], uid: str) -> None:
    assert save(replicas[0].administrator(), {"uid": uid}).status_code == 200

    def attempt(number: int) -> int:
        person = replicas[number % 2].administrator()
        return int(save(person, {"uid": uid, "version": 1, "title": f"By {number}"}).status_code)

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(attempt, range(8)))
    assert codes == [200] + [412] * 7
    assert replicas[0].administrator().get(f"/api/dashboards/uid/{uid}").json()["dashboard"]["version"] == 2


def test_older_versions_are_kept_and_restored(admin: Client, uid: str) -> None:
    save(admin, {"uid": uid, "title": "One"}, message="as it began")
    save(admin, {"uid": uid, "title": "Two"}, overwrite=True)
    path = f"/api/dashboards/uid/{uid}"
    restored = admin.post(f"{path}/restore", {"version": 1})

    assert (restored.status_code, restored.json()["version"]) == (200, 3)
    assert admin.get(path).json()["dashboard"]["title"] == "One"
    versions = admin.get(f"{path}/versions").json()["versions"]
    assert [(version["version"], version["parentVersion"], version["restoredFrom"]) for version in versions] == [
        (3, 2, 1),
        (2, 1, 0),
        (1, 0, 0),
    ]
    assert versions[-1]["message"] == "as it began"
    assert admin.get(f"{path}/versions/2").json()["data"]["title"] == "Two"
    assert admin.get(f"{path}/versions/9").status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ({"dashboard": {"uid": "has space", "title": "x"}}, 400, "uid contains illegal characters"),
        ({"dashboard": {"uid": "a" * 41, "title": "x"}}, 400, "uid too long, max 40 characters"),
        ({"dashboard": {"title": " "}}, 400, "Dashboard title cannot be empty"),
        ({"dashboard": {"title": "x"}, "folderUid": "not-there"}, 400, "folder not found"),
        ({"dashboard": {"title": "x", "id": 999_999}}, 404, "Dashboard not found"),
        ({"dashboard": "x"}, 400, "bad request data"),
        ({}, 400, "bad request data"),
    ],
)
def test_dashboards_that_cannot_be_are_refused(admin: Client, content: object, status: int, message: str) -> None:
    answer = admin.post("/api/dashboards/db", content)

    assert (answer.status_code, answer.json()["message"]) == (status, message)


@pytest.mark.parametrize(
    ("refresh", "status", "message"),
    [
        ("5s", 200, "success"),
        ("", 200, "success"),
        ("1m", 200, "success"),
        ("1s", 400, "Dashboard refresh interval is too low"),
        ("often", 400, "parsing refresh duration failed: invalid duration"),
    ],
)
def test_dashboards_do_not_refresh_themselves_too_often(
    admin: Client, uid: str, refresh: str, status: int, message: str
) -> None:
    answer = save(admin, {"uid": uid, "refresh": refresh})
    assert answer.status_code == status
    assert message in answer.text


def test_a_body_that_is_no_json_is_refused(admin: Client) -> None:
    for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
        assert admin.send("POST", "/api/dashboards/db", data=body).status_code == 400
    assert admin.send("POST", "/api/dashboards/db", data=b"x" * (5 * 1024 * 1024)).status_code == 413
    assert admin.get("/api/org").status_code == 200, "the connection is still of use"


def test_folders_have_versions_names_and_identifiers(admin: Client, uid: str) -> None:
    folder = admin.post("/api/folders", {"uid": uid, "title": uid}).json()

    assert (folder["version"], folder["url"]) == (1, f"/dashboards/f/{uid}/{uid}")
    twice = admin.post("/api/folders", {"uid": uid, "title": "Other"})
    assert (twice.status_code, twice.json()["message"]) == (409, "a folder with the same uid already exists")
    assert admin.post("/api/folders", {"title": uid}).status_code == 409
    assert admin.put(f"/api/folders/{uid}", {"title": f"{uid} new", "version": 1}).json()["version"] == 2
    stale = admin.put(f"/api/folders/{uid}", {"title": "x", "version": 1})
    assert (stale.status_code, stale.json()["status"]) == (412, "version-mismatch")
    assert admin.get(f"/api/folders/{uid}").json()["title"] == f"{uid} new"
    assert admin.get("/api/folders/not-there").json() == {"status": "not-found", "message": "folder not found"}


def test_folders_go_four_deep_and_never_into_themselves(admin: Client, uid: str) -> None:
    parent = ""
    uids = [f"{uid}-{level}" for level in range(4)]
    for folder_uid in uids:
        assert (
            admin.post("/api/folders", {"uid": folder_uid, "title": folder_uid, "parentUid": parent}).status_code == 200
        )
        parent = folder_uid
    deeper = admin.post("/api/folders", {"title": "x", "parentUid": parent})

    assert (deeper.status_code, deeper.json()["message"]) == (400, "Maximum nested folder depth reached")
    assert admin.post(f"/api/folders/{uids[0]}/move", {"parentUid": uids[3]}).status_code == 400
    assert admin.post(f"/api/folders/{uids[3]}/move", {"parentUid": ""}).json()["uid"] == uids[3]
    assert "parentUid" not in admin.get(f"/api/folders/{uids[3]}").json()


def test_the_search_finds_by_words_tags_folders_and_kind(admin: Client, uid: str) -> None:
    admin.post("/api/folders", {"uid": uid, "title": f"Place {uid}"})
    save(admin, {"uid": f"{uid}-1", "title": f"Kafka brokers {uid}", "tags": ["obs", uid]}, folderUid=uid)
    save(admin, {"uid": f"{uid}-2", "title": f"Traces {uid}", "tags": [uid]})

    def search(query: str) -> list[str]:
        return [hit["uid"] for hit in admin.get(f"/api/search?{query}").json()]

    assert search(f"query=BROKERS {uid}") == [f"{uid}-1"]
    assert search(f"tag={uid}&type=dash-db") == [f"{uid}-1", f"{uid}-2"]
    assert search(f"folderUIDs={uid}") == [f"{uid}-1"]
    assert search(f"query={uid}&type=dash-folder") == [uid]
    assert search(f"tag={uid}&limit=1&page=2") == [f"{uid}-2"]
    shown = admin.get(f"/api/search?dashboardUIDs={uid}-1").json()[0]
    assert (shown["folderUid"], shown["folderTitle"], shown["type"]) == (uid, f"Place {uid}", "dash-db")


def test_preferences_name_a_home_dashboard_that_is_there(admin: Client, uid: str) -> None:
    save(admin, {"uid": uid})

    missing = admin.put("/api/org/preferences", {"homeDashboardUID": "not-there"})
    assert (missing.status_code, missing.json()["message"]) == (404, "Dashboard not found")
    wanted = {"homeDashboardUID": uid, "timezone": "Asia/Tokyo"}
    assert admin.put("/api/org/preferences", wanted).json() == {"message": "Preferences updated"}
    assert admin.get("/api/org/preferences").json() == wanted
    admin.send("PATCH", "/api/org/preferences", json={"theme": "light"})
    assert admin.get("/api/org/preferences").json() == wanted | {"theme": "light"}
    assert admin.get("/api/dashboards/home").json() == {"redirectUri": f"/d/{uid}"}


def test_teams_have_names_of_their_own(admin: Client, uid: str) -> None:
    team = admin.post("/api/teams", {"name": uid, "email": "team@example.com"}).json()

    taken = admin.post("/api/teams", {"name": uid})
    assert (taken.status_code, taken.json()) == (409, {"message": "Team name taken"})
    search_result = admin.get(f"/api/teams/search?name={uid}").json()
    assert (search_result["totalCount"], search_result["teams"][0]["id"]) == (1, team["teamId"])
    assert admin.get(f"/api/teams/{team['uid']}").json()["email"] == "team@example.com"
    assert admin.put(f"/api/teams/{team['teamId']}", {"name": f"{uid} new"}).json() == {"message": "Team updated"}
    assert admin.delete(f"/api/teams/{team['teamId']}").json() == {"message": "Team deleted"}
    assert admin.get(f"/api/teams/{team['teamId']}").json() == {"message": "Team not found"}


def test_members_that_are_made_beforehand_become_people_of_the_directory(
    first: Replica, admin: Client, uid: str
) -> None:
    login = "crowd"
    known = admin.get(f"/api/users/lookup?loginOrEmail={login}")
    if known.status_code == 200:
        admin.delete(f"/api/admin/users/{known.json()['id']}")
    account = admin.post("/api/admin/users", {"login": login, "email": f"{login}@example.com", "password": uid}).json()
    team = admin.post("/api/teams", {"name": uid}).json()["teamId"]
    assert admin.put(f"/api/teams/{team}/members", {"members": [f"{login}@example.com"]}).status_code == 200

    person = first.person(login)
    assert person.get("/api/user").json()["id"] == account["id"]
    assert [team["name"] for team in person.get("/api/user/teams").json()] == [uid]
    assert first.person().log_in(login, uid).status_code == 401, "the password of before is no longer one"


def test_changes_are_in_the_log_with_who_made_them(first: Replica, admin: Client, uid: str) -> None:
    editor = first.person("editor")
    save(editor, {"uid": uid})
    admin.post(f"/api/dashboards/uid/{uid}/permissions", {"items": []})
    first.person("viewer").delete(f"/api/dashboards/uid/{uid}")

    saved = first.lines(msg="Request Completed", path="/api/dashboards/db", uname="editor")[-1]
    assert (saved["status"], saved["method"], saved["handler"]) == (200, "POST", "/api/dashboards/db")
    assert saved["userId"] == editor.get("/api/user").json()["id"]
    assert first.lines(path=f"/api/dashboards/uid/{uid}/permissions")[-1]["uname"] == "administrator"
    refused = first.lines(path=f"/api/dashboards/uid/{uid}", method="DELETE")[-1]
    assert (refused["uname"], refused["status"], refused["handler"]) == ("viewer", 403, "/api/dashboards/uid/:uid")
