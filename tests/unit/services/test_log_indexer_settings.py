"""Mistakes in the indexer's settings: one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.logs import LogIndexerArgs
from services.log_indexer import LogIndexerSettings
from services.log_indexer.__main__ import main
from services.runtime.settings import SettingsError
from tests.unit.services.indexer_fakes import content


def changed(folder: Path, path: str, value: Any) -> dict[str, Any]:
    settings = content(folder)
    target = settings
    *above, last = path.split(".")
    for key in above:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return settings


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "kafka.topic",
            None,
            "kafka.topic is missing; needed: bootstrap, topic, ca_file, username, group, password_file",
        ),
        ("kafka.colour", "red", "kafka.colour is not a setting"),
        ("search.url", "http://search:9200", "search.url is 'http://search:9200'; it must be https://host:port"),
        ("batch_records", 0, "batch_records is 0; it must be a whole number from 1 to 10000"),
        ("batch_bytes", True, "batch_bytes is True; it must be a whole number"),
        ("listen", "8080", "listen is '8080'; it must be"),
        ("metrics", "x", "metrics must be a mapping with the keys user, password_file"),
        ("search.username", "", "search.username is ''; it must be a text that is not empty"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        LogIndexerSettings.parse(changed(tmp_path, path, value))
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        LogIndexerSettings.load(tmp_path / "none.yaml")


def test_the_program_ends_with_2_for_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(changed(tmp_path, "listen", "8080")))
    assert main(["--config", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_component_writes_what_the_program_reads(tmp_path: Path) -> None:
    defaults = LogIndexerArgs.__dataclass_fields__
    settings = LogIndexerSettings.parse(
        content(tmp_path) | {name: defaults[name].default for name in ("batch_records", "batch_bytes")}
    )
    assert (settings.batch_records, settings.batch_bytes) == (500, 5_000_000)
