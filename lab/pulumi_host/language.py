"""The Python language host of the Pulumi engine: runs programs, policy packs and Python plugins.

The engine starts it as ``pulumi-language-python``, reads a port from its output, and talks gRPC to it. Everything runs
with the interpreter that runs this module, so one virtual environment serves the host and the programs. Installing
dependencies is therefore not its business.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from lab.pulumi_host import provider

EXECUTOR = "pulumi-language-python-exec"
# What the executor exits with after it has already shown the user what went wrong.
_ALREADY_SHOWN = 32
_TERMINATE_GRACE_S = 5.0
# A child shares the host's process group, so the engine's last resort (kill the group) reaches it; the interrupt that
# the engine sends to the group first must not make it print a traceback: the host ends it itself.
_QUIET = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]


class Children:
    """The processes under way, so that none outlives the host."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(
        self, command: list[str], cwd: str, env: Mapping[str, str], pipes: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process; with ``pipes`` its output is read by the caller, else it goes where the host's goes."""
        output = subprocess.PIPE if pipes else None
        with self._lock:
            if self._closed:
                raise OSError("the language host is stopping")
            child = subprocess.Popen(
                [*_QUIET, *command], cwd=cwd or None, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            self._running.add(child)
        return child

    def end(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for a process that should be over, or end it: first asked, then forced. Returns its exit code."""
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_TERMINATE_GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
        code = child.wait()
        with self._lock:
            self._running.discard(child)
        return code

    def end_all(self) -> None:
        """End every process and start no more."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for child in running:
            child.terminate()
        for child in running:
            self.end(child)


def executor() -> Path:
    """Return the executor beside the program this was started as, or on PATH.

    Raises:
        FileNotFoundError: It is in neither place.
    """
    folders = os.pathsep.join([os.environ.get("OBS_PULUMI_BIN", ""), os.environ.get("PATH", "")])
    executable = shutil.which(EXECUTOR, path=folders)
    if executable is None:
        raise FileNotFoundError(
            f"{EXECUTOR} is not on PATH: lay the Pulumi home out again (lab.pulumi_host.home.install)"
        )
    return Path(executable)


def run_command(request: Any, engine: str, script: Path) -> list[str]:
    """Return the command that runs a program for the engine's ``RunRequest``."""
    info = request.info
    folder = info.program_directory or request.pwd
    program = str(Path(folder) / (info.entry_point or request.program or "."))
    flags = {
        "--monitor": request.monitor_address,
        "--engine": engine,
        "--project": request.project,
        "--stack": request.stack,
        "--pwd": request.pwd,
        "--dry_run": str(request.dryRun).lower(),
        "--parallel": str(request.parallel),
        "--organization": request.organization,
        "--root_directory": info.root_directory or folder,
    }
    pairs = [part for flag, value in flags.items() if value for part in (flag, value)]
    return [sys.executable, "-u", str(script), *pairs, program, *request.args]


def run_environment(request: Any, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program: the stack's configuration travels in it, as the SDK expects."""
    return {
        **base,
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
    }


def plugin_command(request: Any) -> list[str]:
    """Return the command that runs a policy pack or a Python plugin for the engine's ``RunPluginRequest``."""
    program = request.info.program_directory or request.program
    if request.kind == "analyzer":
        return [sys.executable, "-u", "-m", "pulumi.policy", *request.args, program]
    return [sys.executable, "-u", program, *request.args]


def dependencies(transitive: bool) -> list[tuple[str, str]]:
    """Return name and version of the installed packages; without ``transitive`` only what no other one requires."""
    packages = {dist.metadata["Name"]: dist for dist in importlib.metadata.distributions()}
    required = {
        _normal(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0])
        for dist in packages.values()
        for line in dist.requires or []
        if "extra ==" not in line
    }
    return sorted(
        (name, dist.version) for name, dist in packages.items() if transitive or _normal(name) not in required
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The engine's ``LanguageRuntime`` protocol for Python."""

    def __init__(self, engine: str, children: Children) -> None:
        """Serve the engine at address ``engine``; processes are started through ``children``."""
        self._engine = engine
        self._children = children

    # Protocol: the method names are Pulumi's.

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Ask for none: each resource names its plugin and version, and the home holds those; nothing is downloaded."""
        return language_pb2.GetRequiredPackagesResponse()

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        packages = dependencies(request.transitiveDependencies)
        infos = [language_pb2.DependencyInfo(name=name, version=version) for name, version in packages]
        return language_pb2.GetProgramDependenciesResponse(dependencies=infos)

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        text = f"Dependencies are those of {sys.executable}: install them there with pip.\n"
        yield language_pb2.InstallDependenciesResponse(stdout=text.encode())

    def RuntimeOptionsPrompts(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._children.end_all()
        return empty_pb2.Empty()

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        try:
            command = run_command(request, self._engine, executor())
            child = self._children.start(command, request.pwd, run_environment(request, os.environ))
        except OSError as error:
            return language_pb2.RunResponse(error=f"cannot start the program: {error}")
        context.add_callback(lambda: self._children.end(child))
        code = child.wait()
        if code == _ALREADY_SHOWN:
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return language_pb2.RunResponse(error=f"the program was ended by signal {-code}")
        if code:
            return language_pb2.RunResponse(error=f"the program exited with code {code}")
        return language_pb2.RunResponse()

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        env = dict(entry.split("=", 1) for entry in request.env) or dict(os.environ)
        try:
            child = self._children.start(plugin_command(request), request.pwd, env, pipes=True)
        except OSError as error:
            yield language_pb2.RunPluginResponse(stderr=f"cannot start the plugin: {error}\n".encode())
            yield language_pb2.RunPluginResponse(exitcode=1)
            return
        context.add_callback(lambda: self._children.end(child))
        for stream, data in _output(child):
            if stream == "stdout":
                yield language_pb2.RunPluginResponse(stdout=data)
            else:
                yield language_pb2.RunPluginResponse(stderr=data)
        yield language_pb2.RunPluginResponse(exitcode=child.wait())


def _output(child: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield what the process writes, with the stream's name, until both its streams end."""
    chunks: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def pump(stream: IO[bytes], name: str) -> None:
        with stream:
            while data := os.read(stream.fileno(), 65536):
                chunks.put((name, data))
        chunks.put((name, b""))

    assert child.stdout is not None
    assert child.stderr is not None
    for stream, name in ((child.stdout, "stdout"), (child.stderr, "stderr")):
        threading.Thread(target=pump, args=(stream, name), daemon=True).start()
    open_streams = 2
    while open_streams:
        name, data = chunks.get()
        if data:
            yield name, data
        else:
            open_streams -= 1


def main() -> None:
    """Run as ``pulumi-language-python``."""
    children = Children()
    host = LanguageHost(provider.engine_address(sys.argv[1:]), children)
    provider.serve(
        lambda grpc_server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, grpc_server), children.end_all
    )
