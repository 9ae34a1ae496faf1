"""Images: fixed releases, from our registries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.image_reference import Image
from policy.model import Finding, Level, Node, Option, Options, Resource, Rule
from policy.rules._agreed import ADD, agreed
from policy.rules._kubernetes import WORKLOADS, at, containers, name_of, shown, template

_MOVING = frozenset({"latest", "main", "master", "edge", "nightly", "stable", "dev", "canary", "current"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def _images(resource: Resource) -> Iterator[tuple[Node, Node, Image]]:
    """Container, its image's node, and the image."""
    for container in containers(template(resource)["spec"]):
        node = container["image"]
        yield container, node, Image.of(node.text())


def _release(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, node, image in _images(resource):
        if _DIGEST.fullmatch(image.digest):
            continue
        if not image.name:
            yield at(resource, node, f"{name_of(container)} has no image", "name one of components.versions")
        elif image.digest:
            yield at(resource, node, f"the digest of image {node.text()} is no SHA-256", "write the whole digest")
        elif not image.tag:
            yield at(resource, node, f"image {shown(node.raw)} of {name_of(container)} names no release", "add its tag")
        elif image.tag in _MOVING or not any(character.isdigit() for character in image.tag):
            yield at(resource, node, f'tag "{image.tag}" of {name_of(container)} moves', "name one release")


def _registry(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, node, image in _images(resource):
        if image.name and not any(
            image.name.startswith(f"{registry.rstrip('/')}/") for registry in options["registries"]
        ):
            yield at(
                resource,
                node,
                f"image {shown(node.raw)} of {name_of(container)} comes from elsewhere",
                f"take it from {' or '.join(options['registries'])}",
            )


def _digest(resource: Resource, options: Options) -> Iterator[Finding]:
    for _, node, image in _images(resource):
        if not image.digest and any(
            image.name.startswith(f"{registry.rstrip('/')}/") for registry in options["registries"]
        ):
            yield at(
                resource, node, f"image {shown(node.raw)} has no digest", "add it to images.digests in the settings"
            )


def _agreed(resource: Resource, options: Options) -> Iterator[Finding]:
    known = {name: tag for name, _, tag in (image.partition(":") for image in agreed()["images"])}
    for _, node, image in _images(resource):
        name = image.name.rpartition("/")[2]
        if name and name not in known:
            yield at(resource, node, f"image {shown(node.raw)} is none that the platform runs", ADD)
        elif name and not image.digest and image.tag != known[name]:
            problem = f"image {shown(node.raw)} is not the release {known[name]} that settings are written for"
            yield at(resource, node, problem, ADD)


def _pull(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, _, image in _images(resource):
        node = container["imagePullPolicy"]
        if node.value == "Always" and not image.digest:
            yield at(
                resource,
                node,
                f'imagePullPolicy is "Always" for a tag that somebody can move ({name_of(container)})',
                "use IfNotPresent, or name the digest",
            )


def _registries(default: list[str], meaning: str) -> Option:
    return Option(default=default, schema={"type": "array", "items": {"type": "string"}}, meaning=meaning)


RULES = (
    Rule(
        id="image-release",
        promise="Every image names one release.",
        why="A tag that moves runs another program after the next restart, untested and on some of the pods only.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_release,
    ),
    Rule(
        id="image-registry",
        promise="Every image comes from a registry of ours.",
        why="Somebody else's registry can change what runs here, or be away when a pod must start.",
        sources=("M4",),
        options={
            "registries": _registries(
                ["registry.lab.internal", "registry.example.com/observability"],
                "registries (with path) that may be used",
            )
        },
        kinds=WORKLOADS,
        resource=_registry,
    ),
    Rule(
        id="image-digest",
        promise="Images of the named registries are pinned by digest.",
        why="Whoever may push can put another image under the same tag.",
        sources=("M4",),
        level=Level.ADVISORY,
        options={"registries": _registries([], "registries whose images must have a digest")},
        kinds=WORKLOADS,
        resource=_digest,
    ),
    Rule(
        id="image-agreed",
        promise="Containers run agreed images, and their agreed release unless a digest names another.",
        why="An older release has holes that are known; an image of a like name is anybody's.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_agreed,
    ),
    Rule(
        id="image-pull",
        promise="No pod fetches a tag again at each start.",
        why="A restarted pod would run another image than its neighbours, and could not start without the registry.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_pull,
    ),
)
"""Rules of this concern."""
