"""Whether pods run the images that are pinned here and the digests that the stack names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ops.core.kube import Pod
from ops.core.rows import Finding, listed
from ops.maintenance.model import Tools
from policy.image_reference import Image

_SHOWN: Final = len("sha256:") + 12
"""Characters of a digest that people are shown."""


@dataclass(frozen=True, kw_only=True)
class _Container:
    """A container of a pod, the image that it is to run, and the digest that its node tells of what it does run."""

    where: str
    reference: Image
    running: str


def versions(pinned: Mapping[str, str]) -> Callable[[Tools], Finding]:
    """Whether pods run what is pinned (short name -> ``repository:tag``), and nothing that is not.

    Tags are compared with what is pinned, digests with those of the stack. A digest decides what a node pulls, so a new
    tag with the old digest runs the old image: that is known as long as Kubernetes keeps a former revision which names
    both otherwise.
    """
    names = {Image.of(image).name: name for name, image in pinned.items()}
    tags = {name: Image.of(image).tag for name, image in pinned.items()}

    def name_of(reference: Image) -> str | None:
        return next((name for end, name in names.items() if f"/{reference.name}".endswith(f"/{end}")), None)

    def shown(reference: Image) -> str:
        return f"{name_of(reference) or reference.name} {reference.tag}".rstrip()

    def run(tools: Tools) -> Finding:
        finding, kube = Finding(), tools.context.kube
        pods = kube.pods()
        images = sorted({image for pod in pods for image in pod.images})
        references = {image: Image.of(image) for image in images}
        unknown = [image for image in images if name_of(references[image]) is None]
        for reference in references.values():
            name = name_of(reference)
            if name is None:
                continue
            if reference.tag != tags[name]:
                finding.wrong.append(f"{name} runs {reference.tag or 'without a tag'}, pinned is {tags[name]}")
            else:
                finding.seen.append(f"{name} {reference.tag}")
        finding.figures.append(f"{len(images) - len(finding.wrong)} of {len(images)} images as pinned")
        finding.expect(not unknown, f"not pinned: {listed(unknown)}")
        finding.expect(bool(images), "no pod runs")
        containers = [container for pod in pods for container in _containers(pod)]
        digests = tools.context.platform.image_digests
        for container in containers:
            _compare(container, digests.get(name_of(container.reference) or "", ""), finding)
        named = {reference for reference in references.values() if reference.digest}
        if named:
            silent = sum(bool(one.reference.digest and not one.running) for one in containers)
            finding.figures.append(f"{len(named)} of them by digest")
            if silent:
                finding.seen.append(f"{silent} containers: their node does not tell the digest of what runs")
            finding.wrong.extend(_shared(named, {Image.of(image) for image in kube.former_images()}, shown))
        return finding

    return run


def _containers(pod: Pod) -> Iterator[_Container]:
    for number, (name, image) in enumerate(zip(pod.containers, pod.images, strict=True)):
        told = pod.image_ids[number] if number < len(pod.image_ids) else ""
        # Of an image that was loaded and not pulled, a node tells the digest of its configuration, without an @.
        running = Image.of(told).digest
        yield _Container(where=f"{pod.name}/{name}", reference=Image.of(image), running=running)


def _compare(container: _Container, wanted: str, finding: Finding) -> None:
    """What a container is to run with what the stack names (empty: nothing), and what runs with both."""
    named = container.reference.digest
    if wanted and named != wanted:
        what = _short(named) if named else "no digest"
        finding.wrong.append(f"{container.where} names {what}, the stack {_short(wanted)}")
    if named and container.running and container.running != named:
        finding.wrong.append(f"{container.where} runs {_short(container.running)}, its pod names {_short(named)}")


def _shared(named: Collection[Image], former: Collection[Image], shown: Callable[[Image], str]) -> Iterator[str]:
    """A line for each image whose digest another tag or repository has or had: one of the two is not what it says."""
    for reference in sorted(named, key=lambda one: (one.name, one.tag, one.digest)):
        others = {shown(other) for other in {*named, *former} if other.digest == reference.digest}
        if others := others - {shown(reference)}:
            yield (
                f"{shown(reference)} has the digest of {listed(sorted(others))}: {_short(reference.digest)}; what runs "
                "is one of them"
            )


def _short(digest: str) -> str:
    return digest[:_SHOWN]
