"""Settings of the program: whole ones are read, every mistake is one line that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.backup import BackupSettings
from services.backup.__main__ import main
from services.runtime.settings import SettingsError
from tests.unit.services.backup.harness import IDENTITY, RECIPIENT

LOGIN = {"ca_file": "/ca", "user": "backup", "password_file": "/password"}


def content(**changed: Any) -> dict[str, Any]:
    """A whole settings file."""
    return {
        "platform": "obs",
        "region": "tokyo",
        "recipients": [RECIPIENT],
        "limit_s": 3000,
        "seal_key_file": "/seal-key",
        "storage": {
            "endpoint": "https://storage:9000",
            "region": "ap-northeast-1",
            "bucket": "obs",
            "prefix": "backups/",
            "access_key_id_file": "/key",
            "secret_access_key_file": "/secret",
            "ca_file": None,
        },
        "database": {
            "host": "postgres.obs.svc",
            "port": 5432,
            "ca_file": "/ca",
            "databases": [{"name": "grafana", "user": "grafana", "password_file": "/password"}],
        },
        "grafana": {"url": "https://grafana:3000", **LOGIN},
        "kafka_metadata": {"bootstrap": "kafka:9093", **LOGIN},
        "search": {
            "url": "https://search:9200",
            "engine": "opensearch",
            "indices": ["logs-0*"],
            **LOGIN,
        },
        **changed,
    }


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content()))
    settings = BackupSettings.load(file)
    assert settings.recipients == (RECIPIENT,)
    assert settings.storage.prefix == "backups/"
    assert settings.storage.encryption is None
    assert settings.database is not None
    assert settings.database.databases[0].password_file == Path("/password")
    assert settings.search is not None
    assert settings.search.indices == ("logs-0*",)


def test_kinds_without_a_section_are_not_made_here() -> None:
    only = content(database=None)
    del only["grafana"], only["search"]
    settings = BackupSettings.parse(only)
    assert (settings.database, settings.grafana, settings.search) == (None, None, None)
    assert settings.kafka_metadata is not None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"recipients": []}, "recipients must be a list of public keys of age (age1...), at least one"),
        ({"recipients": ["age1short"]}, "recipients[0]: 'age1short' is no public key of age"),
        ({"recipients": [RECIPIENT, RECIPIENT]}, "recipients has a key twice; each must be there once"),
        ({"limit_s": 0}, "limit_s is 0; it must be a whole number of seconds from 1 to 86400"),
        ({"extra": 1}, "extra is not a setting; allowed: platform, region, recipients"),
        ({"platform": ""}, "platform is ''; it must be a text that is not empty"),
        ({"storage": {**content()["storage"], "prefix": "backups"}}, "storage.prefix is 'backups'; it must be"),
        (
            {"storage": {**content()["storage"], "endpoint": "http://x"}},
            "storage.endpoint is 'http://x'; it must be https",
        ),
        (
            {"storage": {**content()["storage"], "encryption": "rot13"}},
            "storage.encryption is 'rot13'; it must be null or",
        ),
        ({"database": {**content()["database"], "databases": []}}, "database.databases is []; it must be a list with"),
        ({"database": {**content()["database"], "host": "a b"}}, "database.host is 'a b'; it must be the name in"),
        ({"database": {**content()["database"], "port": "5432"}}, "database.port is '5432'; it must be a whole number"),
        (
            {"grafana": {**content()["grafana"], "url": "https://u:p@g"}},
            "grafana.url is 'https://u:p@g'; it must be https",
        ),
        ({"search": {**content()["search"], "indices": "*"}}, "search.indices is '*'; it must be a list of patterns"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        BackupSettings.parse(content(**changed))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_secret_key_among_the_recipients_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        BackupSettings.parse(content(recipients=[str(IDENTITY)]))
    assert "must be the public one" in str(raised.value)
    assert str(IDENTITY)[20:] not in str(raised.value)


def test_the_program_ends_with_2_for_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    for settings, message in (
        (content(limit_s=-1), f"backup: {file}: limit_s is -1; it must be"),
        (content(), "backup: /key: cannot be read: No such file or directory"),
    ):
        file.write_text(yaml.safe_dump(settings))
        assert main(["--config", str(file), "grafana"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(message)
        assert said.count("\n") == 1
