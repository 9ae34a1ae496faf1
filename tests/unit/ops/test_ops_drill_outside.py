"""What drills have done outside the platform: commands of the place, always undone, by real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab import environment
from lab.__main__ import app
from lab.paths import LabPaths
from ops.core import terminal
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.drills.procedure import PUT_BACK_S as TIME_TO_PUT_BACK_S
from ops.drills.procedure import CannotRunError
from ops.drills.tools import outside
from ops.drills.tools.outside import (
    VARIABLE,
    beside,
    client_commands,
    of_namespace,
    region_commands,
    run,
    storage_commands,
    taken_away,
    try_first,
)
from tests.config.servers import eventually

WAIT_S = 60.0


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_what_was_taken_away_is_put_back_however_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "away"
    away, back = shell(f"touch {file}; echo ' gone '; echo"), shell(f"rm -f {file}")
    told: list[str] = []
    with terminal.heard(told.append), taken_away("the storage", away, back) as said:
        assert file.exists()
    assert not file.exists()
    assert said == "gone"
    assert told == ["taking the storage away", "putting the storage back"]
    for error in (KeyboardInterrupt, OpsError):
        with pytest.raises(error), taken_away("the storage", away, back):
            raise error
        assert not file.exists()


def test_what_could_be_taken_away_only_in_part_is_put_back_too(tmp_path: Path) -> None:
    file = tmp_path / "away"
    with (
        pytest.raises(OpsError, match=r"`sh -c .*` failed: no permission"),
        taken_away("the storage", shell(f"touch {file}; echo no permission >&2; exit 3"), shell(f"rm {file}")),
    ):
        pytest.fail("the block ran although nothing was taken away as a whole")
    assert not file.exists()


def test_putting_back_is_tried_twice_and_then_left_to_somebody(tmp_path: Path) -> None:
    count = tmp_path / "count"
    second_time = shell(f"echo x >> {count}; test $(wc -l < {count}) -ge 2")
    with taken_away("the storage", ["true"], second_time):
        pass
    assert count.read_text() == "x\nx\n"
    with (
        pytest.raises(OpsError, match="the storage is still away, put it back by hand: `false` failed: exit code 1"),
        taken_away("the storage", ["true"], ["false"]),
    ):
        pass
    assert 2 * outside.PUT_BACK_S < TIME_TO_PUT_BACK_S


def test_what_cannot_be_put_back_is_never_taken_away() -> None:
    try_first("the storage", ["true"])
    with pytest.raises(CannotRunError, match="the storage could not be put back: `false` failed"):
        try_first("the storage", ["false"])


def test_a_command_is_told_by_what_it_said_and_has_a_limit() -> None:
    assert run(shell("echo first; echo last; echo"), WAIT_S) == "first; last"
    assert run(["true"], WAIT_S) == ""
    with pytest.raises(OpsError, match="`sleep 60` took over 0 s and was ended"):
        run(["sleep", "60"], 0.2)
    with pytest.raises(OpsError, match="`/nowhere/stop now` cannot be started: No such file"):
        run(["/nowhere/stop", "now"], WAIT_S)


def test_a_command_that_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    assert run(shell(f"sleep 300 & echo $! > {pid}; echo started"), WAIT_S) == "started"
    assert time.monotonic() - began < WAIT_S
    subprocess.run(["kill", pid.read_text().strip()], check=True)


INTERRUPTED = """
import sys
from ops.drills.tools.outside import taken_away

with taken_away("the storage", ["sh", "-c", f"touch {sys.argv[1]}"], ["sh", "-c", f"sleep 2; rm {sys.argv[1]}"]):
    sys.stdin.read()
"""


def test_an_interrupted_terminal_does_not_end_what_puts_things_back(tmp_path: Path) -> None:
    """Ctrl-C goes to every process of the terminal's group, and somebody impatient presses it again."""
    file = tmp_path / "away"
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(file)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as drill:
        eventually(file.exists, WAIT_S, "the command has begun")
        drill.send_signal(signal.SIGINT)
        assert drill.wait(WAIT_S) != 0
    assert not file.exists()


