"""The exporter's settings file: closed, and every mistake one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.kafka_lag import KafkaLagSettings
from services.runtime.settings import SettingsError


def content(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "bootstrap": "kafka:9092",
        "ca_file": "/etc/tls/ca.crt",
        "username": "kafka-lag",
        "password_file": "/etc/kafka/password",
        "groups": ["metrics-consumer-primary"],
        "topics": "telemetry-.*",
        "listen": "0.0.0.0:8080",
        "tls": {"cert_file": "/etc/tls/tls.crt", "key_file": "/etc/tls/tls.key"},
        "metrics": {"user": "scrape-kafka-lag", "password_file": "/etc/metrics/password"},
        "interval_s": 15,
    }
    return {**good, **changes}


def test_a_good_file_is_read_as_yaml_or_json(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(content()))
    settings = KafkaLagSettings.load(file)
    assert (settings.listen_host, settings.listen_port, settings.interval_s) == ("0.0.0.0", 8080, 15.0)
    assert settings.cert_file == Path("/etc/tls/tls.crt")


def test_listed_names_are_taken_exactly_and_a_pattern_matches_whole_names() -> None:
    settings = KafkaLagSettings.parse(content())
    assert "metrics-consumer-primary" in settings.groups
    assert "metrics-consumer-primary-2" not in settings.groups
    assert "telemetry-logs" in settings.topics
    assert "x-telemetry-logs" not in settings.topics


def test_bootstrap_servers_may_be_a_list() -> None:
    assert KafkaLagSettings.parse(content(bootstrap=["a:1", "b:2"])).bootstrap == "a:1,b:2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intervall_s": 1}, "intervall_s is not a setting; allowed: listen, tls, metrics, bootstrap"),
        (
            {"tls": {"cert_file": "a", "key_file": "b", "ca": "c"}},
            "tls.ca is not a setting; allowed: cert_file, key_file",
        ),
        ({"metrics": {"user": "u"}}, "metrics.password_file is missing; needed: user, password_file"),
        ({"metrics": None}, "metrics must be a mapping with the keys user, password_file"),
        ({"interval_s": 0}, "interval_s is 0; it must be a number of seconds from 1 to 300"),
        ({"interval_s": True}, "interval_s is True; it must be a number"),
        ({"listen": "8080"}, "listen is '8080'; it must be \"address:port\""),
        ({"groups": []}, "groups is []; it must be a list of names or a regular expression"),
        ({"topics": "("}, "topics is '('; it must be a list of names or a regular expression"),
        ({"bootstrap": "kafka"}, "bootstrap is 'kafka'; it must be \"host:port\""),
        ({"username": 5}, "username is 5; it must be a text"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KafkaLagSettings.parse(content(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", sorted(content()))
def test_every_key_is_needed(key: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key} is missing"):
        KafkaLagSettings.parse({name: value for name, value in content().items() if name != key})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read: No such file"):
        KafkaLagSettings.load(tmp_path / "none.yaml")


def test_a_file_that_is_no_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: [")
    with pytest.raises(SettingsError, match="is neither YAML nor JSON") as caught:
        KafkaLagSettings.load(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
