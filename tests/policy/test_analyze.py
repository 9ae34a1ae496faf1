"""The check of an exported state."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy import analyze
from policy.analyze import PolicyInputError, load_config, main, opened, resources
from policy.model import UNKNOWN, Finding, Level, Option, Options, Resource, Rule
from policy.runner import Runner, Verdict
from tests.support.engine import CHECKOUT, recorded

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
NOT_YET = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def _entry(token: str, name: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:prod::observability::obs:platform:Platform${token}::{name}"
    return {"urn": urn, "custom": True, "type": token, "inputs": inputs, **more}


def _state(*entries: dict[str, Any], version: object = 3) -> dict[str, Any]:
    return {"version": version, "deployment": {"manifest": {}, "resources": list(entries)}}


def _file(folder: Path, content: object) -> Path:
    file = folder / "state.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def _topic_check(resource: Resource, options: Options) -> Iterator[Finding]:
    copies = resource.node["replicationFactor"].value
    if copies < options["copies"]:
        yield Finding(resource=resource, where="replicationFactor", problem=f"{copies} copies", fix="set it to 3")


def _login_check(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.node["password"].exists:
        yield Finding(resource=resource, where="password", problem="no password", fix="set one")


COPIES = Rule(
    id="topic-copies",
    promise="Every record has three copies.",
    why="A lost disk loses records.",
    sources=("K1",),
    options={"copies": Option(default=3, schema={"type": "integer"}, meaning="copies")},
    kinds=frozenset({"Topic"}),
    resource=_topic_check,
)
LOGIN = Rule(
    id="user-password",
    promise="Every user has a password.",
    why="Anybody logs in.",
    sources=("K5",),
    kinds=frozenset({"UserScramCredential"}),
    resource=_login_check,
)
TOPIC = "kafka:index/topic:Topic"
USER = "kafka:index/userScramCredential:UserScramCredential"


@pytest.fixture
def two_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack of two rules, without exceptions."""

    def check(stack_resources: list[Resource], config: dict[str, Any]) -> list[Verdict]:
        return Runner(config, rules=(COPIES, LOGIN), agreed=()).all(stack_resources)

    monkeypatch.setattr(analyze, "RULES", (COPIES, LOGIN))
    monkeypatch.setattr(analyze, "check", check)


@pytest.mark.usefixtures("two_rules")
def test_a_state_that_keeps_every_rule_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, _state(_entry(TOPIC, "logs", {"name": "logs", "replicationFactor": 3})))
    assert main([str(file)]) == 0
    assert capsys.readouterr().out == "1 resources: 0 mandatory, 0 advisory, 0 agreed, 0 not known\n"


@pytest.mark.usefixtures("two_rules")
def test_a_mandatory_violation_ends_with_1_and_its_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, _state(_entry(TOPIC, "logs", {"name": "logs", "replicationFactor": 2})))
    assert main([str(file)]) == 1
    assert capsys.readouterr().out.splitlines()[0] == (
        "mandatory: topic-copies: Topic logs, replicationFactor: 2 copies. A lost disk loses records. Fix: set it to 3."
    )


@pytest.mark.usefixtures("two_rules")
def test_an_encrypted_secret_is_reported_as_not_known_and_never_as_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _file(tmp_path, _state(_entry(USER, "gateway", {"password": {**SECRET, "ciphertext": "v1:abc"}})))
    assert main([str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "not known: UserScramCredential gateway: encrypted or not known in this file, so not checked by user-password"
    )
    assert lines[1].endswith("1 not known")
    assert "v1:abc" not in "".join(lines)


@pytest.mark.usefixtures("two_rules")
def test_a_secret_in_clear_is_looked_at_and_never_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, _state(_entry(USER, "gateway", {"password": {**SECRET, "plaintext": '"hunter2"'}})))
    assert main([str(file), "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {"resources": 1, "mandatory": 0, "verdicts": []}
    assert "hunter2" not in out
    file = _file(tmp_path, _state(_entry(USER, "gateway", {"password": {**SECRET, "plaintext": "null"}})))
    assert main([str(file)]) == 1


@pytest.mark.usefixtures("two_rules")
def test_json_has_everything_of_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = _entry(TOPIC, "logs", {"name": "logs", "replicationFactor": 1})
    assert main([str(_file(tmp_path, _state(entry))), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["mandatory"] == 1
    assert document["verdicts"] == [
        {
            "rule": "topic-copies",
            "level": "mandatory",
            "urn": entry["urn"],
            "message": "Topic logs, replicationFactor: 1 copies. A lost disk loses records. Fix: set it to 3.",
            "unknown": False,
            "agreed": None,
        }
    ]


@pytest.mark.usefixtures("two_rules")
@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"topic-copies": "advisory"}, 0),
        ({"topic-copies": "disabled"}, 0),
        ({"topic-copies": {"copies": 2}}, 0),
        ({"topic-copies": {"copies": 4}}, 1),
        ({}, 1),
    ],
)
def test_the_configuration_of_the_pack_counts(tmp_path: Path, config: dict[str, Any], code: int) -> None:
    settings = tmp_path / "config.json"
    settings.write_text(json.dumps(config))
    state = _file(tmp_path, _state(_entry(TOPIC, "logs", {"replicationFactor": 2})))
    assert main([str(state), "--config", str(settings)]) == code


