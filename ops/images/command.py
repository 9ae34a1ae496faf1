"""``obs images``: build, push, mirror, digests, by docker, podman or buildah, and skopeo. One line an image on standard
error; digests on standard output.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml

from components.versions import IMAGES, OURS, UPSTREAM
from ops.core.errors import OpsError, one_line
from ops.images import sbom
from ops.images.catalogue import CHECKOUT, Image, chosen
from ops.images.registry import Manifest, Registry, attach

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
        run_tool(command, limit_s=BUILD_LIMIT_S)

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

    def save(self, reference: str, archive: Path) -> None:
        """Write a local image into a file that is not there yet, with its layers as they are."""
        command = (
            ["buildah", "push", "--quiet", reference, f"docker-archive:{archive}"]
            if self.name == "buildah"
            else [self.name, "save", "-o", str(archive), reference]
        )
        run_tool(command, limit_s=COPY_LIMIT_S)

    def push(self, reference: str) -> None:
        """Push a local image to the registry that its name begins with."""
        run_tool([self.name, "push", *self._certificates(self.cert_dir), reference], limit_s=COPY_LIMIT_S)

    def copy(self, source: str, target: str, source_certs: Path | None) -> None:
        """Copy the image of this machine's platform from one registry to another one."""
        run_tool([self.name, "pull", *self._certificates(source_certs), source], limit_s=COPY_LIMIT_S)
        run_tool([self.name, "tag", source, target], limit_s=_ASK_LIMIT_S)
        self.push(target)

    def _certificates(self, folder: Path | None) -> tuple[str, ...]:
        return ("--cert-dir", str(folder)) if folder and self.name != "docker" else ()


def find_tool(name: str | None, cert_dir: Path | None = None) -> Tool:
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
    run_tool([*command, f"docker://{source}", f"docker://{target}"], limit_s=COPY_LIMIT_S)


def run_tool(command: Sequence[str], *, limit_s: float) -> None:
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


_IMAGES = re.compile(r"^(?P<indent> +)images:[^\n]*\n(?:(?P=indent) +[^\n]*\n)+", re.MULTILINE)
_DIGESTS = re.compile(r"^(?P<indent> +)digests:[^\n]*\n(?:(?P=indent) +[^\n]*\n)*", re.MULTILINE)


def block(registry: str, digests: Mapping[str, str]) -> str:
    """The group ``images``, to be put into a stack file by hand."""
    return f"images:\n  registry: {registry}\n{_indented(digests, '  ')}"


def written(text: str, digests: Mapping[str, str], name: str) -> str:
    """A stack file with these digests; those of other images stay, and so does every other line.

    Args:
        text: The file.
        digests: Short name -> digest.
        name: Name of the file, for messages.

    Raises:
        OpsError: The file has no ``images.digests``.
    """
    images = _IMAGES.search(text)
    present = images and _DIGESTS.search(images[0])
    if images is None or present is None:
        raise OpsError(f"{name} has no images.digests: add `digests: {{}}` under images, then repeat")
    known = yaml.safe_load(present[0])["digests"] or {}
    start = images.start() + present.start()
    return text[:start] + _indented({**known, **digests}, present["indent"]) + text[start + len(present[0]) :]


def _indented(digests: Mapping[str, str], indent: str) -> str:
    if not digests:
        return f"{indent}digests: {{}}\n"
    lines = [f"{indent}  {image}: {digests[image]}\n" for image in IMAGES if image in digests]
    return f"{indent}digests:\n{''.join(lines)}"


images_app = typer.Typer(help="Images: ours built and pushed, upstream's copied, digests.", no_args_is_help=True)

_MISSING = 1
_NAME = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*")
_Names = Annotated[list[str] | None, typer.Argument(help="Short names, obs or upstream; default: all.")]
_To = Annotated[str, typer.Option("--registry", help="Host, if need be with port and path, as in images.registry.")]
_Tool = Annotated[str | None, typer.Option(help="docker, podman or buildah; default: the first that works.")]
_Certs = Annotated[
    Path | None,
    typer.Option(help="Folder with the registry's authority in ca.crt; docker has it in /etc/docker/certs.d."),
]
_Sbom = Annotated[
    Path,
    typer.Option(
        "--sbom",
        help="Folder of the images' bills of materials, NAME.cdx.json (CycloneDX).",
        show_default="build/sbom in the checkout",
    ),
]
_NoSbom = Annotated[bool, typer.Option("--no-sbom", help="Without bills of materials.")]
_SBOM_FOLDER = CHECKOUT / "build" / "sbom"
_HERE = "localhost"
"""Registry of images that stay on this machine."""


