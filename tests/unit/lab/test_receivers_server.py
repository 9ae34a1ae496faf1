"""The fakes' process: the whole of it on loopback, its settings, its secrets, its restart."""

from __future__ import annotations

import json
import signal
import smtplib
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509

from lab import LabError, key_files
from lab.fakes.receivers import settings as keys
from lab.fakes.receivers.__main__ import main
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.settings import CONTACTS, parse
from lab.paths import CHECKOUT
from services.runtime.settings import SettingsError
from tests.config.servers import free_port, running
from tests.unit.lab.receivers_fakes import TOPIC
from tests.unit.lab.route53 import lead, leads_to, route53


def content(folder: Path) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "https_port": free_port(),
        "smtp_port": free_port(),
        "cert_file": str(folder / "pki" / "tls.crt"),
        "key_file": str(folder / "pki" / "tls.key"),
        "secrets_file": str(folder / "secrets.json"),
        "record_file": str(folder / "notifications.jsonl"),
        "topics": [TOPIC],
        "grace_s": 1,
        "dns_secrets_file": str(folder / "dns-secrets.json"),
        "dns_records_file": str(folder / "dns-records.json"),
        "dns_zone": "obs.example.com",
        "dns_names": {"otlp.obs.example.com": "198.18.0.20"},
    }


@pytest.fixture(autouse=True)
def imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the project wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))


def test_the_whole_process_takes_notifications_and_a_kill_loses_none(tmp_path: Path) -> None:
    key_files.create(tmp_path / "pki", "127.0.0.1")
    secrets, zone = (
        keys.load_or_make_secrets(tmp_path / "secrets.json"),
        keys.load_or_make_dns(tmp_path / "dns-secrets.json"),
    )
    settings = content(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "lab.fakes.receivers", "--config", str(tmp_path / "config.json")]
    base, authority = f"https://127.0.0.1:{settings['https_port']}", tmp_path / "pki" / "ca.crt"
    receivers = Receivers(base, (keys.READER, secrets.reader_password), authority)
    with running(command, tmp_path / "receivers.log", settings["https_port"], kill=True):
        event = {
            "routing_key": secrets.phone_keys["operators"],
            "event_action": "trigger",
            "payload": {"summary": "[CRITICAL] X", "source": secrets.mail_password, "severity": "critical"},
        }
        assert requests.post(f"{base}/v2/enqueue", json=event, verify=authority, timeout=60).status_code == 202
        with smtplib.SMTP("127.0.0.1", settings["smtp_port"], timeout=60) as client:
            client.starttls(context=ssl.create_default_context(cafile=authority))
            client.login(keys.MAIL_USER, secrets.mail_password)
            client.sendmail("a@example.org", ["b@example.org"], b"Subject: hello\r\n\r\nbody\r\n")
        beat = requests.get(f"{base}/heartbeat/{secrets.heartbeat_token}", verify=authority, timeout=60)
        assert beat.status_code == 200
        receivers.wait_for(timeout_s=10, channel="dead-mans-switch")
        with route53(base, authority, zone.key, zone.secret) as client:
            lead(client, "otlp.obs.example.com", "198.19.0.50")
    log = tmp_path / "again.log"
    with running(command, log, settings["https_port"]) as process:
        assert [notification.channel for notification in receivers.since()] == [
            "phone",
            "mail",
            "heartbeat",
            "dead-mans-switch",
        ]
        assert receivers.since()[0].audience == "operators"
        assert receivers.switch()["silent"] is True
        with route53(base, authority, zone.key, zone.secret) as client:
            assert leads_to(client) == {"otlp.obs.example.com.": ["198.19.0.50"]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    for file in (tmp_path / "notifications.jsonl", tmp_path / "receivers.log", log, tmp_path / "config.json"):
        text = file.read_text()
        assert not [secret for secret in [*secrets.all(), zone.secret] if secret in text], file
    assert "4 notifications from before" in log.read_text()


def test_a_second_process_at_the_same_address_says_so_in_one_line(tmp_path: Path) -> None:
    key_files.create(tmp_path / "pki", "127.0.0.1")
    keys.load_or_make_secrets(tmp_path / "secrets.json")
    keys.load_or_make_dns(tmp_path / "dns-secrets.json")
    settings = content(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "lab.fakes.receivers", "--config", str(tmp_path / "config.json")]
    with running(command, tmp_path / "receivers.log", settings["https_port"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: [Errno 98] Address already in use\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fax": 1}, "fax is not a setting; allowed: host, https_port"),
        ({"host": None}, "host is missing; needed: host, https_port"),
        ({"host": ""}, "host is ''; it must be a text that is not empty"),
        ({"https_port": 0}, "https_port is 0; it must be a port, 1 to 65535"),
        ({"smtp_port": "25"}, "smtp_port is '25'; it must be a port, 1 to 65535"),
        ({"smtp_port": True}, "smtp_port is True; it must be a port, 1 to 65535"),
        ({"grace_s": 0}, "grace_s is 0; it must be a number of seconds above 0"),
        ({"grace_s": "1m"}, "grace_s is '1m'; it must be a number of seconds above 0"),
        ({"topics": "x"}, "topics is 'x'; it must be a list of ARNs"),
        ({"topics": ["x"]}, "topics has 'x'; an ARN is arn:aws:sns:<region>:<account>:<name>"),
        ({"topics": ["arn:aws:sns:::x"]}, "topics has 'arn:aws:sns:::x'; an ARN is"),
        ({"dns_names": []}, "dns_names is []; it must be names with their addresses"),
        ({"dns_names": {"a": "b"}}, "dns_names.a is 'b'; it must be an IPv4 address"),
        ({"dns_names": {"a": 1}}, "dns_names.a is 1; it must be a text that is not empty"),
    ],
)
def test_a_mistake_in_the_settings_is_one_clear_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    wrong = {key: value for key, value in {**content(tmp_path), **changes}.items() if value is not None}
    with pytest.raises(SettingsError) as raised:
        parse(wrong)
    assert str(raised.value).startswith(message)


def test_settings_that_cannot_be_used_end_it_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.json'}: cannot be read: No such file or directory\n"
    (tmp_path / "config.json").write_text(json.dumps(content(tmp_path)))
    assert main(["--config", str(tmp_path / "config.json")]) == 2
    assert capsys.readouterr().err.startswith(f"error: secrets of the receivers: {tmp_path / 'secrets.json'} cannot")


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secrets.json"
    new_secrets = keys.load_or_make_secrets(file)
    assert keys.load_or_make_secrets(file) == new_secrets == keys.load_secrets(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(new_secrets.phone_keys) == set(CONTACTS)
    assert {len(key) for key in new_secrets.phone_keys.values()} == {32}
    assert all(key.isalnum() for key in new_secrets.phone_keys.values())
    assert len(set(new_secrets.all())) == 3 * len(CONTACTS) + 7
    assert new_secrets != keys.Secrets()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"phone_keys": {}}'])
def test_secrets_that_are_not_whole_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(LabError, match=r"cannot be used .*: run `make up`, which makes them"):
        keys.load_or_make_secrets(tmp_path / "secrets.json")


def test_certificates_are_made_once_and_name_the_address(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    key_files.create(folder, "198.18.0.2")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    key_files.create(folder, "198.18.0.2")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert set(before) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    server = x509.load_pem_x509_certificate(before["tls.crt"])
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(get_value) for get_value in names.get_values_for_type(x509.IPAddress)] == ["198.18.0.2", "127.0.0.1"]
    authority = x509.load_pem_x509_certificate(before["ca.crt"])
    server.verify_directly_issued_by(authority)
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is True
