"""The real Pulumi engine with the real policy pack: previews only, without a cluster if none is given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.pulumi_host import home
from lab.toolchain import tools

CHECKOUT = Path(__file__).resolve().parents[2]
_LIMIT_S = 400


@dataclass(frozen=True)
class Engine:
    """A project folder with its own home and state; ``kubeconfig`` leads to a cluster, if there is one."""

    folder: Path
    kubeconfig: Path | None = None

    @classmethod
    def at(cls, folder: Path, stack: str) -> Engine:
        """Lay out a project whose program may be spoiled."""
        home.install(folder / "home", sys.executable)
        project = folder / "project"
        project.mkdir()
        (folder / "backend").mkdir()
        shutil.copy(CHECKOUT / f"Pulumi.{stack}.yaml", project)
        settings = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())
        program = CHECKOUT / "tests" / "policy" / "bad_changes.py"
        (project / "Pulumi.yaml").write_text(yaml.safe_dump({**settings, "main": str(program)}))
        engine = cls(folder)
        process = engine.run("stack", "select", "--create", stack)
        assert process.returncode == 0, process.stderr
        return engine

    def run(
        self, *arguments: str, changes: Iterable[str] = (), program: str = "platform"
    ) -> subprocess.CompletedProcess[str]:
        """Run ``pulumi``; ``program`` is ``platform`` or a part of it, as `bad_changes` names them."""
        programs = [self.folder / "home" / "bin", tools.path("pulumi").parent]
        environment = {
            **os.environ,
            "PULUMI_HOME": str(self.folder / "home"),
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "preview only",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # A preview is short: with Go's default a fifth of the engine's work is garbage collection.
            "GOGC": "400",
            "KUBECONFIG": str(self.kubeconfig or self.folder / "no-cluster"),
            "PYTHONPATH": str(CHECKOUT),
            "BAD_CHANGES": ",".join(changes),
            "BAD_CHANGES_IN": program,
        }
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            cwd=self.folder / "project",
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )

    def preview(
        self, changes: Iterable[str] = (), *more: str, program: str = "platform"
    ) -> subprocess.CompletedProcess[str]:
        """Preview with the pack."""
        return self.run("preview", "--policy-pack", str(CHECKOUT / "policy"), *more, changes=changes, program=program)
