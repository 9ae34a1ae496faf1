"""How backups are reached: the stack output, the same in a file, and mistakes in either as one line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.backups.options import read_dsn, server
from ops.core.access import BackupAccess, backup_access, read_access
from ops.core.errors import OpsError

GIVEN: dict[str, Any] = {
    "endpoint": "https://198.18.0.2:8444",
    "region": "ap-northeast-1",
    "bucket": "obs-local",
    "prefix": "backups/",
    "metrics_prefix": "metrics/",
    "access_key_id": "AKIAEXAMPLE",
    "secret_access_key": "the-secret-of-the-storage",
    "recipients": ["age1example"],
    "time_zone": "Asia/Tokyo",
    "schedules": {"database": "5 * * * *", "kafka_metadata": "25 3 * * *", "search": "30 3 * * *"},
    "search": "export",
}


def test_the_secret_shows_in_no_representation() -> None:
    assert "the-secret" not in repr(BackupAccess.model_validate(GIVEN))
    assert "AKIA" not in repr(BackupAccess.model_validate(GIVEN))


def test_each_kind_may_be_as_old_as_its_schedule_allows() -> None:
    allowed = BackupAccess.model_validate(GIVEN).scheduled
    assert set(allowed) == {"database", "kafka-metadata", "search"}
    assert 3600 < allowed["database"] <= 3 * 3600
    assert 86_400 < allowed["kafka-metadata"] <= 36 * 3600


def test_a_search_cluster_that_is_not_backed_up_has_no_runs() -> None:
    assert "search" not in BackupAccess.model_validate({**GIVEN, "search": None}).scheduled


def test_a_stack_without_backups_is_told_so() -> None:
    with pytest.raises(OpsError, match="the stack makes no backups"):
        backup_access(SimpleNamespace(backups=None))


def test_the_output_is_read_from_a_file_when_the_stack_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    file.write_text(json.dumps(GIVEN))
    access_read = read_access(file)
    assert (access_read.bucket, access_read.zone.key) == ("obs-local", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "must be JSON as `pulumi stack output backups --json --show-secrets` prints it"),
        (json.dumps({**GIVEN, "bucket": None}), "bucket: "),
        (json.dumps({**GIVEN, "recipients": []}), "recipients: "),
    ],
)
def test_a_file_that_is_none_is_one_line_without_secrets(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "access.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OpsError, match="--access") as error:
        read_access(file)
    assert message in str(error.value)
    assert "the-secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_another_server_needs_address_authority_and_login(tmp_path: Path) -> None:
    login, ca = tmp_path / "login.json", tmp_path / "ca.pem"
    login.write_text('{"username": "admin", "password": "the password"}')
    ca.write_text("PEM")
    assert server(None, None, None) is None
    grafana_server = server("https://grafana.example.com", ca, login)
    assert grafana_server is not None
    assert grafana_server.login == ("admin", "the password")
    with pytest.raises(OpsError, match="--ca, --login is missing"):
        server("https://grafana.example.com", None, None)
    with pytest.raises(OpsError, match="there is no such file"):
        server("https://grafana.example.com", tmp_path / "none.pem", login)


def test_a_login_that_is_none_shows_nothing_of_itself(tmp_path: Path) -> None:
    login, ca = tmp_path / "login.json", tmp_path / "ca.pem"
    login.write_text('{"user": "admin", "password": "the password"}')
    ca.write_text("PEM")
    with pytest.raises(OpsError, match="--login") as error:
        server("https://grafana.example.com", ca, login)
    assert "the password" not in str(error.value)


def test_a_connection_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("host=db dbname=x password=y\n")
    assert read_dsn(file) == "host=db dbname=x password=y"
    file.write_text("\n")
    with pytest.raises(OpsError, match="is empty"):
        read_dsn(file)
    with pytest.raises(OpsError, match="cannot be read"):
        read_dsn(tmp_path / "none")
