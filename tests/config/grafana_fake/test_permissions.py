"""What viewers, editors and administrators may and may not, in folders, on dashboards, with teams."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from tests.config.grafana_fake.replica import Client, Replica


@dataclass(frozen=True)
class Folder:
    """A folder of its own for a test, with one dashboard."""

    uid: str
    dashboard: str

    @property
    def path(self) -> str:
        return f"/api/folders/{self.uid}"

    @property
    def dashboard_path(self) -> str:
        return f"/api/dashboards/uid/{self.dashboard}"


@pytest.fixture
def admin(first: Replica) -> Client:
    return first.administrator()


@pytest.fixture
def folder(admin: Client) -> Folder:
    uid = f"f-{uuid.uuid4().hex[:10]}"
    assert admin.post("/api/folders", {"uid": uid, "title": f"Folder {uid}"}).status_code == 200
    assert save(admin, f"{uid}-dashboard", uid).status_code == 200
    return Folder(uid, f"{uid}-dashboard")


def save(person: Client, uid: str, folder: str, **more: Any) -> Any:
    """Save a dashboard."""
    model = {"uid": uid, "title": f"Dashboard {uid}", "panels": []} | more.pop("model", {})
    return person.post("/api/dashboards/db", {"dashboard": model, "folderUid": folder, **more})


def give(admin: Client, path: str, *items: dict[str, Any]) -> None:
    """Replace the permissions of something."""
    answer = admin.post(f"{path}/permissions", {"items": list(items)})
    assert answer.status_code == 200, answer.text


def visible_uids(person: Client) -> set[str]:
    """What the search finds for somebody."""
    return {hit["uid"] for hit in person.get("/api/search").json()}


@pytest.mark.parametrize(
    ("name", "writes", "administrates"),
    [("viewer", False, False), ("editor", True, False), ("admin-person", True, True)],
)
def test_at_first_viewers_view_editors_edit_and_administrators_give_permissions(
    first: Replica, folder: Folder, name: str, writes: bool, administrates: bool
) -> None:
    person = first.person(name)
    dashboard = person.get(folder.dashboard_path)
    meta = dashboard.json()["meta"]

    assert dashboard.status_code == 200
    assert (meta["canSave"], meta["canEdit"], meta["canAdmin"]) == (writes, writes, administrates)
    assert meta["folderUid"] == folder.uid
    assert save(person, folder.dashboard, folder.uid, overwrite=True).status_code == (200 if writes else 403)
    assert save(person, f"{folder.uid}-new", folder.uid).status_code == (200 if writes else 403)
    assert person.put(folder.path, {"title": folder.uid, "overwrite": True}).status_code == (200 if writes else 403)
    assert person.get(f"{folder.path}/permissions").status_code == (200 if administrates else 403)
    given = person.post(f"{folder.path}/permissions", {"items": [{"role": "Viewer", "permission": 1}]})
    assert given.status_code == (200 if administrates else 403)
    assert person.delete(folder.dashboard_path).status_code == (200 if writes else 403)


@pytest.mark.parametrize(
    ("method", "path", "content", "viewer", "editor", "admin_person", "administrator"),
    [
        ("POST", "/api/folders", {"title": ""}, 403, 400, 400, 400),
        ("GET", "/api/org", None, 200, 200, 200, 200),
        ("GET", "/api/org/users", None, 403, 403, 200, 200),
        ("GET", "/api/org/preferences", None, 403, 403, 200, 200),
        ("PUT", "/api/org/preferences", {"theme": "dark"}, 403, 403, 200, 200),
        ("GET", "/api/teams/search", None, 403, 403, 200, 200),
        ("POST", "/api/teams", {"name": ""}, 403, 403, 400, 400),
        ("GET", "/api/users", None, 403, 403, 403, 200),
        ("POST", "/api/admin/users", {}, 403, 403, 403, 400),
        ("GET", "/api/datasources", None, 403, 403, 200, 200),
        ("GET", "/api/datasources/uid/metrics", None, 403, 403, 200, 200),
        ("PUT", "/api/datasources/uid/metrics", {}, 403, 403, 403, 403),
        ("DELETE", "/api/datasources/uid/metrics", None, 403, 403, 403, 403),
        ("POST", "/api/datasources", {}, 403, 403, 501, 501),
        ("POST", "/api/snapshots", {}, 403, 403, 403, 403),
        ("GET", "/api/dashboards/public-dashboards", None, 404, 404, 404, 404),
        ("GET", "/api/nothing", None, 404, 404, 404, 404),
    ],
)
def test_each_role_may_what_it_may_in_grafana(
    first: Replica,
    method: str,
    path: str,
    content: object,
    viewer: int,
    editor: int,
    admin_person: int,
    administrator: int,
) -> None:
    assert first.person("viewer").send(method, path, json=content).status_code == viewer
    assert first.person("editor").send(method, path, json=content).status_code == editor
    assert first.person("admin-person").send(method, path, json=content).status_code == admin_person
    assert first.administrator().send(method, path, json=content).status_code == administrator
    if path.startswith("/api/") and path not in ("/api/nothing", "/api/dashboards/public-dashboards"):
        assert first.person().send(method, path, json=content).status_code == 401


def test_a_folder_that_is_given_to_nobody_is_nowhere_to_be_found(first: Replica, admin: Client, folder: Folder) -> None:
    give(admin, folder.path)
    viewer, editor = first.person("viewer"), first.person("editor")

    for person in (viewer, editor):
        assert not {folder.uid, folder.dashboard} & visible_uids(person)
        assert folder.uid not in {listed["uid"] for listed in person.get("/api/folders").json()}
        assert person.get(folder.dashboard_path).status_code == 403
        assert person.get(f"/d/{folder.dashboard}").status_code == 403
        assert person.get(folder.path).json()["title"] == "Access denied"
    assert {folder.uid, folder.dashboard} <= visible_uids(admin)
    assert viewer.get("/api/dashboards/uid/not-there").status_code == 403
    assert admin.get("/api/dashboards/uid/not-there").status_code == 404


def test_an_item_for_viewers_is_none_for_editors(first: Replica, admin: Client, folder: Folder) -> None:
    give(admin, folder.path, {"role": "Viewer", "permission": 1})

    assert first.person("viewer").get(folder.dashboard_path).status_code == 200
    assert first.person("editor").get(folder.dashboard_path).status_code == 403


def test_members_of_a_team_get_what_the_team_is_given(first: Replica, admin: Client, folder: Folder) -> None:
    viewer = first.person("viewer")
    number = viewer.get("/api/user").json()["id"]
    team = admin.post("/api/teams", {"name": f"Team {folder.uid}"}).json()["teamId"]
    give(admin, folder.path, {"teamId": team, "permission": 2})
    assert viewer.get(folder.dashboard_path).status_code == 403

    assert admin.post(f"/api/teams/{team}/members", {"userId": number}).json() == {"message": "Member added to Team"}
    assert save(viewer, folder.dashboard, folder.uid, overwrite=True).status_code == 200
    again = admin.post(f"/api/teams/{team}/members", {"userId": number})
    assert (again.status_code, again.json()["message"]) == (400, "User is already added to this team")
    assert [member["login"] for member in admin.get(f"/api/teams/{team}/members").json()] == ["viewer"]

    assert admin.delete(f"/api/teams/{team}/members/{number}").status_code == 200
    assert viewer.get(folder.dashboard_path).status_code == 403


def test_a_dashboard_can_be_given_to_one_person_beyond_its_folder(
    first: Replica, admin: Client, folder: Folder
) -> None:
    viewer = first.person("viewer")
    give(admin, folder.path)
    give(admin, folder.dashboard_path, {"userId": viewer.get("/api/user").json()["id"], "permission": 4})

    assert viewer.get(folder.dashboard_path).json()["meta"]["canAdmin"] is True
    assert folder.dashboard in visible_uids(viewer)
    assert folder.uid not in visible_uids(viewer)
    assert viewer.get(f"{folder.dashboard_path}/permissions").status_code == 200
    assert first.person("editor").get(folder.dashboard_path).status_code == 403


def test_folders_in_folders_and_dashboards_inherit(first: Replica, admin: Client, folder: Folder) -> None:
    give(admin, folder.path, {"role": "Viewer", "permission": 2})
    inner = admin.post("/api/folders", {"title": "Inner", "parentUid": folder.uid}).json()
    assert save(admin, f"{folder.uid}-deep", inner["uid"]).status_code == 200
    viewer = first.person("viewer")

    assert inner["parentUid"] == folder.uid
    assert [parent["uid"] for parent in inner["parents"]] == [folder.uid]
    assert viewer.get(f"/api/dashboards/uid/{folder.uid}-deep").json()["meta"]["canSave"] is True
    items = admin.get(f"/api/dashboards/uid/{folder.uid}-deep/permissions").json()
    assert [(permission["role"], permission["permission"], permission["inherited"]) for permission in items] == [
        ("Viewer", 2, True)
    ]
    assert viewer.get(f"/api/folders?parentUid={folder.uid}").json()[0]["uid"] == inner["uid"]
    assert admin.get(f"{folder.path}/counts").json() == {"folder": 1, "dashboard": 2}

    assert admin.delete(folder.path).json()["message"] == "Folder deleted"
    assert admin.get(f"/api/dashboards/uid/{folder.uid}-deep").status_code == 404


def test_the_newer_interface_sets_single_permissions(first: Replica, admin: Client, folder: Folder) -> None:
    path = f"/api/access-control/folders/{folder.uid}"
    answer = admin.post(path, {"permissions": [{"builtInRole": "Editor", "permission": ""}]})

    assert answer.json() == {"message": "Permissions updated"}
    assert first.person("editor").get(folder.dashboard_path).status_code == 403
    items = admin.get(path).json()
    assert [
        (permission["builtInRole"], permission["permission"], permission["isInherited"]) for permission in items
    ] == [("Viewer", "View", False)]
    assert admin.post(f"{path}/builtInRoles/Editor", {"permission": "Edit"}).status_code == 200
    assert first.person("editor").get(folder.dashboard_path).json()["meta"]["canSave"] is True


@pytest.mark.parametrize(
    "item",
    [
        {"role": "Admin", "permission": 1},
        {"role": "Viewer", "permission": 3},
        {"role": "Viewer"},
        {"permission": 1},
        {"teamId": 999_999, "permission": 1},
        {"userId": 999_999, "permission": 1},
        {"role": "Viewer", "userId": 1, "permission": 1},
        "Viewer",
    ],
)
def test_permissions_that_mean_nothing_are_refused_and_change_nothing(
    admin: Client, folder: Folder, item: object
) -> None:
    before = admin.get(f"{folder.path}/permissions").json()
    refused = admin.post(f"{folder.path}/permissions", {"items": [item]})

    assert refused.status_code == 400
    assert admin.get(f"{folder.path}/permissions").json() == before


def test_a_page_of_another_site_can_change_nothing(first: Replica) -> None:
    answer = first.person("editor").post(
        "/api/folders", {"title": "From elsewhere"}, headers={"Origin": "https://elsewhere.example"}
    )

    assert (answer.status_code, answer.json()) == (403, {"message": "origin not allowed"})
