"""The readiness probe of servers that catch up, run in bash against a real port and the real /proc."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from components.k8s import pods


class Server:
    """An open port, and the probe of it with a question that counts how often it is put."""

    def __init__(self, folder: Path, answer: str) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.state, self.questions = folder / "state", folder / "questions"
        (folder / pods.SCRIPT).write_text(pods.script())
        question = ("bash", "-c", f'echo "$RUNNING_S" >> {self.questions}; {answer}')
        port = self.socket.getsockname()[1]
        command = pods.readiness_probe(port, str(folder), question, 30).command or ()
        self.command = [str(self.state) if word == pods.STATE else word for word in command]

    def ready(self) -> bool:
        """Ask once."""
        return subprocess.run(self.command, capture_output=True, timeout=60, check=False).returncode == 0

    def asked(self) -> int:
        """How often the costly question was put."""
        return len(self.questions.read_text().splitlines()) if self.questions.exists() else 0


def test_the_question_is_put_until_it_is_answered_well_once(tmp_path: Path) -> None:
    caught_up = tmp_path / "caught-up"
    server = Server(tmp_path, f"test -e {caught_up}")
    with server.socket:
        assert [server.ready(), server.ready(), server.asked()] == [False, False, 2]
        caught_up.touch()
        assert [server.ready(), server.asked()] == [True, 3]
        caught_up.unlink()
        assert [server.ready(), server.asked()] == [True, 3]


def test_what_an_earlier_start_has_left_does_not_count(tmp_path: Path) -> None:
    server = Server(tmp_path, "false")
    server.state.write_text("1234567\n")
    with server.socket:
        assert [server.ready(), server.asked()] == [False, 1]


def test_the_question_knows_for_how_long_the_server_has_been_running(tmp_path: Path) -> None:
    server = Server(tmp_path, "true")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]) / 100
    with server.socket:
        assert server.ready()
    assert abs(int(server.questions.read_text()) - (uptime - started)) < 30


def test_nothing_is_asked_while_the_port_is_closed(tmp_path: Path) -> None:
    server = Server(tmp_path, "true")
    with server.socket:
        assert server.ready()
    assert [server.ready(), server.asked()] == [False, 1]


@pytest.mark.parametrize(
    ("volume", "limit_s"),
    [("2Gi", 600), ("58Gi", 600), ("59Gi", 1200), ("2Ti", 38_400), ("3Ti", 38_400), ("90Ti", 76_800)],
)
def test_the_limit_of_a_start_follows_from_the_volume_in_doublings(volume: str, limit_s: int) -> None:
    probe = pods.startup_probe(9092, volume)
    assert (probe.tcp, probe.period_s * probe.failures) == (9092, limit_s)
