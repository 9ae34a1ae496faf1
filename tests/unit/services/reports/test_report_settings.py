"""The settings file of the reports: closed, and every mistake one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.reports import ReportsSettings
from services.reports.__main__ import main
from services.reports.model import Kind
from tests.unit.services.reports.delivery import RECIPIENTS, content


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("platform", "", "platform is ''; it must be a text"),
        ("time_zone", "Tokyo", "time_zone is 'Tokyo'; it must be a name such as Asia/Tokyo"),
        ("languages", ["ja", "fr"], "languages is ['ja', 'fr']; it must be a list of some of en, ja, each once"),
        ("languages", ["ja", "ja"], "languages is ['ja', 'ja']"),
        ("query.url", "http://localhost:1", "query.url is 'http://localhost:1'; it must be https://host:port"),
        ("query.url", "https://a:b@localhost:1", "without a user"),
        ("query.password_file", "", "query.password_file is ''"),
        ("kafka.topic", None, "kafka.topic is None"),
        ("mail.server", "localhost", "mail.server is 'localhost'; it must be \"host:port\""),
        ("mail.server", "localhost:99999", "mail.server is 'localhost:99999'"),
        ("mail.sender", "nobody", "mail.sender has 'nobody'; it must be a mail address"),
        ("mail.recipients.daily", ["x"], "mail.recipients.daily has 'x'; it must be a mail address"),
        ("mail.recipients.daily", "a@b", "mail.recipients.daily is 'a@b'; it must be a list"),
        ("mail.recipients.hourly", [], "mail.recipients.hourly is not a setting; allowed: daily, weekly, monthly"),
        ("storage.prefix", "/x", "storage.prefix is '/x'; it must be \"\" or end with /"),
        ("storage.encryption", "rot13", "storage.encryption is 'rot13'; it must be null or one of AES256, aws:kms"),
        ("storage.endpoint", "ftp://x", "storage.endpoint is 'ftp://x'"),
        ("link", "x", "link is 'x'; it must be https://host:port"),
        ("speed", 1, "speed is not a setting; allowed: platform"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_that_says_what_to_do(
    tmp_path: Path, where: str, value: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = content(tmp_path)
    place: dict[str, Any] = settings
    *path, last = where.split(".")
    for step in path:
        place = place[step]
    place[last] = value
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert main(["--config", str(file), "daily"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert str(file) in lines[0]


def test_settings_without_mail_and_storage_are_fine(tmp_path: Path) -> None:
    settings = ReportsSettings.parse({**content(tmp_path), "mail": None, "storage": None})
    assert (settings.mail, settings.storage, settings.languages, settings.name) == (
        None,
        None,
        ("ja", "en"),
        "obs (local)",
    )


def test_a_file_is_read_with_everything_in_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**content(tmp_path), "link": "https://reports.example.org/"}))
    settings = ReportsSettings.load(file)
    assert settings.mail is not None
    assert (settings.mail.host, settings.mail.port) == ("mail.example.org", 587)
    assert settings.mail.recipients.of(Kind.DAILY) == tuple(RECIPIENTS)
    assert settings.storage is not None
    assert (settings.storage.encryption, settings.storage.prefix) == (None, "reports/")
    assert settings.link == "https://reports.example.org"


def test_authorities_and_the_address_of_the_storage_may_be_left_to_the_public_ones(tmp_path: Path) -> None:
    settings = content(tmp_path)
    for section in ("mail", "storage"):
        settings[section]["ca_file"] = None
    settings["storage"]["endpoint"] = None
    assert ReportsSettings.parse(settings).storage is not None
