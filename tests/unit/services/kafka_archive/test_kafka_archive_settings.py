"""The settings: closed, and each mistake one line that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kafka_archive import KafkaArchiveSettings
from services.kafka_archive import __main__ as program
from services.runtime.settings import SettingsError
from tests.unit.services.kafka_archive.archive_fakes import RECIPIENT, content


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content(tmp_path)))
    settings = KafkaArchiveSettings.load(file)
    assert settings.kafka.topics == ("telemetry-logs",)
    assert settings.recipients == (RECIPIENT,)
    assert settings.flush_s == 60
    assert settings.storage.prefix == "backups/"
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topics": []}, "topics is not a setting"),
        ({"flush_s": 0}, "flush_s is 0; it must be a whole number from 1 to 3600"),
        ({"flush_s": True}, "flush_s is True"),
        ({"segment_bytes": 10}, "segment_bytes is 10"),
        ({"segment_records": 0}, "segment_records is 0"),
        ({"memory_bytes": 8 * 2**20, "segment_bytes": 5 * 2**20}, "memory_bytes is 8388608; it must hold two segments"),
        ({"recipients": []}, "recipients must be a list of public keys"),
        ({"recipients": ["age1xyz"]}, "recipients[0]"),
        ({"listen": "8080"}, "listen is '8080'"),
        ({"metrics": {"user": "a"}}, "metrics.password_file is missing"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KafkaArchiveSettings.parse(content(tmp_path) | change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        ([], "it must be a list of names of topics"),
        ("telemetry-logs", "it must be a list"),
        (["a", "a"], "kafka.topics has 'a' twice"),
        (["a/b"], "kafka.topics has 'a/b'; a topic's name has letters"),
        ([".."], "kafka.topics has '..'"),
    ],
)
def test_topics_are_names_each_once(tmp_path: Path, topics: Any, message: str) -> None:
    given = content(tmp_path)
    given["kafka"]["topics"] = topics
    with pytest.raises(SettingsError) as caught:
        KafkaArchiveSettings.parse(given)
    assert message in str(caught.value)


def test_a_secret_key_of_age_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"
    with pytest.raises(SettingsError) as caught:
        KafkaArchiveSettings.parse(content(tmp_path) | {"recipients": [secret]})
    assert secret not in str(caught.value)
    assert "public one" in str(caught.value)


def test_the_program_tells_a_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content(tmp_path) | {"flush_s": "sixty"}))
    assert program.main(["--config", str(file)]) == 2
    told = capsys.readouterr().err
    assert told == (f"kafka-archive: {file}: flush_s is 'sixty'; it must be a whole number from 1 to 3600\n")
