"""Checks of a maintenance that read what drills left behind, and what runs against what is pinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from ops import evidence
from ops.maintain.model import Tools
from ops.silences import span
from ops.verify.rows import Finding, listed


def fresh(name: str, title: str, limit: timedelta) -> Callable[[Tools], Finding]:
    """Whether the evidence of a drill is there, passed and young; what was never done is said to be never done."""

    def look(tools: Tools) -> Finding:
        finding, found = Finding(), evidence.newest(name)
        if found is None:
            finding.figures.append("never")
            finding.wrong.append(f"{title}: never done (no evidence in {evidence.FOLDER.name}/{name}/)")
            return finding
        age = tools.now - found.time
        finding.figures.append(f"{span(age)} ago")
        finding.expect(found.passed, f"{title} failed: {found.summary()}")
        finding.expect(age <= limit, f"{title}: {span(age)} ago, must be at most {span(limit)}")
        if found.passed:
            finding.seen.append(found.summary())
        return finding

    return look


def repository_and_tag(image: str) -> tuple[str, str]:
    """Repository and tag of an image's full name; a digest is not looked at."""
    name, _, _ = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")


def versions(pinned: Mapping[str, str]) -> Callable[[Tools], Finding]:
    """Whether pods run what is pinned (short name -> ``repository:tag``), and nothing that is not."""
    wanted = dict(repository_and_tag(image) for image in pinned.values())

    def look(tools: Tools) -> Finding:
        finding = Finding()
        images = sorted({image for pod in tools.context.kube.pods() for image in pod.images})
        unknown = []
        for image in images:
            repository, tag = repository_and_tag(image)
            known = next((each for each in wanted if repository == each or repository.endswith(f"/{each}")), None)
            if known is None:
                unknown.append(image)
            elif tag != wanted[known]:
                finding.wrong.append(f"{known} runs {tag or 'without a tag'}, pinned is {wanted[known]}")
            else:
                finding.seen.append(f"{known} {tag}")
        finding.expect(not unknown, f"not pinned: {listed(unknown)}")
        finding.expect(bool(images), "no pod runs")
        finding.figures.append(f"{len(images) - len(finding.wrong)} of {len(images)} images as pinned")
        return finding

    return look
