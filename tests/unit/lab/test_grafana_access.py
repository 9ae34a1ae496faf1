"""Permissions, teams and preferences of the Grafana plugin, against a fake of Grafana's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lab.pulumi_host.provider import UNKNOWN
from tests.support.provider import Engine
from tests.unit.lab.grafana_api_fake import GrafanaFake, grafana_fake
from tests.unit.lab.grafana_plugin import checked, failure

OF_FOLDER = "grafana:oss/folderPermission:FolderPermission"
OF_DASHBOARD = "grafana:oss/dashboardPermission:DashboardPermission"
TEAM = "grafana:oss/team:Team"
PREFERENCES = "grafana:oss/organizationPreferences:OrganizationPreferences"
VIEWERS = {"role": "Viewer", "permission": "View"}
TEAM_5 = {"teamId": "1:5", "permission": "Edit"}
READERS = {"folderUid": "layer", "permissions": [VIEWERS, TEAM_5]}


@pytest.fixture
def grafana(tmp_path: Path) -> Iterator[GrafanaFake]:
    with grafana_fake(tmp_path) as fake:
        fake.add_folder({"uid": "layer", "title": "Layer"})
        fake.save_dashboard(
            {
                "dashboard": {"uid": "overview", "title": "Overview"},
                "folderUid": "layer",
                "message": "",
                "overwrite": False,
            }
        )
        yield fake


def test_permissions_replace_those_that_are_there(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(engine, OF_FOLDER, READERS)
    identity, outputs, _ = engine.create(OF_FOLDER, inputs)
    assert identity == "1:layer"
    assert sorted(grafana.permissions["folders/layer"], key=str) == [
        {"permission": 1, "role": "Viewer"},
        {"permission": 2, "teamId": 5},
    ]
    assert engine.read(OF_FOLDER, identity, outputs, inputs) == (identity, outputs, inputs)


def test_the_order_and_the_spelling_of_permissions_are_no_change(engine: Engine) -> None:
    swapped = {**READERS, "permissions": [{"teamId": "5", "userId": "0", "permission": "Edit"}, VIEWERS]}
    assert checked(engine, OF_FOLDER, swapped) == checked(engine, OF_FOLDER, READERS)


def test_a_team_that_is_not_known_yet_is_accepted(engine: Engine) -> None:
    items = [{"teamId": UNKNOWN, "permission": "View"}]
    assert checked(engine, OF_FOLDER, {"folderUid": UNKNOWN, "permissions": items})["permissions"] == items
    assert checked(engine, OF_FOLDER, {"folderUid": "layer", "permissions": UNKNOWN})["permissions"] is UNKNOWN


def test_permissions_that_were_changed_by_hand_are_seen_and_set_back(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(engine, OF_FOLDER, READERS)
    engine.create(OF_FOLDER, inputs)
    grafana.permissions["folders/layer"] = [{"role": "Editor", "permission": 4}]
    seen = engine.read(OF_FOLDER, "1:layer", inputs, inputs)[2]
    assert seen["permissions"] == [{"role": "Editor", "permission": "Admin"}]
    engine.update(OF_FOLDER, "1:layer", seen, inputs)
    assert {"permission": 2, "teamId": 5} in grafana.permissions["folders/layer"]


def test_what_a_dashboard_inherits_is_not_its_own(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(
        engine, OF_DASHBOARD, {"dashboardUid": "1:overview", "permissions": [{"userId": "7", "permission": "View"}]}
    )
    identity, outputs, _ = engine.create(OF_DASHBOARD, inputs)
    assert grafana.permissions["dashboards/uid/overview"] == [{"permission": 1, "userId": 7}]
    assert engine.read(OF_DASHBOARD, identity, outputs, inputs) == (identity, outputs, inputs)


def test_permissions_of_something_else_are_others(engine: Engine) -> None:
    assert list(engine.diff(OF_FOLDER, READERS, {**READERS, "folderUid": "x"}).replaces) == ["folderUid"]
    assert list(engine.diff(OF_FOLDER, READERS, {**READERS, "permissions": []}).replaces) == []


def test_permissions_are_taken_back_and_gone_with_their_folder(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(engine, OF_FOLDER, READERS)
    engine.create(OF_FOLDER, inputs)
    engine.delete(OF_FOLDER, "1:layer", inputs)
    assert grafana.permissions["folders/layer"] == []
    grafana.folders.clear()
    assert engine.read(OF_FOLDER, "1:layer", inputs, inputs)[0] == ""
    engine.delete(OF_FOLDER, "1:layer", inputs)


def test_permissions_of_a_folder_that_is_not_there_are_an_error(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(OF_FOLDER, checked(engine, OF_FOLDER, {**READERS, "folderUid": "nowhere"}))
    assert failure(caught) == "grafana: set permissions of folder nowhere: 404 not found"


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([{"role": "Viewer", "permission": "Look"}], "name the permission Look; allowed: View, Edit, Admin"),
        ([{"role": "Guest", "permission": "View"}], "name the role Guest; allowed: Viewer, Editor, Admin"),
        ([{"permission": "View"}], "have an item for nobody; each must name exactly one of role, teamId, userId"),
        ([{"role": "Viewer", "teamId": "5", "permission": "View"}], "have an item for role, teamId; each must"),
        (
            [{"teamId": "operators", "permission": "View"}],
            'name the teamId operators; it must be a number or like "1:5"',
        ),
        ([VIEWERS, {**VIEWERS, "permission": "Edit"}], "name role Viewer twice: keep one level for it"),
        ([{**VIEWERS, "group": "x"}], "name group; allowed: permission, role, teamId, userId"),
        (["Viewer"], "have an item Viewer"),
    ],
)
def test_mistaken_permissions_are_refused(engine: Engine, items: list[Any], reason: str) -> None:
    assert reason in engine.refusals(OF_FOLDER, {"folderUid": "layer", "permissions": items})["permissions"]


def test_a_team_is_made_changed_and_removed(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(engine, TEAM, {"email": "ops@example.com"}, name="operators")
    identity, outputs, _ = engine.create(TEAM, inputs)
    number = outputs["teamId"]
    assert identity == f"1:{number}"
    assert outputs == {**inputs, "name": "operators", "teamId": number, "teamUid": f"t{number}", "orgId": "1"}
    assert engine.read(TEAM, identity, outputs, inputs) == (identity, outputs, inputs)
    engine.update(TEAM, identity, outputs, {**inputs, "name": "others", "email": ""})
    assert (grafana.teams[number]["name"], grafana.teams[number]["email"]) == ("others", "")
    engine.delete(TEAM, identity, outputs)
    assert grafana.teams == {}
    assert engine.read(TEAM, identity, outputs, inputs)[0] == ""
    engine.delete(TEAM, identity, outputs)


def test_a_team_that_exists_already_is_not_taken_over(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(engine, TEAM, {"name": "operators"})
    identity, _, _ = engine.create(TEAM, inputs)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TEAM, inputs)
    assert failure(caught) == (
        "grafana: create team operators: it exists already. Import it: "
        f"pulumi import grafana:oss/team:Team NAME {identity}"
    )


def test_a_team_that_our_own_lost_request_made_is_accepted(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.lose_next = [502]
    identity, _, _ = engine.create(TEAM, checked(engine, TEAM, {"name": "operators"}))
    assert [f"1:{number}" for number in grafana.teams] == [identity]


def test_members_are_kept_where_they_are_named_and_left_alone_elsewhere(engine: Engine, grafana: GrafanaFake) -> None:
    ada, ben, cyd = "ada@example.com", "ben@example.com", "cyd@example.com"
    inputs = checked(engine, TEAM, {"name": "operators", "members": [ben, ada, ben]})
    identity, outputs, _ = engine.create(TEAM, inputs)
    team = grafana.teams[outputs["teamId"]]
    assert team["people"] == {ada: 0, ben: 0}
    team["people"][cyd] = 4
    assert engine.read(TEAM, identity, outputs, inputs) == (identity, outputs, inputs)
    fewer = {**inputs, "members": [ada]}
    engine.update(TEAM, identity, outputs, fewer)
    assert team["people"] == {ada: 0, cyd: 4}
    engine.update(TEAM, identity, fewer, {**fewer, "admins": [ada]})
    assert team["people"] == {ada: 4}
    unnamed = {key: value for key, value in inputs.items() if key != "members"}
    engine.update(TEAM, identity, fewer, unnamed)
    assert team["people"] == {ada: 4}


def test_a_member_added_by_hand_is_seen(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = checked(engine, TEAM, {"name": "operators", "members": ["ada@example.com"]})
    identity, outputs, _ = engine.create(TEAM, inputs)
    grafana.teams[outputs["teamId"]]["people"]["ben@example.com"] = 0
    assert engine.read(TEAM, identity, outputs, inputs)[2]["members"] == ["ada@example.com", "ben@example.com"]


def test_an_unknown_person_is_told_in_grafana_s_words_and_leaves_no_team(engine: Engine, grafana: GrafanaFake) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TEAM, checked(engine, TEAM, {"name": "operators", "members": ["nobody@example.com"]}))
    assert failure(caught) == "grafana: set members of team operators: 400 user not found"
    assert grafana.teams == {}


@pytest.mark.parametrize(
    ("inputs", "key", "reason"),
    [
        ({"name": ""}, "name", "is empty"),
        (
            {"name": "x", "preferences": {"theme": "dark"}},
            "preferences",
            "is not kept by the lab's plugin: leave it out",
        ),
        ({"name": "x", "teamSync": {}}, "teamSync", "is not kept by the lab's plugin"),
    ],
)
def test_a_mistaken_team_is_refused(engine: Engine, inputs: dict[str, Any], key: str, reason: str) -> None:
    assert reason in engine.refusals(TEAM, inputs)[key]


def test_preferences_are_set_read_changed_and_emptied(engine: Engine, grafana: GrafanaFake) -> None:
    inputs = {"theme": "light", "timezone": "Asia/Tokyo", "weekStart": "monday", "homeDashboardUid": "overview"}
    identity, outputs, _ = engine.create(PREFERENCES, inputs)
    assert identity == "1"
    assert grafana.preferences["homeDashboardUID"] == "overview"
    assert engine.read(PREFERENCES, identity, outputs, inputs) == (identity, outputs, inputs)
    grafana.preferences["timezone"] = "utc"
    assert engine.read(PREFERENCES, identity, outputs, inputs)[2] == {**inputs, "timezone": "utc"}
    engine.update(PREFERENCES, identity, outputs, {"timezone": "browser"})
    assert grafana.preferences["theme"] == ""
    engine.delete(PREFERENCES, identity, outputs)
    assert set(grafana.preferences.values()) == {""}


def test_a_home_dashboard_that_is_not_there_is_an_error(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(PREFERENCES, {"homeDashboardUid": "nowhere"})
    assert failure(caught) == "grafana: set the organization's preferences: 404 Dashboard not found"


def test_a_week_starts_on_a_day_that_grafana_knows(engine: Engine) -> None:
    refusals = engine.refusals(PREFERENCES, {"weekStart": "friday"})
    assert refusals == {"weekStart": "is friday; allowed: sunday, monday, saturday or empty"}
