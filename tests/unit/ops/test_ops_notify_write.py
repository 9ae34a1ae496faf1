"""``ops notify --write``: what the stack knows becomes files that work when the stack is gone."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import __main__ as cli
from ops.alerts import notify as notify_module
from ops.alerts.notify import load
from ops.alerts.notify_file import write
from ops.core.errors import OpsError
from ops.core.platform import parse

KEY = "k" * 32
SOURCE: dict[str, Any] = {
    "channels": {
        "phone": {"url": "https://pager.example.org/v2/enqueue"},
        "sms": {"region": "ap-northeast-1", "url": None},
        "mail": {"server": "mail.example.org:587", "sender": "alerts@example.org", "user": "alerts"},
    },
    "contacts": {
        "operators": {"mail": "ops@example.org", "phone": True, "sms_topic": "arn:x", "slack": True},
        "team-leader": {"mail": "leader@example.org", "phone": False, "sms_topic": None, "slack": False},
    },
    "secrets": {
        "phone_keys": {"operators": KEY},
        "slack_urls": {"operators": "https://slack.example.org/services/T/B/token"},
        "mail_password": "mail-secret",
        "sms_access_key_id": "AKIA",
        "sms_secret_access_key": "aws-secret",
        "heartbeat_url": "https://switch.example.org/heart",
        "authority": "",
    },
}


def changed(**secrets: Any) -> dict[str, Any]:
    return {**SOURCE, "secrets": {**SOURCE["secrets"], **secrets}}


def test_the_files_can_be_used_and_only_their_owner_can_read_them(outputs: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "notify"
    written = write(parse({**outputs, "notify_channels": SOURCE}), folder)
    assert {path.name for path in written} == {path.name for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    directory = load(folder / "channels.yaml")
    assert list(directory.contacts) == ["operators", "team-leader"]
    assert all(channel.sent for channel in notify_module.check_channels(directory, folder))
    text = (folder / "channels.yaml").read_text()
    assert not any(secret in text for secret in (KEY, "token", "mail-secret", "aws-secret"))


def test_a_private_authority_is_written_and_used_by_every_channel(outputs: dict[str, Any], tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\n"
    write(parse({**outputs, "notify_channels": changed(authority=pem)}), tmp_path)
    channels = load(tmp_path / "channels.yaml").channels.model_dump()
    assert {channel["ca_file"] for channel in channels.values()} == {"authority.pem"}
    assert (tmp_path / "authority.pem").read_text() == pem


def test_a_stack_without_sms_writes_no_credentials_for_it(outputs: dict[str, Any], tmp_path: Path) -> None:
    secrets = {name: value for name, value in SOURCE["secrets"].items() if not name.startswith("sms_")}
    contacts = {name: {**contact, "sms_topic": None} for name, contact in SOURCE["contacts"].items()}
    source = {"channels": {**SOURCE["channels"], "sms": None}, "contacts": contacts, "secrets": secrets}
    written = write(parse({**outputs, "notify_channels": source}), tmp_path)
    assert "aws-credentials" not in {path.name for path in written}
    directory = load(tmp_path / "channels.yaml")
    assert directory.channels.sms is None
    channels = {channel.channel for channel in notify_module.check_channels(directory, tmp_path)}
    assert channels == {"phone", "slack", "mail"}


def test_a_second_time_replaces_the_files(outputs: dict[str, Any], tmp_path: Path) -> None:
    write(parse({**outputs, "notify_channels": SOURCE}), tmp_path)
    write(parse({**outputs, "notify_channels": changed(phone_keys={"operators": "n" * 32})}), tmp_path)
    assert (tmp_path / "phone-operators").read_text().strip() == "n" * 32


def test_secrets_show_in_no_representation_and_in_no_output(
    outputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = parse({**outputs, "notify_channels": SOURCE})
    monkeypatch.setattr(notify_module.platform_module, "load", lambda: platform)
    done = CliRunner().invoke(cli.app, ["notify", "--write", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    seen = repr(platform) + done.output
    assert not any(secret in seen for secret in (KEY, "mail-secret", "aws-secret", "/T/B/token"))


def test_an_older_stack_says_that_it_cannot(outputs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="has no output for channels"):
        write(parse(outputs), tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(outputs: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match="cannot be written: Not a directory"):
        write(parse({**outputs, "notify_channels": SOURCE}), tmp_path / "file" / "folder")


def test_outputs_that_are_not_as_expected_are_named_without_their_content(outputs: dict[str, Any]) -> None:
    with pytest.raises(OpsError) as raised:
        parse({**outputs, "notify_channels": changed(phone_keys=json.dumps({"operators": KEY}))})
    assert "notify_channels.secrets.phone_keys" in str(raised.value)
    assert KEY not in str(raised.value)