@images_app.command()
def build(
    registry: _To,
    names: _Names = None,
    tool: _Tool = None,
    build_arg: Annotated[
        list[str] | None,
        typer.Option(help="NAME=value for the Dockerfiles, such as BASE=registry.example.com/debian:12; repeatable."),
    ] = None,
    sbom_folder: _Sbom = _SBOM_FOLDER,
    no_sbom: _NoSbom = False,
) -> None:
    """Build our images from their Dockerfiles in images/; what the tool still has of an earlier build is used again.

    A bill of materials is written of each, unless the registry is localhost: such an image is for this machine alone.
    """
    arguments = build_arg or []
    for argument in arguments:
        if not re.fullmatch(r"[A-Za-z_]\w*=.*", argument):
            raise OpsError(f"--build-arg {argument}: write NAME=value")
    selected, target = chosen(names or [], only=OURS), _registry_name(registry)
    builder = find_tool(tool)
    for image, step in _steps(selected, f"building with {builder.name}"):
        reference = _reference(target, image)
        builder.build(reference, image.dockerfile, image.name, arguments)
        image_id = builder.image_id(reference)
        if no_sbom or target == _HERE:
            step(image_id)
        else:
            file = _sbom_file(sbom_folder, image)
            _described(builder, image, reference, image_id, file)
            step(f"{image_id}, {file}")


@images_app.command()
def push(
    registry: _To,
    names: _Names = None,
    tool: _Tool = None,
    cert_dir: _Certs = None,
    sbom_folder: _Sbom = _SBOM_FOLDER,
    no_sbom: _NoSbom = False,
) -> None:
    """Push our images, and attach their bills of materials; one that the registry has already is left alone."""
    selected, target = chosen(names or [], only=OURS), Registry(_registry_name(registry), cert_dir=cert_dir)
    pusher = find_tool(tool, cert_dir)
    for image, step in _steps(selected, f"pushing with {pusher.name}"):
        reference = _reference(target.name, image)
        local = pusher.image_id(reference)
        if not local:
            raise OpsError(f"{reference} is not built: run `obs images build --registry {target.name} {image.name}`")
        present = target.manifest(image.repository, image.tag)
        there = present is not None and local in (present.digest, present.config)
        if present is None or not there:
            pusher.push(reference)
            present = _now(target, image)
        done = f"already there, {present.digest}" if there else present.digest
        if not no_sbom:
            file = _sbom_file(sbom_folder, image)
            content = sbom.known(file, local) or _described(pusher, image, reference, local, file)
            done += f", SBOM {_attached(target, image, present.digest, file, content)}"
        step(done)


@images_app.command()
def mirror(
    registry: _To,
    names: _Names = None,
    source: Annotated[
        str, typer.Option("--from", help="Registry to copy from; default: where the makers publish.")
    ] = "",
    tool: _Tool = None,
    cert_dir: _Certs = None,
    from_cert_dir: Annotated[
        Path | None,
        typer.Option(help="The same for the registry of --from."),
    ] = None,
) -> None:
    """Copy upstream's images, with skopeo where it is; one that the registry has already is left alone."""
    selected, target = chosen(names or [], only=UPSTREAM), Registry(_registry_name(registry), cert_dir=cert_dir)
    other = Registry(_registry_name(source), cert_dir=from_cert_dir) if source else None
    copier = None if tool is None and skopeo() else find_tool(tool, cert_dir)
    for image, step in _steps(selected, f"copying with {copier.name if copier else 'skopeo'}"):
        origin, repository = _origin(image, other)
        pinned = image.upstream.digest if image.upstream else None
        there = origin.manifest(repository, pinned or image.tag)
        if there is None:
            raise OpsError(f"registry {origin.name} has no {repository}:{image.tag}")
        present = target.manifest(image.repository, image.tag)
        if present is not None and _same(there, present):
            step(f"already there, {present.digest}")
            continue
        reference = f"{origin.name}/{repository}" + (f"@{pinned}" if pinned else f":{image.tag}")
        if copier:
            copier.copy(reference, _reference(target.name, image), from_cert_dir)
        else:
            skopeo_copy(reference, _reference(target.name, image), source_certs=from_cert_dir, target_certs=cert_dir)
        copied = _now(target, image)
        if not _same(there, copied):
            raise OpsError(f"{image.name}: {target.name} has {copied.digest}, and {origin.name} {there.digest}")
        step(copied.digest)


