"""A dump into a new database of the platform: made, filled, counted; gone again when that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.backups import destinations, verify
from ops.backups.destinations import drop_database, fresh_database, legal_database, primary
from ops.core.errors import OpsError

COUNTS = "public.dashboard|12\npublic.odd|name|3\npublic.user|4\n: large objects|0\n"


class Pod:
    """What runs in the pods of PostgreSQL: ``postgres-0`` follows, ``postgres-1`` takes writes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Sequence[str], str]] = []
        self.exists = ""
        self.failing = ""

    def run(self, kube: Any, pod: str, container: str, command: Sequence[str], *, given: Any = "", **_: Any) -> str:
        assert container == "postgres"
        text = given.read_text() if isinstance(given, Path) else given
        self.calls.append((pod, command, text))
        if self.failing and self.failing in (text if command[0] == "psql" else command[0]):
            raise OpsError(f"{command[0]} in {pod} failed: ERROR")
        answers: dict[str, Callable[[], str]] = {
            "pg_is_in_recovery": lambda: "f\n" if pod == "postgres-1" else "t\n",
            "SELECT 1 FROM pg_database": lambda: self.exists,
            "pg_get_userbyid": lambda: "grafana\n",
            "query_to_xml": lambda: COUNTS,
        }
        return next((answer() for part, answer in answers.items() if part in text), "")

    def statements(self) -> list[str]:
        """What psql was told, without the questions for who takes writes."""
        return [text for _, command, text in self.calls if command[0] == "psql" and "in_recovery" not in text]


KUBE: Any = SimpleNamespace(
    namespace="obs-local",
    pods=lambda _: [SimpleNamespace(name=f"postgres-{number}", ready=True) for number in range(2)],
)


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Pod:
    fake_pod = Pod()
    monkeypatch.setattr(destinations, "run_in_pod", fake_pod.run)
    return fake_pod


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "grafana.dump").write_text("PGDMP")
    return tmp_path


def test_the_new_database_has_the_owner_of_the_old_one_and_nobody_else(pod: Pod, folder: Path) -> None:
    done = fresh_database(KUBE, folder, "grafana", "restored")
    assert done.counts == {
        "grafana": 3,
        "grafana.public.dashboard": 12,
        "grafana.public.odd|name": 3,
        "grafana.public.user": 4,
        "grafana: large objects": 0,
    }
    [restoring] = [command for _, command, _ in pod.calls if command[0] == "pg_restore"]
    assert {"--exit-on-error", "--single-transaction", "--no-owner", "--role=grafana", "--dbname=restored"} <= set(
        restoring
    )
    making = next(text for text in pod.statements() if "CREATE DATABASE" in text)
    assert 'REVOKE ALL ON DATABASE :"name" FROM PUBLIC' in making
    assert {name for name, _, text in pod.calls if "in_recovery" not in text} == {"postgres-1"}
    assert not any("DROP" in text for text in pod.statements())


def test_a_name_that_is_taken_changes_nothing(pod: Pod, folder: Path) -> None:
    pod.exists = "1\n"
    with pytest.raises(OpsError, match="there is a database of that name; nothing was changed"):
        fresh_database(KUBE, folder, "grafana", "restored")
    assert len(pod.statements()) == 1


@pytest.mark.parametrize("failing", ["pg_restore", "query_to_xml"])
def test_what_failed_leaves_no_database(pod: Pod, folder: Path, failing: str) -> None:
    pod.failing = failing
    with pytest.raises(OpsError, match="failed: ERROR"):
        fresh_database(KUBE, folder, "grafana", "restored")
    assert "DROP DATABASE IF EXISTS" in pod.statements()[-1]


@pytest.mark.parametrize("name", ["postgres", "template1", "With-Dash", "x; DROP", "", "1st"])
def test_a_name_that_is_none_is_refused_before_anything_else(pod: Pod, folder: Path, name: str) -> None:
    with pytest.raises(OpsError, match="small letters, digits and _"):
        fresh_database(KUBE, folder, "grafana", name)
    with pytest.raises(OpsError):
        drop_database(KUBE, name)
    assert pod.calls == []
    assert legal_database("restored_grafana") == "restored_grafana"


def test_without_a_server_that_takes_writes_nothing_is_done(pod: Pod) -> None:
    waiting: Any = SimpleNamespace(namespace="x", pods=lambda _: KUBE.pods(_)[:1])
    with pytest.raises(OpsError, match="takes writes: those that answer follow"):
        primary(waiting)
    nobody: Any = SimpleNamespace(namespace="x", pods=lambda _: [])
    with pytest.raises(OpsError, match="takes writes: no pod is ready"):
        primary(nobody)


def test_an_answer_without_numbers_is_an_error(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "run_in_pod", lambda *_, **__: "public.a|many\n")
    with pytest.raises(OpsError, match="did not count the rows"):
        destinations.counts(KUBE, "postgres-1", "restored", "grafana")


@pytest.mark.parametrize(
    ("line", "table"),
    [
        ("3412; 0 16411 TABLE DATA public dashboard grafana", "public.dashboard"),
        ("3413; 0 16412 TABLE DATA public two words grafana", "public.two words"),
        ("212; 1259 16500 MATERIALIZED VIEW public totals grafana", "public.totals"),
    ],
)
def test_the_list_of_a_dump_names_tables(line: str, table: str) -> None:
    assert verify._table(line) == table
