"""Dashboards of the Grafana plugin, against a fake of Grafana's API."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from lab.pulumi_host.provider import UNKNOWN
from tests.support.provider import Engine
from tests.unit.lab.grafana_api_fake import GrafanaFake
from tests.unit.lab.grafana_plugin import checked, failure

FOLDER = "grafana:oss/folder:Folder"
DASHBOARD = "grafana:oss/dashboard:Dashboard"
LAYER = {"title": "Layer", "uid": "layer"}
MODEL = {"uid": "obs-overview", "title": "Overview", "panels": [{"title": "Lag", "gridPos": {"h": 8, "w": 12.0}}]}


def dashboard(**changes: Any) -> dict[str, Any]:
    return {"configJson": json.dumps({**MODEL, **changes}, indent=2), "folder": "layer"}


def taken(engine: Engine, inputs: dict[str, Any]) -> dict[str, Any]:
    return checked(engine, DASHBOARD, inputs)


@pytest.fixture
def dashboard_inputs(engine: Engine) -> dict[str, Any]:
    """Inputs of a dashboard that exists, in a folder that does too."""
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, dashboard())
    engine.create(DASHBOARD, inputs)
    return inputs


def test_a_dashboard_is_made_in_its_folder_and_its_facts_are_outputs(
    engine: Engine, grafana: GrafanaFake, dashboard_inputs: dict[str, Any]
) -> None:
    stored = grafana.dashboards["obs-overview"]
    assert stored["folder"] == "layer"
    identity, outputs, inputs = engine.read(DASHBOARD, "1:obs-overview", dashboard_inputs, dashboard_inputs)
    assert identity == "1:obs-overview"
    assert inputs == dashboard_inputs
    facts = {key: outputs[key] for key in ("uid", "version", "dashboardId", "url", "orgId")}
    assert facts == {
        "uid": "obs-overview",
        "version": 1,
        "dashboardId": stored["model"]["id"],
        "url": f"{grafana.url}/d/obs-overview/dashboard",
        "orgId": "1",
    }


def test_create_and_read_agree_so_that_a_refresh_shows_nothing(engine: Engine) -> None:
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, {**dashboard(), "message": "why", "overwrite": True})
    identity, outputs, _ = engine.create(DASHBOARD, inputs)
    assert engine.read(DASHBOARD, identity, outputs, inputs) == (identity, outputs, inputs)


def test_how_a_model_is_written_is_no_change(engine: Engine) -> None:
    written = taken(engine, dashboard())
    shuffled = json.dumps({"version": 9, "id": 77, **dict(reversed(MODEL.items()))})
    assert "12.0" not in written["configJson"]
    again = taken(engine, {**dashboard(), "configJson": shuffled})
    assert engine.diff(DASHBOARD, written, again).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_ids_that_grafana_gives_to_panels_are_no_drift_but_changes_of_them_are(
    engine: Engine, grafana: GrafanaFake, dashboard_inputs: dict[str, Any]
) -> None:
    assert grafana.dashboards["obs-overview"]["model"]["panels"][0]["id"] == 1
    assert engine.read(DASHBOARD, "1:obs-overview", dashboard_inputs, dashboard_inputs)[2] == dashboard_inputs
    grafana.dashboards["obs-overview"]["model"]["panels"][0]["title"] = "By hand"
    seen = engine.read(DASHBOARD, "1:obs-overview", dashboard_inputs, dashboard_inputs)[2]
    assert seen["folder"] == "layer"
    assert json.loads(seen["configJson"])["panels"][0]["title"] == "By hand"


def test_ids_that_the_program_gives_to_panels_are_kept(engine: Engine, grafana: GrafanaFake) -> None:
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, dashboard(panels=[{"id": 7, "title": "Lag"}]))
    engine.create(DASHBOARD, inputs)
    assert grafana.dashboards["obs-overview"]["model"]["panels"][0]["id"] == 7
    grafana.dashboards["obs-overview"]["model"]["panels"][0]["id"] = 8
    assert engine.read(DASHBOARD, "1:obs-overview", inputs, inputs)[2] != inputs


def test_a_dashboard_moved_by_hand_is_seen_and_moved_back(
    engine: Engine, grafana: GrafanaFake, dashboard_inputs: dict[str, Any]
) -> None:
    grafana.dashboards["obs-overview"]["folder"] = ""
    assert engine.read(DASHBOARD, "1:obs-overview", dashboard_inputs, dashboard_inputs)[2]["folder"] == ""
    engine.update(DASHBOARD, "1:obs-overview", dashboard_inputs, dashboard_inputs)
    assert grafana.dashboards["obs-overview"]["folder"] == "layer"


def test_a_dashboard_changes_in_place_whoever_changed_it_last(
    engine: Engine, grafana: GrafanaFake, dashboard_inputs: dict[str, Any]
) -> None:
    grafana.dashboards["obs-overview"]["model"]["version"] = 5
    new = taken(engine, {**dashboard(title="Overview 2"), "message": "why"})
    assert list(engine.diff(DASHBOARD, dashboard_inputs, new).replaces) == []
    assert engine.update(DASHBOARD, "1:obs-overview", dashboard_inputs, new)["version"] == 6
    assert grafana.dashboards["obs-overview"]["model"]["title"] == "Overview 2"
    assert grafana.dashboards["obs-overview"]["message"] == "why"


def test_another_uid_is_another_dashboard(engine: Engine) -> None:
    old, new = taken(engine, dashboard()), taken(engine, dashboard(uid="other"))
    answer = engine.diff(DASHBOARD, old, new)
    assert list(answer.replaces) == ["configJson"]
    assert answer.detailedDiff["configJson"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


def test_a_model_that_is_not_known_yet_is_a_change_and_no_replacement(engine: Engine) -> None:
    answer = engine.diff(DASHBOARD, taken(engine, dashboard()), {"configJson": UNKNOWN, "folder": "layer"})
    assert (list(answer.diffs), list(answer.replaces)) == (["configJson"], [])


def test_a_dashboard_that_exists_already_is_not_taken_over(
    engine: Engine, grafana: GrafanaFake, dashboard_inputs: dict[str, Any]
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(DASHBOARD, taken(engine, dashboard(title="Mine")))
    assert "it exists already. Import it: pulumi import grafana:oss/dashboard:Dashboard NAME 1:obs-overview" in failure(
        caught
    )
    assert grafana.dashboards["obs-overview"]["model"]["title"] == "Overview"


def test_a_dashboard_is_taken_over_where_the_program_says_so(
    engine: Engine, grafana: GrafanaFake, dashboard_inputs: dict[str, Any]
) -> None:
    engine.create(DASHBOARD, taken(engine, {**dashboard(title="Mine"), "overwrite": True}))
    assert grafana.dashboards["obs-overview"]["model"]["title"] == "Mine"


def test_a_dashboard_that_our_own_lost_request_made_is_accepted(engine: Engine, grafana: GrafanaFake) -> None:
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, dashboard())
    grafana.lose_next = [504]
    identity, outputs, _ = engine.create(DASHBOARD, inputs)
    assert engine.read(DASHBOARD, identity, outputs, inputs) == (identity, outputs, inputs)


def test_a_uid_that_the_program_leaves_to_grafana_is_no_drift(engine: Engine) -> None:
    inputs = taken(engine, {"configJson": json.dumps({"title": "Anywhere"})})
    identity, outputs, _ = engine.create(DASHBOARD, inputs)
    assert identity == f"1:{outputs['uid']}"
    assert engine.read(DASHBOARD, identity, outputs, inputs) == (identity, outputs, inputs)
    assert engine.update(DASHBOARD, identity, outputs, inputs)["uid"] == outputs["uid"]


def test_a_dashboard_can_be_imported_by_its_uid(engine: Engine, dashboard_inputs: dict[str, Any]) -> None:
    assert engine.read(DASHBOARD, "obs-overview", {}, {})[0] == "obs-overview"
    seen = engine.read(DASHBOARD, "1:obs-overview", {}, {})[2]
    assert seen["folder"] == "layer"
    assert json.loads(seen["configJson"])["title"] == "Overview"


def test_the_folder_may_be_named_by_its_id(engine: Engine) -> None:
    assert taken(engine, {**dashboard(), "folder": "1:layer"})["folder"] == "layer"


def test_a_missing_folder_is_told_in_grafana_s_words(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(DASHBOARD, taken(engine, dashboard()))
    assert failure(caught) == "grafana: create dashboard obs-overview: 400 folder not found"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        ("{}", "has no title"),
        ('{"title": "x", "uid": "a/b"}', "has the uid a/b; it must be"),
    ],
)
def test_a_mistaken_model_is_refused(engine: Engine, text: str, reason: str) -> None:
    assert reason in engine.refusals(DASHBOARD, {"configJson": text})["configJson"]


def test_a_secret_model_stays_secret(engine: Engine) -> None:
    inputs = taken(engine, {"configJson": json.dumps(MODEL)})
    assert "configJson" in engine.create(DASHBOARD, inputs, secrets=("configJson",))[2]
