"""Mistakes in the alert event service's settings: one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.alert_events import AlertEventsSettings
from services.alert_events.__main__ import main
from services.runtime.settings import SettingsError
from tests.unit.services.alert_events_fakes import content


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
        ("topics.raw", None, "topics.raw is missing; needed: raw, processed"),
        ("topics.raw", "alerts-processed", "are both 'alerts-processed'; they must be two topics"),
        ("kafka.colour", "red", "kafka.colour is not a setting; allowed: bootstrap, ca_file, user, password_file"),
        ("listen", "8443", "listen is '8443'; it must be"),
        ("prometheus", "x", "prometheus must be a mapping with the keys user, password_file"),
        ("alertmanager.user", "", "alertmanager.user is ''; it must be a text that is not empty"),
        ("metrics", None, "metrics is missing"),
        ("tls.key_file", 5, "tls.key_file is 5; it must be a text"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        AlertEventsSettings.parse(changed(tmp_path, path, value))
    assert message in str(caught.value)


def test_every_endpoint_has_its_own_login(tmp_path: Path) -> None:
    settings = AlertEventsSettings.parse(content(tmp_path))
    logins = (settings.prometheus, settings.alertmanager, settings.metrics)
    assert [login.user for login in logins] == ["prometheus", "alertmanager", "metrics"]
    assert len({login.password_file for login in logins}) == 3
    assert (settings.topics.raw, settings.topics.processed) == ("alerts-raw", "alerts-processed")


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        AlertEventsSettings.load(tmp_path / "none.yaml")


def test_the_program_ends_with_2_for_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(changed(tmp_path, "listen", "8443")))
    assert main(["--config", str(path)]) == 2
    path.write_text(yaml.safe_dump(content(tmp_path)))
    assert main(["--config", str(path)]) == 2, "there is no certificate"
    first, second = capsys.readouterr().err.splitlines()
    assert "listen is '8443'" in first
    assert "cannot serve with" in second
