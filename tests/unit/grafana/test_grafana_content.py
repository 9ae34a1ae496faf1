"""What is put into Grafana: where each dashboard is, who sees and changes it, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.dashboards import drilldowns
from components.dashboards.registry import DASHBOARDS
from components.grafana.content import EDITORS, EVERYBODY, FOLDERS, HOME, FolderSpec, Grant, Level, TeamSpec
from tests.support import engine
from tests.unit.grafana.stubs import content, dashboards, findings, make_content

FOLDER = "grafana:oss/folder:Folder"
DASHBOARD = "grafana:oss/dashboard:Dashboard"
FOLDER_PERMISSION = "grafana:oss/folderPermission:FolderPermission"
DASHBOARD_PERMISSION = "grafana:oss/dashboardPermission:DashboardPermission"
TEAM = "grafana:oss/team:Team"
PREFERENCES = "grafana:oss/organizationPreferences:OrganizationPreferences"
PROVIDER = "pulumi:providers:grafana"
OPERATORS = TeamSpec(name="operators", email="operators@example.org")
KNOWN_TEAM = Grant(team="operators", may=Level.EDIT)


def content_recording(**changes: Any) -> engine.Recording:
    return make_content(lambda: changes)[0]


def one(recording: engine.Recording, token: str, name: str) -> dict[str, Any]:
    [inputs] = [recorded.inputs for recorded in recording.of(token) if recorded.name == f"grafana-content-{name}"]
    return inputs


def test_every_dashboard_of_the_platform_has_one_folder() -> None:
    placed = [uid for spec in FOLDERS for uid in spec.dashboards]
    assert sorted(placed) == sorted([*(dashboard.uid for dashboard in DASHBOARDS), *drilldowns.texts()])


def test_dashboards_are_made_in_their_folder_as_they_are_in_the_repository() -> None:
    recording = content_recording()
    assert {recorded.inputs["uid"] for recorded in recording.of(FOLDER)} == {
        "obs-overview",
        "obs-layers",
        "obs-operations",
    }
    assert len(recording.of(DASHBOARD)) == len(DASHBOARDS) + len(drilldowns.PAGES)
    kafka = one(recording, DASHBOARD, "obs-kafka")
    assert kafka["folder"] == "obs-operations"
    assert json.loads(kafka["configJson"])["uid"] == "obs-kafka"
    assert kafka["overwrite"] is True


def test_viewers_look_editors_change_and_operations_are_for_editors_only() -> None:
    recording = content_recording()
    viewers = {"permission": "View", "role": "Viewer"}
    editors = {"permission": "Edit", "role": "Editor"}
    for uid in ("obs-overview", "obs-layers"):
        assert one(recording, FOLDER_PERMISSION, uid)["permissions"] == [viewers, editors]
    assert one(recording, FOLDER_PERMISSION, "obs-operations")["permissions"] == [editors]


def test_everybody_begins_at_the_overview_in_the_platforms_time_zone() -> None:
    preferences = one(content_recording(), PREFERENCES, "preferences")
    assert preferences == {
        "homeDashboardUid": "obs-overview",
        "theme": "system",
        "timezone": "Asia/Tokyo",
        "weekStart": "monday",
    }


def test_a_team_is_given_what_its_role_has_not() -> None:
    recording = content_recording(
        teams=(OPERATORS,), dashboard_grants={"obs-kafka": (KNOWN_TEAM, Grant(org_role="Viewer", may=Level.VIEW))}
    )
    assert one(recording, TEAM, "operators")["name"] == "operators"
    permission = one(recording, DASHBOARD_PERMISSION, "obs-kafka")
    assert permission["dashboardUid"] == "obs-kafka"
    assert [grant["permission"] for grant in permission["permissions"]] == ["Edit", "View"]
    assert permission["permissions"][1]["role"] == "Viewer"
    assert "role" not in permission["permissions"][0]


def test_everything_is_made_by_one_provider_with_the_administrators_password_in_secret() -> None:
    recording = content_recording(teams=(OPERATORS,))
    [provider] = recording.of(PROVIDER)
    assert provider.inputs["url"] == "https://grafana.example.org:3000"
    assert provider.inputs["auth"] == "platform-administrator:password-of-platform-administrator"
    assert provider.inputs["caCert"] == engine.AUTHORITY
    assert "insecureSkipVerify" not in provider.inputs
    made_by = {resource.provider for resource in recording.resources if resource.token.startswith("grafana:")}
    assert len(made_by) == 1
    assert made_by.pop().endswith("grafana-content-provider-id")


def test_it_is_there_only_when_everything_in_it_is() -> None:
    recording, component = make_content()
    assert len(component.after) == len(DASHBOARDS) + len(drilldowns.PAGES) + len(FOLDERS) + 1
    assert component.dashboards["obs-kafka"] == "https://grafana.example.org:3000/d/obs-kafka"
    assert recording.of(FOLDER)


def test_the_policies_have_nothing_to_say_about_it() -> None:
    shared = content_recording(teams=(OPERATORS,), dashboard_grants={"obs-kafka": (KNOWN_TEAM,)})
    assert findings(shared, "grafana", "grafana_sources", "secrets") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"home": "obs-nothing"}, "dashboard 'obs-nothing' is in no folder: allowed are obs-alerting"),
        ({"folders": FOLDERS[:1]}, "dashboard obs-layer-device is in 0 folders: put it into exactly one"),
        ({"folders": (*FOLDERS, FOLDERS[0])}, "each uid may occur once"),
        (
            {"folders": (*FOLDERS, FolderSpec(uid="more", title="More", dashboards=(HOME,), grants=EVERYBODY))},
            "dashboard obs-overview is in 2 folders",
        ),
        (
            {"folders": (*FOLDERS, FolderSpec(uid="more", title="More", dashboards=("gone",), grants=EVERYBODY))},
            "folder of dashboard gone: there is no such dashboard",
        ),
        (
            {"folders": (*FOLDERS, FolderSpec(uid="no spaces", title="More", dashboards=(), grants=EVERYBODY))},
            "uid 'no spaces': use 1 to 40 letters",
        ),
        (
            {"dashboards": {**dashboards(), "obs-kafka": '{"uid": "other"}'}},
            "dashboard obs-kafka: its JSON has another uid",
        ),
        ({"dashboard_grants": {"obs-kafka": (KNOWN_TEAM,)}}, "grants of obs-kafka: there is no team 'operators'"),
        ({"dashboard_grants": {"obs-kafka": (*EDITORS, *EDITORS)}}, "a role or a team occurs twice"),
        ({"teams": (OPERATORS, OPERATORS)}, "teams: a name occurs twice"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        content(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("grant", "message"),
    [
        ({"may": Level.EDIT, "org_role": "Viewer"}, "gives every viewer Edit: give viewers View"),
        ({"may": Level.VIEW}, "name exactly one of them"),
        ({"may": Level.VIEW, "org_role": "Viewer", "team": "operators"}, "name exactly one of them"),
        ({"may": Level.VIEW, "org_role": "Admin"}, "use Viewer or Editor; administrators may do all anyway"),
    ],
)
def test_a_grant_that_gives_too_much_or_names_nobody_is_refused(grant: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grant(**grant)
