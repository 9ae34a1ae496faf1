"""Dashboards of the Grafana plugin, against a double of Grafana's API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from lab.pulumi_host.values import UNKNOWN
from tests.support.provider import Engine
from tests.unit.lab.grafana_api_double import GrafanaDouble, grafana_double
from tests.unit.lab.grafana_plugin import checked, failure, plugin_on

FOLDER = "grafana:oss/folder:Folder"
BOARD = "grafana:oss/dashboard:Dashboard"
LAYER = {"title": "Layer", "uid": "layer"}
MODEL = {"uid": "obs-overview", "title": "Overview", "panels": [{"title": "Lag", "gridPos": {"h": 8, "w": 12.0}}]}


@pytest.fixture
def grafana(tmp_path: Path) -> Iterator[GrafanaDouble]:
    with grafana_double(tmp_path) as made:
        yield made


@pytest.fixture
def engine(grafana: GrafanaDouble) -> Iterator[Engine]:
    with plugin_on(grafana.settings()) as made:
        yield made


def board(**changes: Any) -> dict[str, Any]:
    return {"configJson": json.dumps({**MODEL, **changes}, indent=2), "folder": "layer"}


def taken(engine: Engine, inputs: dict[str, Any]) -> dict[str, Any]:
    return checked(engine, BOARD, inputs)


@pytest.fixture
def made(engine: Engine) -> dict[str, Any]:
    """Inputs of a dashboard that exists, in a folder that does too."""
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, board())
    engine.create(BOARD, inputs)
    return inputs


def test_a_dashboard_is_made_in_its_folder_and_its_facts_are_outputs(
    engine: Engine, grafana: GrafanaDouble, made: dict[str, Any]
) -> None:
    stored = grafana.boards["obs-overview"]
    assert stored["folder"] == "layer"
    identity, outputs, inputs = engine.read(BOARD, "1:obs-overview", made, made)
    assert identity == "1:obs-overview"
    assert inputs == made
    facts = {key: outputs[key] for key in ("uid", "version", "dashboardId", "url", "orgId")}
    assert facts == {
        "uid": "obs-overview",
        "version": 1,
        "dashboardId": stored["model"]["id"],
        "url": f"{grafana.url}/d/obs-overview/board",
        "orgId": "1",
    }


def test_create_and_read_agree_so_that_a_refresh_shows_nothing(engine: Engine) -> None:
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, {**board(), "message": "why", "overwrite": True})
    identity, outputs, _ = engine.create(BOARD, inputs)
    assert engine.read(BOARD, identity, outputs, inputs) == (identity, outputs, inputs)


def test_how_a_model_is_written_is_no_change(engine: Engine) -> None:
    written = taken(engine, board())
    shuffled = json.dumps({"version": 9, "id": 77, **dict(reversed(MODEL.items()))})
    assert "12.0" not in written["configJson"]
    again = taken(engine, {**board(), "configJson": shuffled})
    assert engine.diff(BOARD, written, again).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_ids_that_grafana_gives_to_panels_are_no_drift_but_changes_of_them_are(
    engine: Engine, grafana: GrafanaDouble, made: dict[str, Any]
) -> None:
    assert grafana.boards["obs-overview"]["model"]["panels"][0]["id"] == 1
    assert engine.read(BOARD, "1:obs-overview", made, made)[2] == made
    grafana.boards["obs-overview"]["model"]["panels"][0]["title"] = "By hand"
    seen = engine.read(BOARD, "1:obs-overview", made, made)[2]
    assert seen["folder"] == "layer"
    assert json.loads(seen["configJson"])["panels"][0]["title"] == "By hand"


def test_ids_that_the_program_gives_to_panels_are_kept(engine: Engine, grafana: GrafanaDouble) -> None:
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, board(panels=[{"id": 7, "title": "Lag"}]))
    engine.create(BOARD, inputs)
    assert grafana.boards["obs-overview"]["model"]["panels"][0]["id"] == 7
    grafana.boards["obs-overview"]["model"]["panels"][0]["id"] = 8
    assert engine.read(BOARD, "1:obs-overview", inputs, inputs)[2] != inputs


def test_a_dashboard_moved_by_hand_is_seen_and_moved_back(
    engine: Engine, grafana: GrafanaDouble, made: dict[str, Any]
) -> None:
    grafana.boards["obs-overview"]["folder"] = ""
    assert engine.read(BOARD, "1:obs-overview", made, made)[2]["folder"] == ""
    engine.update(BOARD, "1:obs-overview", made, made)
    assert grafana.boards["obs-overview"]["folder"] == "layer"


def test_a_dashboard_changes_in_place_whoever_changed_it_last(
    engine: Engine, grafana: GrafanaDouble, made: dict[str, Any]
) -> None:
    grafana.boards["obs-overview"]["model"]["version"] = 5
    new = taken(engine, {**board(title="Overview 2"), "message": "why"})
    assert list(engine.diff(BOARD, made, new).replaces) == []
    assert engine.update(BOARD, "1:obs-overview", made, new)["version"] == 6
    assert grafana.boards["obs-overview"]["model"]["title"] == "Overview 2"
    assert grafana.boards["obs-overview"]["message"] == "why"


def test_another_uid_is_another_dashboard(engine: Engine) -> None:
    old, new = taken(engine, board()), taken(engine, board(uid="other"))
    answer = engine.diff(BOARD, old, new)
    assert list(answer.replaces) == ["configJson"]
    assert answer.detailedDiff["configJson"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


def test_a_model_that_is_not_known_yet_is_a_change_and_no_replacement(engine: Engine) -> None:
    answer = engine.diff(BOARD, taken(engine, board()), {"configJson": UNKNOWN, "folder": "layer"})
    assert (list(answer.diffs), list(answer.replaces)) == (["configJson"], [])


def test_a_dashboard_that_exists_already_is_not_taken_over(
    engine: Engine, grafana: GrafanaDouble, made: dict[str, Any]
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(BOARD, taken(engine, board(title="Mine")))
    assert "it exists already. Import it: pulumi import grafana:oss/dashboard:Dashboard NAME 1:obs-overview" in failure(
        caught
    )
    assert grafana.boards["obs-overview"]["model"]["title"] == "Overview"


def test_a_dashboard_is_taken_over_where_the_program_says_so(
    engine: Engine, grafana: GrafanaDouble, made: dict[str, Any]
) -> None:
    engine.create(BOARD, taken(engine, {**board(title="Mine"), "overwrite": True}))
    assert grafana.boards["obs-overview"]["model"]["title"] == "Mine"


def test_a_dashboard_that_our_own_lost_request_made_is_accepted(engine: Engine, grafana: GrafanaDouble) -> None:
    engine.create(FOLDER, LAYER)
    inputs = taken(engine, board())
    grafana.lose_next = [504]
    identity, outputs, _ = engine.create(BOARD, inputs)
    assert engine.read(BOARD, identity, outputs, inputs) == (identity, outputs, inputs)


def test_a_uid_that_the_program_leaves_to_grafana_is_no_drift(engine: Engine) -> None:
    inputs = taken(engine, {"configJson": json.dumps({"title": "Anywhere"})})
    identity, outputs, _ = engine.create(BOARD, inputs)
    assert identity == f"1:{outputs['uid']}"
    assert engine.read(BOARD, identity, outputs, inputs) == (identity, outputs, inputs)
    assert engine.update(BOARD, identity, outputs, inputs)["uid"] == outputs["uid"]


def test_a_dashboard_can_be_imported_by_its_uid(engine: Engine, made: dict[str, Any]) -> None:
    assert engine.read(BOARD, "obs-overview", {}, {})[0] == "obs-overview"
    seen = engine.read(BOARD, "1:obs-overview", {}, {})[2]
    assert seen["folder"] == "layer"
    assert json.loads(seen["configJson"])["title"] == "Overview"


def test_the_folder_may_be_named_by_its_id(engine: Engine) -> None:
    assert taken(engine, {**board(), "folder": "1:layer"})["folder"] == "layer"


def test_a_missing_folder_is_told_in_grafana_s_words(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(BOARD, taken(engine, board()))
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
    assert reason in engine.refusals(BOARD, {"configJson": text})["configJson"]


def test_a_secret_model_stays_secret(engine: Engine) -> None:
    inputs = taken(engine, {"configJson": json.dumps(MODEL)})
    assert "configJson" in engine.create(BOARD, inputs, secrets=("configJson",))[2]
