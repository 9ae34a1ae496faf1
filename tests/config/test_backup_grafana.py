"""Definitions of one Grafana (the fake, on real PostgreSQL and a real directory) restored into another one."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest

from services.backup import BackupError, Grafana, grafana
from services.backup import grafana as restore_grafana
from services.backup.manifest import RunWriter
from services.backup.restore import connected, differences, fetch
from services.backup.store import Store
from tests.config.grafana_fake.directory_server import DirectoryServer
from tests.config.grafana_fake.postgres_server import NAME, PostgresServer
from tests.config.grafana_fake.prometheus_server import PrometheusServer
from tests.config.grafana_fake.replica import ADMIN, ADMIN_PASSWORD, SECRETS, Client, Harness, Replica
from tests.config.servers import free_port
from tests.config.storage_process import storage_process

IDENTITY = pyrage.x25519.Identity.generate()
LOGIN = (ADMIN, ADMIN_PASSWORD)


@pytest.fixture(scope="module")
def grafanas() -> Iterator[tuple[Replica, Replica]]:
    """Two, each with a database of its own. Nobody asks their data sources here, so none runs."""
    folder = Path(tempfile.mkdtemp(prefix="backup-grafana-"))
    folder.chmod(0o755)
    postgres, directory = PostgresServer(folder), DirectoryServer(folder)
    started: list[Replica] = []
    try:
        postgres.start()
        directory.start()
        source = PrometheusServer(port=free_port(), ca_file=postgres.ca_file)
        harness = Harness(folder, postgres, directory, source)
        for name in (NAME, "empty"):
            postgres.make(name)
            started.append(harness.replica(f"replica-{name}", database=name))
            started[-1].begin()
        for replica in started:
            replica.await_health()
        yield started[0], started[1]
    finally:
        for replica in started:
            replica.end(kill=True)
        directory.stop()
        postgres.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storage_process(tmp_path_factory.mktemp("storage")) as storage, storage.store("backups/") as opened_store:
        yield opened_store


def good(answer: Any) -> Any:
    """Content of a good answer."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def fill(admin: Client) -> None:
    """Folders within folders, dashboards, teams, permissions of all sorts, preferences."""
    for uid, title, parent in (("plant", "現場", ""), ("line", "Line 1", "plant"), ("cell", "Cell A", "line")):
        good(admin.post("/api/folders", {"uid": uid, "title": title, "parentUid": parent, "description": f"of {uid}"}))
    for number in range(5):
        folder = ("", "plant", "line", "cell")[number % 4]
        model = {
            "uid": f"dashboard-{number}",
            "title": f"ボード {number}",
            "tags": ["a", "b"],
            "panels": [{"id": number}],
        }
        good(admin.post("/api/dashboards/db", {"dashboard": model, "folderUid": folder}))
    # A second version: what is backed up is the newest one.
    model = {"uid": "dashboard-3", "title": "changed", "panels": [], "description": "second"}
    good(admin.post("/api/dashboards/db", {"dashboard": model, "overwrite": True}))
    people = {account["login"]: account for account in good(admin.get("/api/users"))}
    teams = {}
    for name in ("operators", "leads"):
        team = good(admin.post("/api/teams", {"name": name, "email": f"{name}@example.com"}))
        teams[name] = team["teamId"]
    members = {"members": [people["viewer"]["email"]], "admins": [people["editor"]["email"]]}
    good(admin.put(f"/api/teams/{teams['operators']}/members", members))
    good(admin.put(f"/api/teams/{teams['leads']}/preferences", {"theme": "dark", "homeDashboardUID": "dashboard-1"}))
    own = [
        {"role": "Viewer", "permission": 1},
        {"teamId": teams["operators"], "permission": 2},
        {"userId": people["viewer"]["id"], "permission": 4},
    ]
    good(admin.post("/api/folders/plant/permissions", {"items": own}))
    good(admin.post("/api/dashboards/uid/dashboard-4/permissions", {"items": own[1:]}))
    good(admin.post("/api/folders/cell/permissions", {"items": []}))
    good(admin.put("/api/org", {"name": "Example K.K."}))
    good(admin.put("/api/org/preferences", {"timezone": "Asia/Tokyo", "weekStart": "monday", "theme": "light"}))


