"""The Python language host, spoken to as the engine does: over gRPC, and as a process that must end when told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from lab.paths import CHECKOUT
from lab.pulumi_host import provider
from lab.pulumi_host.language import EXECUTOR, Children, LanguageHost, dependencies, run_command

# Stands where the vendor's executor does: shows what it was started with, and ends as its program says.
EXECUTOR_FAKE = """#!/usr/bin/env python
import json, os, pathlib, runpy, sys
pathlib.Path("started.json").write_text(json.dumps({"args": sys.argv[1:], "config": os.environ["PULUMI_CONFIG"]}))
runpy.run_path(sys.argv[-1], run_name="__main__")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / EXECUTOR).write_text(EXECUTOR_FAKE)
    (folder / EXECUTOR).chmod(0o755)
    monkeypatch.setenv("OBS_PULUMI_BIN", str(folder))
    (tmp_path / "program").mkdir()
    return tmp_path / "program"


@pytest.fixture
def children() -> Iterator[Children]:
    processes = Children()
    yield processes
    processes.end_all()


@pytest.fixture
def host(children: Children) -> Iterator[language_pb2_grpc.LanguageRuntimeStub]:
    servicer = LanguageHost("127.0.0.1:1", children)
    grpc_server, port = provider.create(
        lambda servicer_server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(servicer, servicer_server),
        workers=4,
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)
    grpc_server.stop(None).wait(5)


def info(folder: Path) -> language_pb2.ProgramInfo:
    return language_pb2.ProgramInfo(root_directory=str(folder), program_directory=str(folder), entry_point=".")


def run_request(folder: Path) -> language_pb2.RunRequest:
    return language_pb2.RunRequest(
        project="p", stack="s", pwd=str(folder), info=info(folder), dryRun=True, parallel=4,
        monitor_address="127.0.0.1:2",
        organization="o", config={"p:a": "b"}, configSecretKeys=["p:a"],
    )  # fmt: skip


def test_the_executor_gets_everything_the_sdk_needs() -> None:
    command = run_command(run_request(Path("/x")), "127.0.0.1:1", Path("/bin/exec"))
    assert command[:3] == [sys.executable, "-u", "/bin/exec"]
    assert command[-1] == "/x"
    flags = dict(zip(command[3:-1:2], command[4:-1:2], strict=True))
    assert flags == {
        "--monitor": "127.0.0.1:2", "--engine": "127.0.0.1:1", "--project": "p", "--stack": "s", "--pwd": "/x",
        "--dry_run": "true", "--parallel": "4", "--organization": "o", "--root_directory": "/x",
    }  # fmt: skip


def test_a_program_runs_with_the_stack_s_configuration(
    host: language_pb2_grpc.LanguageRuntimeStub, program: Path
) -> None:
    (program / "__main__.py").write_text("")
    assert host.Run(run_request(program)) == language_pb2.RunResponse()
    assert '\\"p:a\\": \\"b\\"' in (program / "started.json").read_text()


def test_a_failure_the_user_has_seen_already_is_not_repeated(
    host: language_pb2_grpc.LanguageRuntimeStub, program: Path
) -> None:
    (program / "__main__.py").write_text("raise SystemExit(32)")
    answer = host.Run(run_request(program))
    assert (answer.bail, answer.error) == (True, "")


def test_another_failure_is_told_with_its_exit_code(host: language_pb2_grpc.LanguageRuntimeStub, program: Path) -> None:
    (program / "__main__.py").write_text("raise SystemExit(3)")
    assert host.Run(run_request(program)).error == "the program exited with code 3"


