"""``ops kafka admin-password`` where Kafka does not go along; tests/config/test_kafka_admin_password.py has brokers."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from components.kafka.config import CONFIG_DIRECTORY
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import Login, Platform
from ops.kafka import command
from ops.kafka.command import Answer, change, kafka_app
from tests.support.ports import free_port

PASSWORD = "secondpassword2"
REFUSED = Answer(address="kafka-0:9094", problem="Authentication failed", refused=True)
SIGNED_IN = Answer(address="kafka-1:9094")
SILENT = Answer(address="kafka-2:9094", problem="timed out")


def outputs(password: str = PASSWORD, bootstrap: str = "kafka-0:9094") -> Platform:
    login = Login.model_validate({"username": "admin", "password": password})
    given: Any = SimpleNamespace(kafka_bootstrap=bootstrap, kafka_admin=login, ca_certificate="")
    return given  # type: ignore[no-any-return]


def answering(monkeypatch: pytest.MonkeyPatch, *told: Answer) -> None:
    monkeypatch.setattr(command, "administrator_answers", lambda _: told)


def test_only_who_answers_and_does_not_sign_in_refuses() -> None:
    told = (REFUSED, SIGNED_IN, SILENT)
    assert command.refusing(told) == ["kafka-0:9094"]
    assert command.silent(told) == ["kafka-2:9094"]


def test_where_nobody_answers_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_ASK_S", 0.0)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(OpsError, match=f"no broker answers, nothing was changed; {address}: "):
        command.administrator_answers(outputs(bootstrap=address))


@pytest.mark.parametrize("password", ["", "with space", "line\nbreak", "back\\slash", "pässword"])
def test_a_password_that_a_file_of_kafka_would_change_is_refused_first(password: str) -> None:
    def run(_: Sequence[str], __: str) -> None:
        pytest.fail("the broker was told")

    with pytest.raises(OpsError, match="has more than letters and digits"):
        change(outputs(password), run)


def test_an_error_of_the_broker_is_told_without_the_password() -> None:
    def run(_: Sequence[str], given: str) -> None:
        raise OpsError(f"bash in kafka-0 failed: strange {given.strip()}")

    with pytest.raises(OpsError) as said:
        change(outputs(), run)
    assert str(said.value) == (
        "Kafka has not confirmed the password, call again, which looks first: bash in kafka-0 failed: strange ..."
    )


def test_brokers_that_go_on_refusing_are_an_error_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, SIGNED_IN, REFUSED)
    with pytest.raises(OpsError, match="in vain for brokers that take the new password"):
        change(outputs(), lambda *_: None, limit_s=0.1)


def test_a_broker_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, SIGNED_IN, SILENT)
    assert change(outputs(), lambda *_: None) == (SIGNED_IN, SILENT)


def test_nothing_is_changed_unless_somebody_says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, REFUSED)
    kube = SimpleNamespace(close=lambda: None, ready_pod=lambda _: pytest.fail("a broker was looked for"))
    monkeypatch.setattr(platform_module, "load", lambda **_: outputs())
    monkeypatch.setattr(Kube, "of", lambda _: kube)
    result = CliRunner().invoke(kafka_app, ["admin-password"])
    assert isinstance(result.exception, OpsError)
    assert str(result.exception) == "nobody can be asked here: give --yes"


def run_script(folder: Path, java: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the pod with another program in place of Java."""
    program = folder / "java"
    program.write_text(f"#!/bin/bash\n{java}\n")
    program.chmod(0o755)
    commands: list[Sequence[str]] = []
    change_with = outputs()
    with pytest.MonkeyPatch.context() as patch:
        answering(patch, SIGNED_IN)
        change(change_with, lambda command, _: commands.append(command))
    (folder / "probe-client.properties").write_text("security.protocol=SSL\n")
    return subprocess.run(
        [word.replace(CONFIG_DIRECTORY, str(folder)) for word in commands[0]],
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
    )


def test_the_tool_reads_the_password_from_a_pipe_and_is_not_given_it_as_a_word(tmp_path: Path) -> None:
    done = run_script(tmp_path, f'printf "%s\\n" "$*" > {tmp_path}/words; cat "${{!#}}" > {tmp_path}/file')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "file").read_text() == f"SCRAM-SHA-512=password={PASSWORD}\n"
    words = (tmp_path / "words").read_text()
    assert "--entity-type users --entity-name admin" in words
    assert PASSWORD not in words


def test_of_an_error_of_the_tool_its_last_line_says_why(tmp_path: Path) -> None:
    done = run_script(
        tmp_path, 'printf "Error\\njava.lang.Exception: no answer\\n\\tat a.b(c)\\n\\tat d.e(f)\\n" >&2; exit 1'
    )
    assert done.returncode == 1
    assert done.stderr == "Error\njava.lang.Exception: no answer\n"