def definitions(replica: Replica) -> grafana.Definitions:
    """What a Grafana has."""
    with connected("Grafana", replica.url, replica.ca_file, login=LOGIN) as web:
        return grafana.read(web)


def but_sources(definitions: grafana.Definitions) -> grafana.Definitions:
    """What a restore makes."""
    return dataclasses.replace(definitions, sources=[])


def test_a_new_grafana_gets_everything_back(grafanas: tuple[Replica, Replica], store: Store, tmp_path: Path) -> None:
    first, second = grafanas
    for login in ("viewer", "editor"):
        first.person(login)
        second.person(login)
    fill(first.administrator())
    (tmp_path / "password").write_text(ADMIN_PASSWORD + "\n")
    settings = Grafana(url=first.url, ca_file=first.ca_file, user=ADMIN, password_file=tmp_path / "password")
    target = RunWriter(store, "grafana", [str(IDENTITY.to_public())])
    manifest = target.finish(grafana.back_up(settings, target), platform="obs", region="tokyo")
    assert dict(manifest.counts) == {
        "folders": 3,
        "dashboards": 5,
        "teams": 2,
        "team members": 2,
        "permissions": manifest.counts["permissions"],
        "data sources": 3,
        "preferences": 5,
    }
    run = tmp_path / "run"
    fetch(store, "grafana", manifest.run, [IDENTITY], run)
    plain = "".join(file.read_text() for file in run.iterdir())
    assert not [secret for secret in SECRETS if secret in plain]

    outcome = restore_grafana.restore(run, second.url, LOGIN, ca_file=second.ca_file)
    # The address of that one is another free port in each.
    assert outcome.notes == ("data source Away differs in url: it comes from the deployment",)
    assert differences(manifest, outcome.counts) == []
    before = definitions(first)
    assert before == restore_grafana.load(run)
    assert but_sources(definitions(second)) == but_sources(before)

    with pytest.raises(BackupError, match=r"is not empty \(3 folders, 5 dashboards, 2 teams\); nothing was changed"):
        restore_grafana.restore(run, second.url, LOGIN, ca_file=second.ca_file)
    admin = second.administrator()
    good(admin.delete("/api/folders/line"))
    good(admin.post("/api/folders", {"uid": "later", "title": "現場 2"}))
    good(admin.post("/api/dashboards/db", {"dashboard": {"uid": "later", "title": "x"}, "folderUid": "plant"}))
    good(admin.post("/api/teams", {"name": "later"}))
    good(admin.post("/api/folders/plant/permissions", {"items": []}))
    good(admin.put("/api/org/preferences", {}))
    again = restore_grafana.restore(run, second.url, LOGIN, ca_file=second.ca_file, replace=True)
    assert again == outcome
    assert but_sources(definitions(second)) == but_sources(before)


def test_people_who_are_not_there_are_told(grafanas: tuple[Replica, Replica], store: Store, tmp_path: Path) -> None:
    second = grafanas[1]
    run = tmp_path / "run"
    manifest = fetch(store, "grafana", "latest", [IDENTITY], run)
    admin = second.administrator()
    people = {account["login"]: account["id"] for account in good(admin.get("/api/users"))}
    good(admin.delete(f"/api/admin/users/{people['viewer']}"))
    outcome = restore_grafana.restore(run, second.url, LOGIN, ca_file=second.ca_file, replace=True)
    assert "team operators: viewer is not there, so is no member" in outcome.notes
    assert "folder plant: viewer is not there, so has no permission" in outcome.notes
    assert differences(manifest, outcome.counts)[-1] == "team members: 2 in the backup, 1 restored"


def test_a_wrong_password_and_an_unknown_authority_are_one_line(
    grafanas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    first, second = grafanas
    for ca_file, login, message in (
        (first.ca_file, (ADMIN, "wrong-password"), "Grafana: GET /api/folders: 401 "),
        (second.ca_file, LOGIN, "certificate verify failed"),
    ):
        with pytest.raises(BackupError) as raised, connected("Grafana", first.url, ca_file, login=login) as web:
            grafana.read(web)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)
        assert "wrong-password" not in str(raised.value)
