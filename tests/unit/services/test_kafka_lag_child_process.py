"""The process that asks the brokers may crash or hang: that is a missed poll, and never the end of the exporter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest

from services.kafka_lag.child_process import STAGE, ChildProcess, answer, command
from services.kafka_lag.exporter import PollLoop
from services.kafka_lag.metrics import LagMetrics
from services.kafka_lag.model import PollResult, Snapshot

_CHILD = """
import os, sys, time
from multiprocessing.connection import Connection
from pathlib import Path
from services.kafka_lag.child_process import answer
from services.kafka_lag.model import PollResult, Snapshot

count = Path(sys.argv[1])

def poll():
    number = int(count.read_text()) if count.exists() else 0
    count.write_text(str(number + 1))
    if number == 1:
        {fault}
    return PollResult(snapshot=Snapshot(members={{"reader": os.getpid()}}))

answer(Connection(int(sys.argv[2])), poll)
"""


def child(folder: Path, fault: str) -> tuple[str, ...]:
    """A child whose second poll ends with a fault."""
    return (sys.executable, "-c", _CHILD.format(fault=fault), str(folder / "count"))


@pytest.fixture
def process(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ChildProcess]:
    poller = ChildProcess(child(tmp_path, getattr(request, "param", "pass")), limit_s=5)
    yield poller
    poller.kill()
    poller.close()


def pid(poll: PollResult) -> int:
    assert poll.snapshot is not None, poll.failures
    return poll.snapshot.members["reader"]


def test_one_child_answers_every_poll(process: ChildProcess) -> None:
    assert pid(process.poll()) == pid(process.poll()) != os.getpid()


@pytest.mark.parametrize(
    ("process", "how"),
    [
        ("os.abort()", "was ended by SIGABRT"),
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("os._exit(3)", "ended with 3"),
    ],
    indirect=["process"],
)
def test_a_child_that_crashes_is_one_failed_poll(process: ChildProcess, how: str) -> None:
    first = pid(process.poll())
    crashed = process.poll()
    assert crashed.snapshot is None
    assert crashed.failures == ((STAGE, f"the process that asks the brokers {how}; the next poll has a new one"),)
    assert pid(process.poll()) != first


@pytest.mark.parametrize("process", ["time.sleep(60)"], indirect=True)
def test_a_child_that_hangs_is_ended(process: ChildProcess) -> None:
    first = pid(process.poll())
    process._limit_s = 0.5
    ((stage, reason),) = process.poll().failures
    assert (stage, reason.partition(";")[0]) == (STAGE, "the process that asks the brokers did not answer within 0.5 s")
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    process._limit_s = 5
    assert pid(process.poll()) != first


def test_a_child_that_ended_between_two_polls_is_replaced(process: ChildProcess) -> None:
    first = pid(process.poll())
    os.kill(first, signal.SIGKILL)
    polls = [process.poll() for _ in range(2)]
    assert polls[0].failures
    assert pid(polls[1]) != first


def test_a_child_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    ((stage, reason),) = ChildProcess([str(tmp_path / "none")]).poll().failures
    assert stage == STAGE
    assert "could not be started" in reason
    assert "No such file" in reason


@pytest.mark.parametrize("process", ["os.abort()"], indirect=True)
def test_a_crash_leaves_the_last_snapshot_in_place_and_is_counted(
    process: ChildProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = LagMetrics(5)
    loop = PollLoop(5, metrics, process.poll)
    for _ in range(3):
        loop.once()
        assert metrics.registry.get_sample_value("kafka_consumergroup_members", {"consumergroup": "reader"})
    assert metrics.registry.get_sample_value("kafka_lag_collection_errors_total", {"stage": STAGE}) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "SIGABRT" in told[0]
    assert told[1] == "kafka-lag: the brokers answer again"


def test_a_child_ends_when_nobody_is_there_to_ask() -> None:
    ours, theirs = Pipe()
    answering = threading.Thread(target=answer, args=(theirs, lambda: PollResult(snapshot=Snapshot())))
    answering.start()
    ours.send(None)
    assert ours.recv() == PollResult(snapshot=Snapshot())
    ours.close()
    answering.join(5)
    assert not answering.is_alive()


def test_the_exporter_itself_does_not_load_the_kafka_client() -> None:
    """What may abort a process must not be in it."""
    program = "import sys, services.kafka_lag.exporter; sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_the_child_is_started_with_the_same_settings_file() -> None:
    assert command(Path("/etc/kafka-lag/config.yaml"))[1:] == (
        "-m",
        "services.kafka_lag.child",
        "--config",
        "/etc/kafka-lag/config.yaml",
        "--pipe",
    )
