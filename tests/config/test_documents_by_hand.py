"""The checks by hand that people read of at night, run against real servers."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.alertmanager.config import CLIENT_CONFIG, WEB_PORT
from components.kafka import config as kafka_config
from lab.toolchain import tools
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode
from tests.unit.ops import alert_platform

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A broker from the files that the component renders."""
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(1))
    with kafka_nodes.formatted(cluster, tmp_path_factory.mktemp("kafka")) as [real_node]:
        real_node.serve()
        real_node.wait_for_port(kafka_config.CLIENT_PORT)
        yield real_node


def function(name: str) -> tuple[list[str], list[list[str]]]:
    """A shell function of the emergency page: its words after ``--``, and the words of each of its calls."""
    text = (OPERATIONS / "emergency.md").read_text().replace("\\\n", " ")
    [body] = re.findall(rf"^{name}\(\) {{ kubectl .*? -- (.*?); }}$", text, re.MULTILINE)
    calls = re.findall(rf"^{name} (.*?)(?: +#.*)?$", text, re.MULTILINE)
    return shlex.split(body), [shlex.split(call) for call in calls]


def filled(body: list[str], call: list[str]) -> list[str]:
    return [word for argument in body for word in (call if argument == "$@" else [argument])]


def test_the_questions_to_kafka_on_the_page_are_answered_by_a_real_broker(node: RealNode) -> None:
    body, calls = function("kafka")
    assert len(calls) == 3
    for call in calls:
        done = node.run(filled(body, call))
        assert done.returncode == 0, f"{call}: {done.stdout}{done.stderr}"
        assert "Exception" not in done.stdout + done.stderr


def test_the_questions_to_alertmanager_on_the_page_are_answered_by_a_real_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    body, calls = function("am")
    assert len(calls) == 3
    with alert_platform.running(tmp_path_factory.mktemp("pair")) as both:
        both.raise_alert("SeenByHand")
        here = {
            "/bin/amtool": str(tools.path("amtool")),
            f"--alertmanager.url=https://localhost:{WEB_PORT}": f"--alertmanager.url=https://localhost:{both.members[0].web}",
            f"--http.config.file={CLIENT_CONFIG}": f"--http.config.file={both.folder / 'client.yml'}",
        }
        assert set(here) <= set(body)
        said = []
        for call in calls:
            command_line = [here.get(word, word) for word in filled(body, call)]
            done = subprocess.run(command_line, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, f"{call}: {done.stdout}{done.stderr}"
            said.append(done.stdout)
    assert "SeenByHand" in "".join(said)
