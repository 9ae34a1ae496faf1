"""Lays out a ``PULUMI_HOME``: the language host and the provider plugins where the engine looks for them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import LabError
from lab.paths import CHECKOUT
from lab.pulumi_host.language import EXECUTOR
from lab.toolchain import tools

LANGUAGE_HOST = "pulumi-language-python"
# Ours, by the SDK whose version they take on: the engine looks a plugin up by exactly that version.
_OWN_PLUGINS = {"random": "pulumi-random", "kafka": "pulumi-kafka", "grafana": "pulumiverse-grafana"}
_SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
_DOWNLOAD_LIMIT_S = 300


def install(home: Path, python: Path | str, *, keep_machine_host: bool = False) -> None:
    """Lay out ``home``; repeating it is cheap and never leaves a file half written.

    Args:
        home: The ``PULUMI_HOME``. Its ``bin`` belongs in front of PATH.
        python: Interpreter that runs the host, the programs and our plugins; needs the packages of requirements.txt.
        keep_machine_host: Leave the Python language host to the one that is on PATH, if there is one.

    Raises:
        LabError: The engine or the kubernetes provider is not built, or the executor cannot be fetched.
    """
    folder = home / "bin"
    if keep_machine_host and _on_path_outside(folder):
        for name in (LANGUAGE_HOST, EXECUTOR, "pulumi"):
            (folder / name).unlink(missing_ok=True)
    else:
        _beside(folder / "pulumi", tools.path("pulumi"))
        _write(folder / EXECUTOR, _executor_source())
        _write(folder / LANGUAGE_HOST, launcher(python, "language", {"OBS_PULUMI_BIN": str(folder)}))
    for name, package in _OWN_PLUGINS.items():
        _write(_plugin(home, name, importlib.metadata.version(package)), launcher(python, f"{name}_provider", {}))
    _keep_no_logs(home / "logs")
    kubernetes = _plugin(home, "kubernetes", importlib.metadata.version("pulumi-kubernetes"))
    _link(kubernetes, tools.path("pulumi-resource-kubernetes"))


def _keep_no_logs(logs: Path) -> None:
    """Put a file where the engine makes the folder of its automatic logs, which it then does without.

    No setting turns them off. It compresses and encrypts every property of every resource for them, several times: much
    of its work in a preview.
    """
    if logs.is_dir():
        shutil.rmtree(logs)
    if not logs.exists():
        logs.touch()


def launcher(python: Path | str, module: str, env: dict[str, str]) -> str:
    """Return a script that becomes ``python`` running a module of this package, whatever the folder and PYTHONPATH."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from lab.pulumi_host.{module} import main; main()"
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
    return f'#!/bin/sh\n{exports}exec {shlex.quote(str(python))} -P -c {shlex.quote(code)} "$@"\n'


def _on_path_outside(folder: Path) -> bool:
    others = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry and Path(entry) != folder]
    return shutil.which(LANGUAGE_HOST, path=os.pathsep.join(others)) is not None


def _plugin(home: Path, name: str, version: str) -> Path:
    return home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"


def _executor_source() -> str:
    """Return the vendor's executor from the Go module of the installed SDK's version: the wheel does not hold it."""
    module = f"{_SDK_MODULE}@v{importlib.metadata.version('pulumi')}"
    command = ["go", "mod", "download", "-json", module]
    try:
        with tempfile.TemporaryDirectory() as nowhere:
            done = subprocess.run(
                command, check=False, cwd=nowhere, capture_output=True, text=True, timeout=_DOWNLOAD_LIMIT_S
            )
    except FileNotFoundError:
        raise LabError(
            f"{EXECUTOR}: it comes from a Go module, and go is not on PATH; install Go, then repeat"
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f"{EXECUTOR}: {' '.join(command)} took over {_DOWNLOAD_LIMIT_S} s; look at the network"
        ) from None
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise LabError(f"{EXECUTOR}: {' '.join(command)} failed: {reason[-1]}")
    return (Path(json.loads(done.stdout)["Dir"]) / "python" / "cmd" / EXECUTOR).read_text()


def _write(path: Path, text: str) -> None:
    if path.is_file() and not path.is_symlink() and path.read_text() == text and os.access(path, os.X_OK):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(temporary).chmod(0o755)
    Path(temporary).replace(path)


def _beside(path: Path, program: Path) -> None:
    """Put the engine itself next to the host: it warns about a host that it finds anywhere else."""
    if path.is_file() and os.path.samestat(path.stat(), program.stat()):
        return
    if path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (
        program.stat().st_size,
        program.stat().st_mtime_ns,
    ):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(program)
    except OSError:
        shutil.copy2(program, temporary)
    temporary.replace(path)


def _link(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)
