"""``obs images``: build, push, mirror, digests. One line an image on standard error; digests on standard output."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from components.versions import IMAGES, OURS, UPSTREAM
from ops.core.errors import OpsError
from ops.images import tools
from ops.images.catalogue import Image, chosen
from ops.images.registry import Manifest, Registry

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


@images_app.command()
def build(
    registry: _To,
    names: _Names = None,
    tool: _Tool = None,
    build_arg: Annotated[
        list[str] | None,
        typer.Option(help="NAME=value for the Dockerfiles, such as BASE=registry.example.com/debian:12; repeatable."),
    ] = None,
) -> None:
    """Build our images from their Dockerfiles in images/; what the tool still has of an earlier build is used again."""
    arguments = build_arg or []
    for argument in arguments:
        if not re.fullmatch(r"[A-Za-z_]\w*=.*", argument):
            raise OpsError(f"--build-arg {argument}: write NAME=value")
    selected, target = chosen(names or [], only=OURS), _registry_name(registry)
    builder = tools.find(tool)
    for image, step in _steps(selected, f"building with {builder.name}"):
        reference = _reference(target, image)
        builder.build(reference, image.dockerfile, image.name, arguments)
        step(builder.image_id(reference))


@images_app.command()
def push(registry: _To, names: _Names = None, tool: _Tool = None, cert_dir: _Certs = None) -> None:
    """Push our images; one that the registry has already is left alone."""
    selected, target = chosen(names or [], only=OURS), Registry(_registry_name(registry), cert_dir=cert_dir)
    pusher = tools.find(tool, cert_dir)
    for image, step in _steps(selected, f"pushing with {pusher.name}"):
        reference = _reference(target.name, image)
        local = pusher.image_id(reference)
        if not local:
            raise OpsError(f"{reference} is not built: run `obs images build --registry {target.name} {image.name}`")
        present = target.manifest(image.repository, image.tag)
        if present is not None and local in (present.digest, present.config):
            step(f"already there, {present.digest}")
            continue
        pusher.push(reference)
        step(_now(target, image).digest)


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
    copier = None if tool is None and tools.skopeo() else tools.find(tool, cert_dir)
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
            tools.skopeo_copy(
                reference, _reference(target.name, image), source_certs=from_cert_dir, target_certs=cert_dir
            )
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