def test_a_missing_executor_is_one_clear_line(
    host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OBS_PULUMI_BIN", raising=False)
    assert "pulumi-language-python-exec is not on PATH" in host.Run(run_request(tmp_path)).error


def test_cancelling_ends_the_program(host: language_pb2_grpc.LanguageRuntimeStub, program: Path) -> None:
    (program / "__main__.py").write_text("import time\ntime.sleep(600)")
    running = host.Run.future(run_request(program))
    _until((program / "started.json").exists)
    host.Cancel(empty_pb2.Empty())
    assert running.result(timeout=60).error == f"the program was ended by signal {signal.SIGTERM.value}"


def test_an_engine_that_gives_a_call_up_ends_the_program(
    host: language_pb2_grpc.LanguageRuntimeStub, program: Path
) -> None:
    text = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    (program / "__main__.py").write_text(text)
    running = host.Run.future(run_request(program))
    _until(lambda: (program / "pid").exists() and (program / "pid").read_text() != "")
    running.cancel()
    pid = int((program / "pid").read_text())
    _until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_plugin_s_output_and_exit_code_are_streamed(
    host: language_pb2_grpc.LanguageRuntimeStub, program: Path
) -> None:
    (program / "__main__.py").write_text(
        "import os, sys\nprint('port', sys.argv[1], os.environ['A'])\nsys.stderr.write('oh')\nsys.exit(7)"
    )
    request = language_pb2.RunPluginRequest(
        pwd=str(program), info=info(program), kind="resource", args=["x"], env=["A=1=2"]
    )
    answers = list(host.RunPlugin(request))
    assert b"".join(answer.stdout for answer in answers) == b"port x 1=2\n"
    assert b"".join(answer.stderr for answer in answers) == b"oh"
    assert answers[-1].exitcode == 7


def test_a_policy_pack_runs_under_the_policy_runner(host: language_pb2_grpc.LanguageRuntimeStub, program: Path) -> None:
    (program / "__main__.py").write_text("print('pack loaded')")
    request = language_pb2.RunPluginRequest(
        pwd=str(program), info=info(program), kind="analyzer", args=["127.0.0.1:1"], env=[f"PATH={os.environ['PATH']}"]
    )
    answers = list(host.RunPlugin(request))
    assert b"".join(answer.stdout for answer in answers) == b"pack loaded\n"
    assert answers[-1].exitcode == 0


def test_no_package_is_asked_for_so_nothing_is_downloaded(host: language_pb2_grpc.LanguageRuntimeStub) -> None:
    assert list(host.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest()).packages) == []


def test_about_names_the_interpreter(host: language_pb2_grpc.LanguageRuntimeStub) -> None:
    assert host.About(language_pb2.AboutRequest()).executable == sys.executable


def test_installing_dependencies_says_where_they_are(host: language_pb2_grpc.LanguageRuntimeStub) -> None:
    answers = list(host.InstallDependencies(language_pb2.InstallDependenciesRequest()))
    assert sys.executable.encode() in answers[0].stdout


def test_direct_dependencies_leave_out_what_others_bring() -> None:
    direct, every = dict(dependencies(False)), dict(dependencies(True))
    assert "pulumi_kafka" in direct or "pulumi-kafka" in direct
    assert "grpcio" in every
    assert "grpcio" not in direct


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_prints_its_port_and_ends_quietly_when_told(number: signal.Signals) -> None:
    process = _start_process()
    assert process.stdout is not None
    assert 0 < int(process.stdout.readline()) < 65536
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_process_ends_when_its_engine_is_gone(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    # The shell in between is the engine: it starts the host, and dies once it has read the host's port.
    script = f'"{sys.executable}" -c "{_CODE}" > {port_file} 2>&1 & echo $!; for _ in $(seq 900); do sleep 0.1; done'
    engine = subprocess.Popen(["/bin/sh", "-c", script], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    with engine.stdout:
        pid = int(engine.stdout.readline())
        _until(lambda: port_file.exists() and port_file.read_text().endswith("\n"))
        engine.kill()
        engine.wait(timeout=60)
        _until(lambda: not Path(f"/proc/{pid}").exists() or "(python) Z" in Path(f"/proc/{pid}/stat").read_text())


_CODE = "from lab.pulumi_host.language import main; main()"


def _start_process() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CODE], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _until(true: object, limit_s: float = 60) -> None:
    assert callable(true)
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, f"not so within {limit_s} s"
        threading.Event().wait(0.05)
