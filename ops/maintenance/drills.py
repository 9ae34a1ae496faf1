"""Checks of a maintenance that read what drills left behind, and what runs against what is pinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from ops.alerts.silences import span
from ops.core.rows import Finding, State, listed
from ops.evidence import files as evidence
from ops.maintenance.model import Tools


def fresh(name: str, title: str, limit: timedelta) -> Callable[[Tools], Finding]:
    """Whether the newest run of a drill on this platform passed, is not stale, and is at most ``limit`` old."""

    def check(tools: Tools) -> Finding:
        finding, drill = Finding(), tools.drills.judge(name)
        if drill.time is None or not drill.runs:
            finding.figures.append("never")
            problem = drill.summary if drill.time else f"no evidence in {evidence.FOLDER.name}/{name}/"
            finding.wrong.append(f"{title}: never done here ({problem}): run `{drill.command}`")
            return finding
        age = tools.now - drill.time
        finding.figures.append(f"{span(age)} ago")
        if drill.state is State.FAIL:
            finding.wrong.append(f"{title} failed: {drill.summary}: run `{drill.command}`")
        elif drill.state is State.STALE:
            finding.wrong.append(f"{title}: {drill.summary}: run `{drill.command}`")
        else:
            finding.seen.append(drill.summary)
        finding.expect(age <= limit, f"{title}: {span(age)} ago, must be at most {span(limit)}: run `{drill.command}`")
        return finding

    return check


def repository_and_tag(image: str) -> tuple[str, str]:
    """Repository and tag of an image's full name; a digest is not looked at."""
    name, _, _ = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")


def versions(pinned: Mapping[str, str]) -> Callable[[Tools], Finding]:
    """Whether pods run what is pinned (short name -> ``repository:tag``), and nothing that is not."""
    wanted = dict(repository_and_tag(image) for image in pinned.values())

    def run(tools: Tools) -> Finding:
        finding = Finding()
        images = sorted({image for pod in tools.context.kube.pods() for image in pod.images})
        unknown = []
        for image in images:
            repository, tag = repository_and_tag(image)
            known = next(
                (
                    wanted_name
                    for wanted_name in wanted
                    if repository == wanted_name or repository.endswith(f"/{wanted_name}")
                ),
                None,
            )
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

    return run