def test_what_runs_beside_a_drill_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "running"
    with beside(shell(f"touch {file}; cat; rm {file}")):
        eventually(file.exists, WAIT_S, "the command has begun")
    assert not file.exists()
    with beside(None):
        pass


def test_what_ends_before_the_drill_is_told_and_hides_no_other_error(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with pytest.raises(OpsError, match=r"`sh -c .*` ended before the drill, with exit code 4"), beside(shell("exit 4")):
        time.sleep(5)
    with pytest.raises(KeyError), beside(shell(f"touch {done}; exit 4")):
        raise KeyError(eventually(done.exists, WAIT_S, "the command has begun"))
    with pytest.raises(OpsError, match="`/nowhere` cannot be started"), beside(["/nowhere"]):
        pass


def test_what_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_ENDS_S", 0.5)
    began = time.monotonic()
    with beside(shell("trap '' TERM; while true; do sleep 0.1; done")):
        time.sleep(0.5)
    assert time.monotonic() - began < WAIT_S


def named(monkeypatch: pytest.MonkeyPatch, file: Path, content: Any) -> None:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.setenv(VARIABLE, str(file))


STORAGE: dict[str, Any] = {"stop": ["a", "b"], "start": ["c"]}


def test_commands_come_from_the_file_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    region = {"cut": ["./cut", "{namespace}"], "thaw": ["./thaw"], "reconnect": ["./reconnect"]}
    named(monkeypatch, tmp_path / "commands", {"storage": STORAGE, "region": region})
    assert storage_commands().stop == ("a", "b")
    assert region_commands().beside is None
    assert of_namespace(region_commands().cut, "obs-a") == ["./cut", "obs-a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON: "),
        ({"storage": {**STORAGE, "begin": ["c"]}}, "storage.begin: Extra inputs are not permitted"),
        ({"storage": {"stop": ["a"]}}, "storage.start: Field required"),
        ({"storage": {**STORAGE, "stop": []}}, "storage.stop: Tuple should have at least 1 item"),
        ({"storage": {**STORAGE, "stop": "systemctl stop minio"}}, "storage.stop: Input should be a valid"),
    ],
)
def test_a_file_that_is_none_is_told_in_one_line(
    content: Any, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named(monkeypatch, tmp_path / "commands", content)
    with pytest.raises(CannotRunError, match=f"^{VARIABLE} .*commands: {message}") as error:
        storage_commands()
    assert "\n" not in str(error.value)


def test_a_place_that_tells_no_command_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    needed = f'{VARIABLE} must name a file with {{"storage": {{"stop": '
    with pytest.raises(CannotRunError) as error:
        storage_commands()
    assert needed in str(error.value)
    assert "\n" not in str(error.value)
    named(monkeypatch, tmp_path / "commands", {"storage": STORAGE})
    assert storage_commands().start == ("c",)
    with pytest.raises(CannotRunError, match="nothing tells how a region is cut off and reconnected"):
        region_commands()
    with pytest.raises(CannotRunError, match="nothing tells how clients get new passwords"):
        client_commands()


def test_the_lab_names_commands_that_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    (tmp_path / "drills").mkdir()
    for name, value in environment.drill_commands(LabPaths("drills")).items():
        monkeypatch.setenv(name, value)
    storage, region = storage_commands(), region_commands()
    assert region.beside is not None
    known = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    groups = {
        (group.name, command.name)
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    }
    for command in (region.cut, region.thaw, region.reconnect, region.beside, client_commands().renew):
        assert command[:3] == (sys.executable, "-m", "lab")
        assert command[3] in known
    assert {storage.stop[3:], storage.start[3:]} <= groups
    assert of_namespace(region.cut, "obs-local")[4:] == ["obs-local", "--freeze"]
