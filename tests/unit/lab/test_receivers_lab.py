"""The fakes as a part of the lab: files, process, address, and what the stack gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab import LabError
from lab.cluster import lifecycle, network
from lab.cluster.network import Daemon
from lab.fakes.receivers import client
from lab.fakes.receivers import settings as keys
from lab.fakes.receivers.client import show_notifications
from lab.fakes.receivers.settings import CONTACTS, load, topics_of
from lab.paths import CHECKOUT, LabPaths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    return LabPaths("x")


def test_the_files_are_made_once_and_hold_together(paths: LabPaths) -> None:
    client.prepare(paths)
    place = paths.state / "receivers"
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    client.prepare(paths)
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before
    settings = load(place / "config.json")
    assert (settings.host, settings.https_port, settings.smtp_port) == ("198.18.0.2", 8443, 8587)
    assert settings.topics == topics_of(CHECKOUT / "Pulumi.local.yaml")
    assert settings.cert_file.exists()
    assert keys.load_secrets(settings.secrets_file)
    assert place.stat().st_mode & 0o777 == 0o700
    assert (settings.dns_zone, settings.dns_names) == ("obs.example.com", {"otlp.obs.example.com": "198.18.0.20"})
    secrets = [*keys.load_secrets(settings.secrets_file).all(), keys.load_dns(settings.dns_secrets_file).secret]
    text = (place / "config.json").read_text()
    assert not [secret for secret in secrets if secret in text]


def test_the_process_is_ended_when_its_code_has_changed_and_only_then(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Daemon("receivers", [sys.executable, "-c", "import time; time.sleep(60)"], paths.state)
    monkeypatch.setattr(client, "daemon", lambda _: process)
    client.prepare(paths)
    process.start()
    try:
        client.prepare(paths)
        assert process.pid() is not None
        (paths.state / "receivers" / "code").write_text("older")
        client.prepare(paths)
        assert process.pid() is None
    finally:
        process.stop()


def test_the_process_is_a_part_of_the_lab(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "create_cgroup", lambda _: "/obs-x")
    monkeypatch.setattr(lifecycle.node, "daemons", lambda *_: ())
    (paths.state / "pki").mkdir(parents=True)
    (paths.state / "pki" / "complete").touch()
    assert ("receivers", None) in lifecycle.status(paths)
    command = client.daemon(paths).command
    assert command[:2] == ["nsenter", "--net=/run/netns/obs-x"]
    assert command[-3:] == ["lab.fakes.receivers", "--config", str(paths.state / "receivers" / "config.json")]


def test_a_process_that_ends_at_once_is_told_with_the_end_of_its_log(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.prepare(paths)
    process = Daemon("receivers", [sys.executable, "-c", "print('no such address')"], paths.state)
    monkeypatch.setattr(client, "daemon", lambda _: process)
    process.start()
    with pytest.raises(LabError, match=r"receivers ended; log .*receivers\.log:\nno such address"):
        client.wait_ready(paths)


def test_without_a_lab_it_says_what_to_do(paths: LabPaths) -> None:
    for ask in (client.alerting_secrets, client.wait_ready):
        with pytest.raises(LabError, match="run `make up`"):
            ask(paths)
    with pytest.raises(LabError, match="run `make up`"):
        show_notifications(paths, last=1, alert=None, heartbeats=False)


def test_the_stack_gets_everything_that_it_needs_to_reach_them(paths: LabPaths) -> None:
    client.prepare(paths)
    given = client.alerting_secrets(paths)
    assert set(given) == {
        "phone_keys",
        "slack_urls",
        "mail_password",
        "sms_access_key_id",
        "sms_secret_access_key",
        "heartbeat_url",
        "authority",
    }
    assert set(given["slack_urls"]) == set(CONTACTS)
    assert len(set(given["slack_urls"].values())) == len(CONTACTS)
    assert all(slack_url.startswith("https://198.18.0.2:8443/services/T") for slack_url in given["slack_urls"].values())
    assert given["heartbeat_url"].startswith("https://198.18.0.2:8443/heartbeat/")
    assert given["authority"] == (paths.state / "receivers" / "pki" / "ca.crt").read_text()
    assert client.alerting_secrets(paths) == given


def test_operators_get_the_key_of_the_zone_once_there_is_a_lab(paths: LabPaths) -> None:
    assert client.dns_variables(paths) == {}
    client.prepare(paths)
    known = keys.load_dns(paths.state / "receivers" / "dns-secrets.json")
    assert client.dns_variables(paths) == {
        "OBS_DNS_ACCESS_KEY_ID": known.key,
        "OBS_DNS_SECRET_ACCESS_KEY": known.secret,
        "OBS_DNS_CA_FILE": str(paths.state / "receivers" / "pki" / "ca.crt"),
    }


def test_an_older_namespace_gets_addresses_and_route_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(network, "_ip", lambda *arguments: done.append(" ".join(arguments)))
    monkeypatch.setattr(network, "namespace_exists", lambda _: True)
    network.create_namespace("obs-x")
    assert done == [
        "-n obs-x addr replace 198.18.0.1/24 dev node0",
        "-n obs-x addr replace 198.18.0.2/24 dev node0",
        "-n obs-x route replace 10.96.0.30/32 dev node0 src 198.18.0.1",
    ]
