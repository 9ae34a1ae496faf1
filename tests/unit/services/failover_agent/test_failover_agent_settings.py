"""Mistakes in the failover agent's settings: one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.failover_agent import FailoverAgentSettings
from services.failover_agent.__main__ import main
from services.runtime.settings import SettingsError
from tests.unit.services.failover_agent.contents import content


def test_a_right_file_is_read(tmp_path: Path) -> None:
    settings = FailoverAgentSettings.parse(
        content(tmp_path, egress_targets=["events.pagerduty.com:443", "[::1]:8443"], peer=None)
    )
    assert settings.egress_addresses == (("events.pagerduty.com", 443), ("::1", 8443))
    assert (settings.region, settings.role, settings.peer) == ("region-a", "primary", None)
    assert (settings.witness.bucket, settings.witness.place.prefix) == ("obs-witness", "")
    assert (settings.poll_interval_s, settings.heartbeat_interval_s, settings.isolated_s) == (2.0, 5.0, 20.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "Region A"}, "region is 'Region A'; it must be a name of small letters"),
        ({"region": "lease"}, "region is 'lease'; it must be a name"),
        ({"region": None}, "region is None; it must be a name"),
        ({"peer": 5}, "peer is 5; it must be a name"),
        ({"peer": "region-a"}, "peer is 'region-a', the region itself; it must be the other region, or null"),
        ({"role": "leader"}, "role is 'leader'; allowed: primary, standby"),
        ({"egress_targets": []}, "egress_targets is []; it must be a list of one host:port or more"),
        ({"egress_targets": ["pager"]}, "egress_targets has 'pager'; each must be host:port"),
        ({"egress_targets": ["pager:0"]}, "egress_targets has 'pager:0'; each must be host:port"),
        ({"egress_targets": ["pager:1", "pager:1"]}, "none of them twice"),
        ({"fingerprints": {"rules": ""}}, "fingerprints must be a mapping of names to hashes"),
        ({"poll_interval_s": 0}, "poll_interval_s is 0; it must be a number of seconds above 0"),
        ({"heartbeat_interval_s": True}, "heartbeat_interval_s is True; it must be a number of seconds above 0"),
        ({"isolated_s": 5}, "isolated_s is 5; it must be 3 times poll_interval_s or more"),
        ({"colour": "red"}, "colour is not a setting; allowed: listen, tls, metrics, region, role"),
        ({"metrics": {"user": "x"}}, "metrics.password_file is missing"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        FailoverAgentSettings.parse(content(tmp_path, **changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("witness", "endpoint", "http://x", "witness.endpoint is 'http://x'; it must be https://host:port, or null"),
        ("witness", "bucket", "", "witness.bucket is ''; it must be a text"),
        ("witness", "prefix", "x/", "witness.prefix is not a setting; allowed: endpoint, region, bucket"),
        ("alertmanagers", "urls", [], "alertmanagers.urls is []; it must be a list of one https://host:port or more"),
        ("alertmanagers", "urls", ["https://x"], "alertmanagers.urls has 'https://x'; each must be https://host:port"),
        ("alertmanagers", "server_name", "", "alertmanagers.server_name is ''; it must be null or a text"),
        ("alertmanagers", "user", None, "alertmanagers.user is None; it must be a text"),
    ],
)
def test_a_mistake_in_a_section_has_its_whole_name(
    tmp_path: Path, section: str, key: str, value: Any, message: str
) -> None:
    settings = content(tmp_path)
    with pytest.raises(SettingsError) as caught:
        FailoverAgentSettings.parse({**settings, section: {**settings[section], key: value}})
    assert message in str(caught.value)


def test_the_program_ends_with_two_and_a_line_for_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content(tmp_path, role="leader")))
    assert main(["--config", str(file)]) == 2
    assert capsys.readouterr().err == f"failover-agent: {file}: role is 'leader'; allowed: primary, standby\n"
    file.write_text(yaml.safe_dump(content(tmp_path)))
    assert main(["--config", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"failover-agent: cannot serve with {file}: ")
