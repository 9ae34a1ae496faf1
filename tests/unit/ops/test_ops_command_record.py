"""What ``ops`` tells the audit log of itself: no secrets, no people, and never in the way of the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from ops import __main__ as cli
from ops.core import command_record
from ops.core.command_record import CommandRecord, words
from ops.core.errors import OpsError
from services.audit import records
from services.audit.records import Outcome


class Kubectl:
    """Takes what is told; ``broken``: it does not answer."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.calls: list[tuple[list[str], dict[str, Any]]] = []

    def __call__(self, arguments: Sequence[str], content: str) -> str:
        if self.broken:
            raise subprocess.CalledProcessError(1, "kubectl", stderr="error: the server is\naway")
        self.calls.append((list(arguments), json.loads(content or "{}")))
        return json.dumps({"status": {"userInfo": {"username": "alice"}}})

    @property
    def told(self) -> list[dict[str, Any]]:
        """Events."""
        return [{**content, "eventTime": content["eventTime"]} for _, content in self.calls if content]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["failover", "--to", "region-b", "--force"], ("failover", "--to ... --force")),
        (["regions", "status"], ("regions status", "")),
        (["audit", "report", "--since=30d", "--json"], ("audit report", "--since --json")),
        (["trace", "0123abcd"], ("trace", "0123abcd")),
        (["ack", "Some alert with words"], ("ack", "...")),
        (["privacy", "erase", "carol", "--id", "d-17"], ("privacy", "... ... --id ...")),
        (["logs", "password", "-n", "5"], ("logs", "... -n ...")),
        ([], ("", "")),
    ],
)
def test_words_of_a_command_that_are_told(arguments: list[str], told: tuple[str, str]) -> None:
    assert words(arguments) == told


def test_a_command_is_told_when_it_gets_the_passwords_and_when_it_ends() -> None:
    kubectl = Kubectl()
    record = CommandRecord(["failover", "--to", "region-b"], kubectl)
    record.opened("obs", "blue")
    record.opened("other", None)
    record.ended(1)
    assert [arguments[:3] for arguments, _ in kubectl.calls] == [
        ["--context=blue", "auth", "whoami"],
        ["--context=blue", "create", "--raw"],
        ["--context=blue", "create", "--raw"],
    ]
    accesses = [records.access(item) for item in kubectl.told]
    assert None not in accesses
    first, last = (told for told in accesses if told is not None)
    assert (first.who, first.action, first.outcome) == ("alice", "ops failover", Outcome.ALLOWED)
    assert (last.outcome, last.detail["code"], last.detail["state"]) == (Outcome.FAILED, "1", "failed")
    assert first.detail["run"] == last.detail["run"] == record.run
    assert "region-b" not in json.dumps(kubectl.told)


def test_a_command_without_passwords_tells_nothing() -> None:
    kubectl = Kubectl()
    CommandRecord(["docs"], kubectl).ended(0)
    assert kubectl.calls == []


def test_a_command_goes_on_where_it_cannot_tell_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    record = CommandRecord(["failover"], Kubectl(broken=True))
    record.opened("obs", None)
    record.ended(0)
    assert capsys.readouterr().err.splitlines() == [
        "the audit log is not told of this command (started): error: the server is away",
        "the audit log is not told of this command (done): error: the server is away",
    ]


@pytest.mark.parametrize(
    ("ending", "code"), [(SystemExit(0), 0), (SystemExit(3), 3), (OpsError("no"), 2), (KeyError("x"), 1)]
)
def test_each_end_of_the_command_line_is_told(monkeypatch: pytest.MonkeyPatch, ending: Exception, code: int) -> None:
    kubectl = Kubectl()

    def app() -> None:
        command_record.opened("obs", None)
        raise ending

    def begin(arguments: Sequence[str]) -> None:
        command_record._current[:] = [CommandRecord(arguments, kubectl)]

    monkeypatch.setattr(sys, "argv", ["obs", "verify"])
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(command_record, "begin", begin)
    try:
        with pytest.raises((SystemExit, KeyError)):
            cli.main()
    finally:
        command_record._current.clear()
    codes = [json.loads(item["message"]).get("code") for item in kubectl.told]
    assert codes == [None, code]


def test_an_event_of_somebody_else_or_of_another_form_is_no_access() -> None:
    told = {"reason": records.REASON, "eventTime": datetime.now(UTC).isoformat(), "message": "hello"}
    assert records.access(told) is None
    assert records.access({**told, "reason": "Scheduled"}) is None
    assert records.access({"reason": records.REASON}) is None
