"""``ops notify``: by every channel, to doubles that speak the real protocols over verified TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.rules import Severity
from lab.receivers.mail import MailDouble
from lab.receivers.record import Record
from lab.receivers.web import application
from ops import cli
from ops.errors import OpsError
from ops.notify import Notice, load, send_all
from services.common.web import HttpsServer
from tests.config.pki import write_certificates
from tests.config.servers import free_port

LOGIN = ("alerts", "password-of-mail")
TOPIC = "arn:aws:sns:ap-northeast-1:000000000000:operators"
NOTICE = Notice(text="The platform is down", severity=Severity.CRITICAL, sender="night shift")


class Doubles:
    """The doubles, and a folder with a file of channels for them."""

    def __init__(self, folder: Path) -> None:
        write_certificates(folder)
        self.folder, self.record = folder, Record()
        certificate = (folder / "tls.crt", folder / "tls.key")
        mail_port = free_port()
        self.server = HttpsServer("127.0.0.1", 0, *certificate, application(self.record))
        self.mail = MailDouble(self.record, host="127.0.0.1", port=mail_port, certificate=certificate, login=LOGIN)
        base = f"https://localhost:{self.server.server_port}"
        for name, content in (
            ("phone", "k" * 32),
            ("slack", f"{base}/services/T/B/secret-token"),
            ("mail", LOGIN[1]),
            ("aws", "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"),
        ):
            (folder / name).write_text(content)
        self.content: dict[str, Any] = {
            "phone": {"url": f"{base}/v2/enqueue", "routing_key_file": "phone", "ca_file": "ca.crt"},
            "slack": {"url_file": "slack", "channel": "#alerts", "ca_file": "ca.crt"},
            "sms": {
                "region": "ap-northeast-1",
                "topic": TOPIC,
                "credentials_file": "aws",
                "endpoint": base,
                "ca_file": "ca.crt",
            },
            "mail": {
                "server": f"localhost:{mail_port}",
                "sender": "alerts@example.org",
                "recipients": ["a@example.org", "b@example.org"],
                "user": LOGIN[0],
                "password_file": "mail",
                "ca_file": "ca.crt",
            },
        }

    def file(self, **changes: Any) -> Path:
        path = self.folder / "channels.yaml"
        path.write_text(yaml.safe_dump({**self.content, **changes}))
        return path


@pytest.fixture
def doubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doubles]:
    for name in [each for each in os.environ if each.startswith("AWS_") or each.endswith("_proxy")]:
        monkeypatch.delenv(name)
    made = Doubles(tmp_path)
    made.server.start()
    made.mail.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.mail.stop()


def test_a_notice_goes_out_by_every_channel(doubles: Doubles) -> None:
    outcomes = send_all(load(doubles.file()), doubles.folder, NOTICE)
    assert [(each.channel, each.sent) for each in outcomes] == [
        ("phone", True),
        ("sms", True),
        ("slack", True),
        ("mail", True),
    ], outcomes
    found = [(notice.channel, notice.audience) for notice in doubles.record.since()]
    assert found == [
        ("phone", "k" * 32),
        ("sms", TOPIC),
        ("slack", "#alerts"),
        ("mail", "a@example.org"),
        ("mail", "b@example.org"),
    ]
    assert all("[CRITICAL] The platform is down" in notice.title for notice in doubles.record.since())


def test_a_channel_that_fails_does_not_stop_the_others_and_shows_no_secret(
    doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    (doubles.folder / "phone").write_text("too-short")
    (doubles.folder / "slack").write_text("https://localhost:1/services/T/B/secret-token")
    (doubles.folder / "mail").write_text("wrong")
    path = doubles.file()
    done = CliRunner().invoke(cli.app, ["notify", "The platform is down", "--channels", str(path)])
    assert done.exit_code == 1
    assert [notice.channel for notice in doubles.record.since()] == ["sms"]
    assert "'routing_key' must have 32 characters" in " ".join(done.stdout.split())
    assert "secret-token" not in done.stdout


def test_a_server_that_shows_another_authority_gets_nothing(doubles: Doubles, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    (doubles.folder / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
    outcomes = send_all(load(doubles.file()), doubles.folder, NOTICE)
    assert [each.sent for each in outcomes] == [False] * 4
    assert doubles.record.since() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fax": {}}, "fax: Extra inputs are not permitted"),
        ({"phone": {"url": "https://x"}}, "phone.routing_key_file: Field required"),
        ({"mail": {"server": "x", "sender": "a", "recipients": []}}, 'server must be "host:port"'),
        (
            {"mail": {"server": "x:1", "sender": "a", "recipients": [], "user": "u"}},
            "user and password_file belong together",
        ),
        (dict.fromkeys(("phone", "slack", "sms", "mail")), "has no channel"),
    ],
)
def test_a_mistake_in_the_file_is_one_clear_line(doubles: Doubles, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OpsError) as raised:
        load(doubles.file(**changes))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="cannot be read"):
        load(tmp_path / "none.yaml")
