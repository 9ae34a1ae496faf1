"""The Grafana plugin and the cluster's fake of Grafana on a real PostgreSQL: what one writes, the other keeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.config.grafana_fake.conftest import harness, replicas  # noqa: F401
from tests.config.grafana_fake.replica import ADMIN, ADMIN_PASSWORD, Replica
from tests.support.provider import Engine
from tests.unit.lab.grafana_plugin import checked, failure, plugin_on

FOLDER = "grafana:oss/folder:Folder"
DASHBOARD = "grafana:oss/dashboard:Dashboard"
OF_FOLDER = "grafana:oss/folderPermission:FolderPermission"
OF_DASHBOARD = "grafana:oss/dashboardPermission:DashboardPermission"
TEAM = "grafana:oss/team:Team"
PREFERENCES = "grafana:oss/organizationPreferences:OrganizationPreferences"
LAYER = {"uid": "layer", "title": "Layer", "preventDestroyIfNotEmpty": True}
PANELS = [{"id": 7, "title": "Lag", "wide": 12.0, "far": 1e3, "share": 1.50, "none": None, "mark": "é"}]
OVERVIEW = {"configJson": json.dumps({"uid": "overview", "title": "Overview", "panels": PANELS}), "folder": "layer"}
BY_ROLE = {"role": "Editor", "permission": "View"}


def settings(replica: Replica, **other: Any) -> dict[str, Any]:
    defaults = {"url": replica.url, "auth": f"{ADMIN}:{ADMIN_PASSWORD}", "caCert": replica.ca_file.read_text()}
    return {**defaults, "retries": "20", "retryWait": "1", **other}


@pytest.fixture
def replica(request: pytest.FixtureRequest) -> Replica:
    first: Replica = request.getfixturevalue("replicas")[0]
    return first


@pytest.fixture
def engine(replica: Replica) -> Iterator[Engine]:
    with plugin_on(settings(replica)) as provider_engine:
        yield provider_engine


def make(engine: Engine, kind: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Create something and see that reading it shows no change."""
    taken = checked(engine, kind, inputs)
    identity, outputs, _ = engine.create(kind, taken)
    assert engine.read(kind, identity, outputs, taken) == (identity, outputs, taken)
    return identity, outputs, taken


def change(engine: Engine, kind: str, identity: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Change something and see that reading it shows no other change."""
    taken = checked(engine, kind, new)
    outputs = engine.update(kind, identity, old, taken)
    assert engine.read(kind, identity, outputs, taken) == (identity, outputs, taken)
    return outputs


def test_everything_is_kept_as_written_and_goes_again(engine: Engine) -> None:
    team, team_made, _ = make(engine, TEAM, {"name": "operators", "members": []})
    folder, folder_made, _ = make(engine, FOLDER, LAYER)
    dashboard, dashboard_created, _ = make(engine, DASHBOARD, OVERVIEW)
    by_team = {"teamId": team, "permission": "Edit"}
    for kind, key, uid in ((OF_FOLDER, "folderUid", "layer"), (OF_DASHBOARD, "dashboardUid", "overview")):
        identity, outputs, _ = make(engine, kind, {key: uid, "permissions": [by_team, BY_ROLE]})
        change(engine, kind, identity, outputs, {key: uid, "permissions": [BY_ROLE]})
    identity, outputs, _ = make(engine, PREFERENCES, {"timezone": "Asia/Tokyo", "homeDashboardUid": "overview"})
    change(engine, PREFERENCES, identity, outputs, {"theme": "light", "weekStart": "monday"})
    change(engine, TEAM, team, team_made, {"name": "others", "email": "ops@example.com"})
    change(engine, FOLDER, folder, folder_made, {**LAYER, "title": "New"})
    model = json.dumps({"uid": "overview", "title": "Overview 2"})
    assert change(engine, DASHBOARD, dashboard, dashboard_created, {**OVERVIEW, "configJson": model})["version"] == 2

    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(FOLDER, folder, LAYER)
    assert "it holds 1: Overview 2. Move or delete these first" in failure(caught)
    engine.delete(PREFERENCES, identity, outputs)
    for kind, name, state in ((OF_DASHBOARD, dashboard, {}), (OF_FOLDER, folder, {}), (DASHBOARD, dashboard, OVERVIEW)):
        engine.delete(kind, name, state)
    for kind, name in ((FOLDER, folder), (TEAM, team), (DASHBOARD, dashboard)):
        engine.delete(kind, name, LAYER)
        assert engine.read(kind, name, {}, {})[0] == ""


@pytest.mark.parametrize(
    ("kind", "inputs", "other"),
    [
        (FOLDER, {"uid": "taken", "title": "Taken"}, {"title": "Mine"}),
        (
            DASHBOARD,
            {"configJson": '{"uid": "taken", "title": "Taken"}'},
            {"configJson": '{"uid": "taken", "title": "x"}'},
        ),
        (TEAM, {"name": "taken"}, {"email": "mine@example.com"}),
    ],
)
def test_what_exists_already_is_not_taken_over(
    engine: Engine, kind: str, inputs: dict[str, Any], other: dict[str, Any]
) -> None:
    identity, outputs, taken = make(engine, kind, inputs)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(kind, checked(engine, kind, {**inputs, **other}))
    assert failure(caught).endswith(f"it exists already. Import it: pulumi import {kind} NAME {identity}")
    assert engine.read(kind, identity, outputs, taken) == (identity, outputs, taken)
    engine.delete(kind, identity, outputs)


def test_a_replica_that_restarts_is_waited_for(engine: Engine, replica: Replica) -> None:
    make(engine, FOLDER, {"uid": "before", "title": "Before"})
    replica.end()
    returns = threading.Timer(2, replica.begin)
    returns.start()
    make(engine, FOLDER, {"uid": "during", "title": "During"})
    returns.join()
    for uid in ("before", "during"):
        engine.delete(FOLDER, f"1:{uid}", {})


def test_a_wrong_password_does_not_lock_the_administrator_out(replica: Replica) -> None:
    with plugin_on(settings(replica, auth=f"{ADMIN}:wrong")) as engine:

        def create(number: int) -> str:
            with pytest.raises(grpc.RpcError) as caught:
                engine.create(FOLDER, {"title": "x", "uid": f"f{number}"})
            return failure(caught)

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(create, range(12)))
    assert all("401 Invalid username or password. Check auth of the provider" in line for line in said)
    assert replica.administrator().get("/api/org").status_code == 200
