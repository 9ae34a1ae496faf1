"""``ops kafka admin-password`` on real brokers behind a dedicated controller, as the component renders their files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from components.kafka import config
from ops.core import platform as platform_module
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.core.platform import Login, Platform
from ops.kafka import command
from ops.kafka.command import kafka_app
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode

pytestmark = pytest.mark.drill

SECOND, THIRD = "secondpassword2", "thirdpassword3"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealNode]]:
    """Two brokers, and the controller that they hand changes to."""
    first, second, voter = kafka_nodes.loopback(3)
    cluster = kafka_nodes.small_cluster((first, second), (voter,))
    with kafka_nodes.formatted(cluster, tmp_path_factory.mktemp("kafka")) as nodes:
        for node in nodes:
            node.serve()
        for node in nodes:
            node.wait_for_port(config.CLIENT_PORT if node.node.broker else config.CONTROLLER_PORT)
        yield nodes


@pytest.fixture
def calls(nodes: list[RealNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ``kubectl`` was called with; it reaches the first broker."""
    calls = kafka_nodes.write_kubectl(nodes[0], tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return calls


def outputs(nodes: list[RealNode], password: str) -> Platform:
    """Outputs of a stack with a password of the administrator."""
    given: Any = kafka_nodes.platform([node for node in nodes if node.node.broker])
    login = Login.model_validate({"username": config.ADMIN, "password": password})
    changed: Any = dataclasses.replace(given, kafka_admin=login)
    return changed  # type: ignore[no-any-return]


def call(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Call the command in a stack with these outputs, where `kafka-0` is ready."""
    kube = SimpleNamespace(
        namespace="obs", context=None, ready_pod=lambda _: SimpleNamespace(name="kafka-0"), close=lambda: None
    )
    monkeypatch.setattr(platform_module, "load", lambda **_: platform)
    monkeypatch.setattr(Kube, "of", lambda _: kube)
    return CliRunner().invoke(kafka_app, ["admin-password", "--yes"], catch_exceptions=False)


def refused(platform: Platform) -> int:
    """Number of brokers that refuse the administrator of the outputs."""
    return len(command.refusing(command.administrator_answers(platform)))


def test_kafka_takes_the_new_password_and_refuses_the_old_one_and_open_connections_go_on(
    nodes: list[RealNode], calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = outputs(nodes, kafka_nodes.ADMIN_PASSWORD), outputs(nodes, SECOND)
    eventually(lambda: refused(old) == 0, 60, "brokers take the password that they were formatted with")
    assert refused(new) == 2
    before = KafkaAdmin(old)
    assert len(before.brokers()) == 2

    result = call(new, monkeypatch)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Kafka takes the password of the outputs, and the one of before no more")
    assert refused(new) == 0
    assert refused(old) == 2
    assert len(before.brokers()) == 2, "a connection that was open goes on"
    before.close()

    [line] = [line for line in calls.read_text().splitlines() if " exec " in f" {line}"]
    assert line.startswith("-n obs exec -i kafka-0 -c kafka -- bash -c")
    for password in (SECOND, kafka_nodes.ADMIN_PASSWORD):
        assert password not in calls.read_text() + result.output

    calls.unlink()
    again = call(new, monkeypatch)
    assert (again.exit_code, again.stdout) == (0, "Kafka takes the password of the outputs already: nothing to do\n")
    assert not calls.exists()


def test_a_broker_that_is_away_is_named_and_reads_the_password_when_it_is_back(
    nodes: list[RealNode], calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, new = nodes[1], outputs(nodes, THIRD)
    away.stop()
    result = call(new, monkeypatch)
    assert result.exit_code == 0, result.output
    address = f"{away.node.host}:{config.EXTERNAL_PORT}"
    assert f"no answer, so not tried: {address}" in result.stderr
    assert command.silent(command.administrator_answers(new)) == [address]
    away.serve()
    away.wait_for_port(config.EXTERNAL_PORT)
    eventually(lambda: all(not answer.problem for answer in command.administrator_answers(new)), 60, "it takes it, too")
