"""``ops notify``: by every channel, to fakes that speak the real protocols over verified TLS."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.rules import Severity
from lab.fakes.receivers.__main__ import TOPICS
from ops import __main__ as cli
from ops.alerts import notify
from ops.alerts.notify import Notification, load, send_all
from ops.core.errors import OpsError
from tests.config.pki import write_certificates
from tests.unit.ops.notify_fakes import AWS, NOTIFICATION, SECRETS, SLACK_TOKEN, Fakes


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    for name in [
        variable for variable in os.environ if variable.startswith("AWS_") or variable.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "250")
    receivers = Fakes(tmp_path)
    receivers.server.start()
    receivers.mail.start()
    yield receivers
    receivers.server.stop()
    receivers.mail.stop()


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, ["notify", *words])
    if isinstance(done.exception, OpsError):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def test_a_notification_goes_to_the_first_contact_by_every_channel(fakes: Fakes) -> None:
    outcomes = fakes.send()
    assert [(key, outcome.sent) for key, outcome in outcomes.items()] == [
        (("operators", channel), True) for channel in ("phone", "sms", "slack", "mail")
    ], outcomes
    assert fakes.reached() == {
        ("phone", "operators"),
        ("sms", TOPICS[0]),
        ("slack", "operators"),
        ("mail", "a@example.org"),
        ("mail", "b@example.org"),
    }


def test_people_see_the_priority_the_text_and_that_a_person_wrote_it(fakes: Fakes) -> None:
    fakes.send()
    for notification in fakes.record.since():
        told = (
            f"{notification.title} {notification.body}".replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        )
        assert "[CRITICAL] The platform is down: <2 of 3> brokers & no alerts" in told, notification.channel
        assert "Sent manually by night shift" in told, notification.channel
    event = fakes.record.last("phone")
    assert event is not None
    assert event.body["payload"]["severity"] == "critical"


def test_a_long_text_in_japanese_fits_every_channel_and_is_whole_where_there_is_room(fakes: Fakes) -> None:
    text = "監視基盤が停止しています。" * 69
    notification = Notification(text=text, severity=Severity.HIGH, sender="夜勤")
    outcomes = send_all(load(fakes.file()), fakes.folder, notification)
    assert all(outcome.sent for outcome in outcomes), outcomes
    bodies = {notification.channel: notification.body for notification in fakes.record.since()}
    message = bodies["sms"]["message"]
    assert 1_400 < len(message.encode()) <= 1_600
    assert message.startswith("[HIGH] 監視基盤")
    assert "...\nSent manually by 夜勤" in message
    assert len(bodies["phone"]["payload"]["summary"]) <= 1_024
    assert bodies["phone"]["payload"]["severity"] == "error"
    assert text in bodies["mail"]["text"].replace("\n", "")
    assert text in bodies["slack"]["text"]


def test_only_the_named_contacts_are_told(fakes: Fakes) -> None:
    outcomes = fakes.send("senior-manager")
    assert {key: outcome.sent for key, outcome in outcomes.items()} == {
        ("senior-manager", "phone"): True,
        ("senior-manager", "mail"): True,
    }
    assert fakes.reached() == {("phone", "senior-manager"), ("mail", "senior@example.org")}


def test_all_contacts_can_be_told_at_once_from_the_command_line(fakes: Fakes) -> None:
    code, shown = run("The platform is down", "--to", "all", "--by", "me", "--channels", str(fakes.file()))
    assert (code, shown.count("sent")) == (0, 6), shown
    assert len(fakes.reached()) == 7


def test_a_channel_that_fails_does_not_stop_the_others_and_shows_no_secret(fakes: Fakes) -> None:
    fakes.secret("phone-operators", "too-short")
    fakes.secret("slack", f"https://localhost:1/services/{SLACK_TOKEN}")
    fakes.secret("mail", "wrong-password")
    code, shown = run("The platform is down", "--by", "me", "--channels", str(fakes.file()))
    assert code == 1
    assert fakes.reached() == {("sms", TOPICS[0])}
    assert "Length of 'routing_key' is incorrect" in shown
    assert "Connection refused" in shown
    assert "535" in shown
    assert [secret for secret in (*SECRETS, "too-short", "wrong-password") if secret in shown] == []


def test_a_service_that_repeats_a_secret_in_its_refusal_does_not_bring_it_to_the_screen(fakes: Fakes) -> None:
    fakes.secret("aws", f"[default]\naws_access_key_id = {AWS[0]}\naws_secret_access_key = another-secret\n")
    url = f"https://localhost:{fakes.server.server_port}/{'k' * 32}"
    outcomes = fakes.send(phone={"url": url, "ca_file": "ca.crt"})
    failed = {key[1]: outcome.detail for key, outcome in outcomes.items() if not outcome.sent}
    assert set(failed) == {"phone", "sms"}
    assert "SignatureDoesNotMatch" in failed["sms"]
    assert "another-secret" not in failed["sms"]
    assert "k" * 32 not in failed["phone"]


def test_a_server_that_shows_another_authority_gets_nothing(fakes: Fakes, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    (fakes.folder / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
    outcomes = fakes.send()
    assert [outcome.sent for outcome in outcomes.values()] == [False] * 4
    assert all("certificate verify failed" in outcome.detail.lower() for outcome in outcomes.values()), outcomes
    assert fakes.record.since() == []


def test_public_authorities_are_trusted_where_no_file_is_named(fakes: Fakes) -> None:
    bare = {name: {k: v for k, v in channel.items() if k != "ca_file"} for name, channel in fakes.channels.items()}
    outcomes = fakes.send(**bare)
    assert not any(outcome.sent for outcome in outcomes.values())
    assert fakes.record.since() == []


def test_a_mail_server_without_starttls_gets_neither_password_nor_mail(fakes: Fakes) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def plain() -> None:
            line, _ = server.accept()
            with line:
                line.sendall(b"220 plain\r\n")
                heard.append(line.recv(1000))
                line.sendall(b"250 plain\r\n")
                heard.append(line.recv(1000))
                line.sendall(b"221 bye\r\n")

        thread = threading.Thread(target=plain, daemon=True)
        thread.start()
        settings = {**fakes.channels["mail"], "server": f"127.0.0.1:{server.getsockname()[1]}"}
        outcomes = fakes.send("senior-manager", mail=settings)
        thread.join(60)
    assert not outcomes["senior-manager", "mail"].sent
    assert "STARTTLS" in outcomes["senior-manager", "mail"].detail
    assert b"AUTH" not in b"".join(heard)


def test_a_server_that_never_answers_costs_a_bounded_time(fakes: Fakes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = {**fakes.channels["mail"], "server": f"127.0.0.1:{mute.getsockname()[1]}"}
        begun = time.monotonic()
        outcomes = send_all(load(fakes.file(mail=settings)), fakes.folder, NOTIFICATION, (), 3.0)
    assert time.monotonic() - begun < 60
    assert [outcome.channel for outcome in outcomes if not outcome.sent] == ["mail"]
    assert outcomes[-1].detail == "no answer in 3 s: it may have arrived"


def test_a_service_that_is_busy_is_asked_again_and_rings_once(fakes: Fakes) -> None:
    answers: list[str] = []
    application_ = fakes.app

    def busy_once(environ: Any, start: Any) -> Any:
        answers.append(environ["PATH_INFO"])
        if len(answers) == 1:
            start("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return application_(environ, start)

    fakes.app = busy_once
    only = {"operators": {"phone_key_file": "phone-operators"}}
    outcomes = send_all(load(fakes.file(contacts=only)), fakes.folder, NOTIFICATION)
    assert [outcome.sent for outcome in outcomes] == [True], outcomes
    assert answers == ["/v2/enqueue"] * 2
    assert len(fakes.record.since()) == 1


@pytest.mark.parametrize("name", ["phone-operators", "slack", "mail", "aws"])
def test_a_secret_that_others_may_read_is_not_used(fakes: Fakes, name: str) -> None:
    (fakes.folder / name).chmod(0o640)
    outcomes = fakes.send()
    failed = [outcome.detail for outcome in outcomes.values() if not outcome.sent]
    path = fakes.folder / name
    assert failed == [f"{path} is a secret that others can read (mode 0640): chmod 600 {path}"]
    assert len(outcomes) == 4


def test_a_look_at_the_files_sends_nothing_and_finds_what_is_missing(fakes: Fakes) -> None:
    path = fakes.file()
    code, shown = run("--check", "--channels", str(path))
    assert (code, shown.count("ready")) == (0, 6), shown
    (fakes.folder / "phone-senior").unlink()
    fakes.secret("aws", "[other]\n")
    fakes.secret("slack", "hooks.example.org")
    code, shown = run("--check", "--channels", str(path))
    assert (code, shown.count("FAILED")) == (1, 3), shown
    assert "phone-senior cannot be read: No such file or directory" in shown
    assert "not an AWS credentials file with a section [default]" in shown
    assert "slack contains no https:// URL" in shown
    assert fakes.record.since() == []


MAIL = {"server": "x:587", "sender": "a@b"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fax": {}}, "channels.fax: Extra inputs are not permitted"),
        ({"slack": {"url_file": "x"}}, "channels.slack.url_file: Extra inputs are not permitted"),
        ({"phone": {"url": "http://x"}}, "channels.phone.url: must be an https:// URL"),
        ({"mail": {**MAIL, "server": "x"}}, 'channels.mail.server: server must be "host:port"'),
        ({"mail": {**MAIL, "server": "x:465"}}, "port 465 speaks TLS from the first byte"),
        ({"mail": {**MAIL, "user": "u"}}, "user and password_file belong together"),
        ({"sms": None}, "contact operators uses sms, but channels has no sms"),
        ({"contacts": {"nobody": {}}}, "contact nobody has no channel"),
    ],
)
def test_a_mistake_in_the_file_is_one_clear_line(fakes: Fakes, changes: dict[str, Any], message: str) -> None:
    path = fakes.file(**changes)
    with pytest.raises(OpsError) as raised:
        load(path)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_not_yaml_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"none.yaml cannot be read: .* `ops notify --write FOLDER`"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(OpsError, match="is not YAML"):
        load(tmp_path / "bad.yaml")


def test_a_file_that_others_may_change_is_refused(fakes: Fakes) -> None:
    path = fakes.file()
    path.chmod(0o622)
    with pytest.raises(OpsError, match=r"is writable by others \(mode 0622\): chmod 600"):
        load(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["text", "--to", "nobody"], "--to is 'nobody', must be one of operators, senior-manager, all"),
        ([" "], "no text given"),
        ([], "no text given"),
        (["x" * 901], "has 901 characters, at most 900 are allowed"),
        (["text", "--write", "somewhere"], "--write sends nothing: omit the text"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_line(fakes: Fakes, words: list[str], message: str) -> None:
    with pytest.raises(OpsError, match=message):
        run(*words, "--by", "me", "--channels", str(fakes.file()))
    assert fakes.record.since() == []


def test_every_channel_of_the_file_has_a_sender(fakes: Fakes) -> None:
    channels = load(fakes.file()).channels
    assert set(type(channels).model_fields) == set(notify.SENDERS)
