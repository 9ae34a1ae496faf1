"""Folders of the Grafana plugin, against a fake of Grafana's API."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from lab.pulumi_host.provider import UNKNOWN, plain
from tests.support.provider import Engine
from tests.unit.lab.grafana_api_fake import GrafanaFake
from tests.unit.lab.grafana_plugin import failure

FOLDER = "grafana:oss/folder:Folder"
DASHBOARD = "grafana:oss/dashboard:Dashboard"
LAYER = {"title": "Layer", "uid": "layer"}
OVERVIEW = {"configJson": json.dumps({"uid": "obs-overview", "title": "Overview"}), "folder": "layer"}


def test_a_folder_is_made_changed_and_removed(engine: Engine, grafana: GrafanaFake) -> None:
    identity, outputs, _ = engine.create(FOLDER, LAYER)
    assert identity == "1:layer"
    assert outputs == {**LAYER, "orgId": "1", "url": f"{grafana.url}/dashboards/f/layer"}
    assert engine.read(FOLDER, identity, outputs, LAYER) == (identity, outputs, LAYER)
    assert engine.update(FOLDER, identity, outputs, {**LAYER, "title": "New"})["title"] == "New"
    assert grafana.folders["layer"]["title"] == "New"
    engine.delete(FOLDER, identity, outputs)
    assert grafana.folders == {}


def test_a_folder_that_exists_already_is_not_taken_over(engine: Engine, grafana: GrafanaFake) -> None:
    engine.create(FOLDER, LAYER)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, {**LAYER, "title": "Mine"})
    assert failure(caught) == (
        "grafana: create folder layer: it exists already. Import it: "
        "pulumi import grafana:oss/folder:Folder NAME 1:layer"
    )
    assert grafana.folders["layer"]["title"] == "Layer"


def test_a_folder_that_our_own_lost_request_made_is_accepted(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.lose_next = [502]
    assert engine.create(FOLDER, LAYER)[0] == "1:layer"
    assert grafana.changes() == ["POST /api/folders"] * 2


def test_somebody_else_s_folder_is_not_accepted_after_a_restart_either(engine: Engine, grafana: GrafanaFake) -> None:
    engine.create(FOLDER, LAYER)
    grafana.refuse_next = [503]
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, {**LAYER, "title": "Mine"})
    assert "it exists already" in failure(caught)


def test_a_folder_s_taken_title_is_told_in_grafana_s_words(engine: Engine) -> None:
    engine.create(FOLDER, LAYER)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, {**LAYER, "uid": "other"})
    words = "409 a folder with the same name already exists in the current location"
    assert failure(caught) == f"grafana: create folder other: {words}"


def test_a_folder_without_a_uid_gets_one_that_a_repeated_request_keeps(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.lose_next = [502]
    _, outputs, _ = engine.create(FOLDER, {"title": "Layer"})
    assert list(grafana.folders) == [outputs["uid"]]


def test_a_preview_knows_the_uid_that_is_given_and_no_other(engine: Engine) -> None:
    assert engine.create(FOLDER, LAYER, preview=True)[1]["uid"] == "layer"
    assert engine.create(FOLDER, {"title": "Layer"}, preview=True)[1]["uid"] is UNKNOWN
    assert engine.create(DASHBOARD, OVERVIEW, preview=True)[1]["uid"] == "obs-overview"
    assert engine.create(DASHBOARD, {"configJson": UNKNOWN}, preview=True)[1]["uid"] is UNKNOWN


def test_only_another_place_makes_another_folder(engine: Engine) -> None:
    assert list(engine.diff(FOLDER, LAYER, {**LAYER, "title": "New"}).replaces) == []
    assert list(engine.diff(FOLDER, LAYER, {**LAYER, "uid": "new"}).replaces) == ["uid"]
    assert list(engine.diff(FOLDER, LAYER, {**LAYER, "parentFolderUid": "top"}).replaces) == ["parentFolderUid"]


def test_drift_of_a_folder_is_seen(engine: Engine, grafana: GrafanaFake) -> None:
    engine.create(FOLDER, LAYER)
    grafana.folders["layer"]["title"] = "By hand"
    _, outputs, inputs = engine.read(FOLDER, "1:layer", LAYER, LAYER)
    assert inputs == {**LAYER, "title": "By hand"}
    assert outputs["title"] == "By hand"


@pytest.mark.parametrize(("kind", "identity"), [(FOLDER, "1:layer"), (DASHBOARD, "1:obs-overview")])
def test_what_is_gone_reads_as_gone_and_deletes_without_error(engine: Engine, kind: str, identity: str) -> None:
    assert engine.read(kind, identity, {}, {})[0] == ""
    engine.delete(kind, identity, {})


def test_a_folder_that_must_not_go_while_it_is_full_says_what_is_in_it(engine: Engine, grafana: GrafanaFake) -> None:
    guarded = {**LAYER, "preventDestroyIfNotEmpty": True}
    identity, outputs, _ = engine.create(FOLDER, guarded)
    engine.create(DASHBOARD, OVERVIEW)
    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(FOLDER, identity, outputs)
    assert "it holds 1: Overview. Move or delete these first" in failure(caught)
    engine.delete(DASHBOARD, "1:obs-overview", OVERVIEW)
    engine.delete(FOLDER, identity, outputs)
    assert grafana.folders == {}


@pytest.mark.parametrize(
    ("inputs", "key", "reason"),
    [
        ({"title": "x", "uid": "a b"}, "uid", "is a b; it must be 1 to 40 letters"),
        ({"title": "x", "uid": "a" * 41}, "uid", "it must be 1 to 40 letters"),
        ({"title": ""}, "title", "is empty"),
        ({"uid": "x"}, "title", "is required"),
        ({"title": "x", "orgId": "2"}, "orgId", "is 2; the lab's plugin keeps the main organization"),
        ({"title": "x", "owner": "y"}, "owner", "is not a property"),
    ],
)
def test_a_mistaken_folder_is_refused(engine: Engine, inputs: dict[str, Any], key: str, reason: str) -> None:
    assert reason in engine.refusals(FOLDER, inputs)[key]


def test_naming_the_main_organization_changes_nothing(engine: Engine) -> None:
    assert plain(engine.check(FOLDER, {**LAYER, "orgId": "1"}).inputs) == LAYER