@pytest.mark.usefixtures("two_rules")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"no-such": "advisory"}, "there is no rule no-such; see docs/policies.md for the rules"),
        ({"topic-copies": "loud"}, "topic-copies has level 'loud': allowed is mandatory, advisory, disabled"),
        ({"topic-copies": {"copy": 1}}, "topic-copies has no option copy: allowed is copies"),
        ({"user-password": {"x": 1}}, "user-password has no option x: allowed is none"),
        ([], "allowed is an object of rule ids; see docs/policies.md"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line(tmp_path: Path, config: object, message: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with pytest.raises(PolicyInputError) as refusal:
        load_config(file)
    assert str(refusal.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON: "),
        ("[]", "is no exported state: it has no deployment; write it with `pulumi stack export`"),
        ({"version": 3}, "is no exported state"),
        (_state(version=1), "has version 1: allowed is 3 or 4; export it with a current Pulumi"),
        (_state(), "has no resources, so nothing can be checked: export a stack that is deployed"),
        ({"version": 3, "deployment": {"resources": [{}]}}, "resource 0 has no urn; export the state anew"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_2(
    tmp_path: Path, content: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(_file(tmp_path, content))]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert message in told.err
    assert told.err.count("\n") == 1


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json does not exist: name a file that is there" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "is a folder: name a JSON file" in capsys.readouterr().err


def test_what_is_no_longer_or_not_made_here_does_not_count() -> None:
    kept = _entry(TOPIC, "kept", {})
    others = [
        _entry(TOPIC, "pending", {}, delete=True),
        _entry("kubernetes:core/v1:Secret", "read", {}, external=True),
        _entry("obs:kafka:Kafka", "component", {}, custom=False),
        _entry("pulumi:pulumi:Stack", "stack", {}),
    ]
    kept_resources = resources(_state(kept, *others), "state.json")
    assert [(resource.type, resource.name, resource.urn) for resource in kept_resources] == [
        (TOPIC, "kept", kept["urn"])
    ]


def test_values_are_opened_at_every_depth() -> None:
    value = {
        "a": [{"b": {**SECRET, "plaintext": '{"c": [1, null]}'}}],
        "d": {**SECRET, "ciphertext": "x"},
        "e": NOT_YET,
        "f": None,
        "g": {**SECRET, "plaintext": "{"},
    }
    assert opened(value) == {"a": [{"b": {"c": [1, None]}}], "d": UNKNOWN, "e": UNKNOWN, "g": UNKNOWN}


def _exported(stack: str, *, encrypted: bool) -> dict[str, Any]:
    """The recorded platform as an exported state."""
    entries = []
    for resource in recorded(stack).resources:
        inputs = dict(resource.inputs)
        for key in ("stringData", "password", "saslPassword"):
            if key in inputs:
                shown = {"ciphertext": "v1:x"} if encrypted else {"plaintext": json.dumps(inputs[key])}
                inputs[key] = {**SECRET, **shown}
        custom = not resource.token.startswith("obs:")
        entries.append(_entry(resource.token, resource.name, inputs, custom=custom, external=resource.read))
    return _state(*entries)


@pytest.mark.parametrize("stack", ["local", "prod", "dr"])
def test_the_platform_passes_in_clear(tmp_path: Path, stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, _exported(stack, encrypted=False))
    assert main([str(file)]) == 0, capsys.readouterr().out
    assert ", 0 not known" in capsys.readouterr().out.splitlines()[-1]


def test_an_encrypted_platform_is_told_as_not_known_where_rules_need_its_secrets(tmp_path: Path) -> None:
    file = _file(tmp_path, _exported("prod", encrypted=True))
    done = subprocess.run(
        [sys.executable, "-m", "policy.analyze", str(file), "--json"], cwd=CHECKOUT, capture_output=True, text=True
    )
    verdicts = json.loads(done.stdout)["verdicts"]
    unknown = [verdict for verdict in verdicts if verdict["unknown"]]
    assert unknown
    assert all(verdict["level"] == Level.ADVISORY for verdict in unknown)
    assert done.stderr == ""