@images_app.command()
def digests(
    registry: _To,
    names: _Names = None,
    cert_dir: _Certs = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Stack file to write them into; default: print the group `images`."),
    ] = None,
) -> None:
    """Show the digests that the registry has for our tags, as the settings take them; exit code 1: some are missing."""
    selected, target = chosen(names or []), Registry(_registry_name(registry), cert_dir=cert_dir)
    known = {image.name: target.manifest(image.repository, image.tag) for image in selected}
    present = {name: manifest.digest for name, manifest in known.items() if manifest is not None}
    if write is None:
        typer.echo(block(target.name, present), nl=False)
    else:
        try:
            text = write.read_text(encoding="utf-8")
        except OSError as error:
            raise OpsError(f"{write} cannot be read: {error.strerror}") from None
        changed = written(text, present, write.name)
        if changed != text:
            write.write_text(changed, encoding="utf-8")
        typer.echo(f"{write.name}: {len(present)} digests", err=True)
    if missing := [name for name, manifest in known.items() if manifest is None]:
        typer.echo(f"not in {target.name}: {', '.join(missing)}", err=True)
        raise typer.Exit(_MISSING)


def _registry_name(text: str) -> str:
    name = text.rstrip("/")
    if not _NAME.fullmatch(name):
        raise OpsError(f"registry {text}: allowed is a host, if need be with port and path, in lower case")
    return name


def _reference(registry: str, image: Image) -> str:
    return f"{registry}/{image.repository}:{image.tag}"


def _sbom_file(folder: Path, image: Image) -> Path:
    return folder / f"{image.name}{sbom.SUFFIX}"


def _described(tool: Tool, image: Image, reference: str, image_id: str, file: Path) -> bytes:
    name = f"{image.repository}:{image.tag}"
    return sbom.write(file, name, image_id, lambda archive: tool.save(reference, archive))


def _attached(registry: Registry, image: Image, digest: str, file: Path, content: bytes) -> str:
    """Attach a bill of materials to an image that the registry has; digest of the artifact."""
    try:
        return attach(registry, image.repository, digest, kind=sbom.MEDIA_TYPE, name=file.name, content=content)
    except OpsError as error:
        raise OpsError(f"{image.name} is there, and not {file} beside it: {error}; --no-sbom leaves it out") from None


def _origin(image: Image, other: Registry | None) -> tuple[Registry, str]:
    """Registry and repository that an image is copied from."""
    if other is not None:
        return other, image.repository
    if image.upstream is None:
        raise OpsError(f"image {image.name}: images/upstream.yaml says nothing of it")
    host, _, repository = image.upstream.source.partition("/")
    return Registry(host), repository


def _same(one: Manifest, other: Manifest) -> bool:
    return one.digest == other.digest or (one.config != "" and one.config == other.config)


def _now(registry: Registry, image: Image) -> Manifest:
    """What the registry has after it was given an image."""
    manifest = registry.manifest(image.repository, image.tag)
    if manifest is None:
        raise OpsError(f"{_reference(registry.name, image)} was sent, and is not there: ask whoever runs the registry")
    return manifest


class _Step:
    """Tells how an image ended."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, result: str) -> None:
        typer.echo(f"      {result} ({time.monotonic() - self._started:.0f} s)", err=True)


def _steps(selected: Sequence[Image], what: str) -> Iterator[tuple[Image, _Step]]:
    for number, image in enumerate(selected, 1):
        typer.echo(f"[{number}/{len(selected)}] {image.repository}:{image.tag}: {what} ...", err=True)
        yield image, _Step()
