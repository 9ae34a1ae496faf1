"""Programs that build, pull, push and copy images: docker, podman or buildah, and skopeo."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import OpsError, one_line
from ops.images.catalogue import CHECKOUT

BUILD_LIMIT_S = 60 * 60
COPY_LIMIT_S = 30 * 60
_ASK_LIMIT_S = 30
_ANSWERS = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("version",),
    "buildah": ("version",),
}
"""Tool -> arguments that it only answers where it can build; in the order in which they are looked for."""
TOOLS = tuple(_ANSWERS)
_REFUSALS = ("unauthorized", "authentication required", "denied", "no basic auth credentials")
_TAIL = 2


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One of `TOOLS`.

    Attributes:
        name: Its program.
        cert_dir: Folder with the registry's authority, which docker looks for under /etc/docker/certs.d itself.
    """

    name: str
    cert_dir: Path | None = None

    def build(self, reference: str, dockerfile: Path, target: str, build_args: Sequence[str]) -> None:
        """Build an image from the checkout.

        Args:
            reference: What it will be called.
            dockerfile: Its Dockerfile.
            target: Its stage there.
            build_args: ``NAME=value`` each.

        Raises:
            OpsError: It could not be built.
        """
        verb = ("bud", "--layers") if self.name == "buildah" else ("build",)
        arguments = [part for pair in build_args for part in ("--build-arg", pair)]
        command = [
            self.name,
            *verb,
            "-f",
            str(dockerfile),
            "--target",
            target,
            "-t",
            reference,
            *arguments,
            str(CHECKOUT),
        ]
        run(command, limit_s=BUILD_LIMIT_S)

    def image_id(self, reference: str) -> str:
        """Id of a local image as ``sha256:...``; empty where there is none."""
        inspect = (
            ("inspect", "--type", "image", "--format", "{{.FromImageID}}")
            if self.name == "buildah"
            else ("image", "inspect", "--format", "{{.Id}}")
        )
        done = _done([self.name, *inspect, reference], _ASK_LIMIT_S)
        text = done.stdout.strip()
        return f"sha256:{text.removeprefix('sha256:')}" if done.returncode == 0 and text else ""

    def push(self, reference: str) -> None:
        """Push a local image to the registry that its name begins with."""
        run([self.name, "push", *self._certificates(self.cert_dir), reference], limit_s=COPY_LIMIT_S)

    def copy(self, source: str, target: str, source_certs: Path | None) -> None:
        """Copy the image of this machine's platform from one registry to another one."""
        run([self.name, "pull", *self._certificates(source_certs), source], limit_s=COPY_LIMIT_S)
        run([self.name, "tag", source, target], limit_s=_ASK_LIMIT_S)
        self.push(target)

    def _certificates(self, folder: Path | None) -> tuple[str, ...]:
        return ("--cert-dir", str(folder)) if folder and self.name != "docker" else ()


def find(name: str | None, cert_dir: Path | None = None) -> Tool:
    """The tool that was named, or the first one that works here.

    Raises:
        OpsError: There is none, or it does not work.
    """
    if name is not None and name not in TOOLS:
        raise OpsError(f"tool {name}: unknown; allowed: {', '.join(TOOLS)}")
    problems = []
    for candidate in [name] if name else TOOLS:
        if shutil.which(candidate) is None:
            problems.append(f"{candidate} is not on PATH")
            continue
        done = _done([candidate, *_ANSWERS[candidate]], _ASK_LIMIT_S)
        if done.returncode == 0:
            return Tool(name=candidate, cert_dir=cert_dir)
        problems.append(f"{candidate} does not work: {one_line(_last(done.stderr), 120)}")
    raise OpsError("; ".join(problems) + ": install docker, podman or buildah")


def skopeo() -> bool:
    """Whether skopeo is here, which copies all platforms of an image and keeps its digest."""
    return shutil.which("skopeo") is not None


def skopeo_copy(source: str, target: str, *, source_certs: Path | None, target_certs: Path | None) -> None:
    """Copy an image with all its platforms from one registry to another one.

    Raises:
        OpsError: It could not be copied.
    """
    certificates = [
        part
        for option, folder in (("--src-cert-dir", source_certs), ("--dest-cert-dir", target_certs))
        if folder
        for part in (option, str(folder))
    ]
    command = ["skopeo", "copy", "--quiet", "--all", "--preserve-digests", *certificates]
    run([*command, f"docker://{source}", f"docker://{target}"], limit_s=COPY_LIMIT_S)


def run(command: Sequence[str], *, limit_s: float) -> None:
    """Run a tool; what it says is shown only where it fails.

    Raises:
        OpsError: It failed or took too long; one line says what it said last, and where the rest is.
    """
    done = _done(command, limit_s)
    if done.returncode == 0:
        return
    said = _last(done.stderr) or _last(done.stdout) or f"exit code {done.returncode}"
    what = " ".join(command[:2])
    if any(word in done.stderr.lower() for word in _REFUSALS):
        host = command[-1].removeprefix("docker://").partition("/")[0]
        raise OpsError(f"registry {host} refuses the login: run `{command[0]} login {host}` ({one_line(said, 160)})")
    with tempfile.NamedTemporaryFile("w", prefix="obs-images-", suffix=".log", delete=False) as log:
        log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
    raise OpsError(f"{what} failed: {one_line(said, 200)}; the rest: {log.name}")


def _done(command: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command with everything that it starts in a group of its own, which ends with it."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise OpsError(f"{command[0]} is not on PATH: install it") from None
    with process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            _end(process)
            raise OpsError(f"{' '.join(command[:2])} took over {limit_s:.0f} s and was ended") from None
        except BaseException:
            _end(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last(text: str) -> str:
    """The last lines that say something."""
    return " ".join([line.strip() for line in text.splitlines() if line.strip()][-_TAIL:])
