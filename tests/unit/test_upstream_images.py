"""Images that run as their makers publish them: pods fit what images/upstream.yaml knows of these images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from components.versions import IMAGES, UPSTREAM, group, release
from ops.images.catalogue import Upstream, upstream
from tests.support import engine

NAMES = {repository: name for name, repository in IMAGES.items()}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pods(stack: str) -> Iterator[dict[str, Any]]:
    """Specifications of all pods of a stack."""
    for manifest in engine.recorded(stack).manifests():
        spec = manifest.get("spec", {})
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template")
        if template:
            yield template["spec"]


def containers(stack: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Short name of the image of each container, and the container."""
    for pod in pods(stack):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            repository = container["image"].partition("@")[0]
            yield next(name for known, name in NAMES.items() if repository.endswith(f"/{known}")), container


def programs(container: Mapping[str, Any]) -> set[str]:
    """What a container runs of its image: its command and those of its probes."""
    commands = [container["command"]]
    commands += [probe["exec"]["command"] for name in PROBES if "exec" in (probe := container.get(name, {}))]
    return {command[0] for command in commands}


def hidden(mounts: list[str], image: Upstream) -> list[str]:
    """What of an image and of the pod's volumes is covered: claims by volumes of the image, programs by mounts."""
    covered = [
        f"{mount} by the image's volume {volume}"
        for volume in image.volumes
        for mount in mounts
        if volume not in mounts and PurePosixPath(volume).is_relative_to(mount)
    ]
    return covered + [
        f"{program} by {mount}"
        for program in (*image.programs, image.entrypoint[0])
        for mount in mounts
        if program.startswith("/") and PurePosixPath(program).is_relative_to(mount)
    ]


def test_every_image_that_is_not_ours_is_known_and_no_other_one_is() -> None:
    assert set(upstream()) == {name for name in IMAGES if group(name) == UPSTREAM}


@pytest.mark.parametrize("name", sorted(upstream()))
def test_facts_are_of_the_release_or_of_a_commit_and_of_no_branch(name: str) -> None:
    revision = re.fullmatch(r"https://github\.com/[^/]+/[^/]+/blob/([^/]+)/\S+", upstream()[name].facts)
    assert revision is not None
    assert revision[1] == f"v{release(name)}" or re.fullmatch(r"[0-9a-f]{40}", revision[1])


@pytest.mark.parametrize("stack", engine.STACKS)
def test_no_volume_of_an_image_covers_a_mount_and_no_mount_a_program(stack: str) -> None:
    problems = {
        f"{name}/{container['name']}": covered
        for name, container in containers(stack)
        if name in upstream()
        and (covered := hidden([mount["mountPath"] for mount in container["volumeMounts"]], upstream()[name]))
    }
    assert problems == {}


def test_a_claim_above_the_volume_of_an_image_is_found() -> None:
    postgres = upstream()["postgres"]
    assert hidden(["/var/lib/postgresql", "/tmp"], postgres) == [
        "/var/lib/postgresql by the image's volume /var/lib/postgresql/data"
    ]
    assert hidden(["/var/lib/postgresql/data"], postgres) == []
    assert hidden(["/bin"], upstream()["thanos"]) == ["/bin/thanos by /bin", "/bin/thanos by /bin"]


@pytest.mark.parametrize("name", sorted(upstream()))
def test_what_pods_run_is_in_the_image_and_nothing_else_is_listed(name: str) -> None:
    used = {
        program
        for stack in engine.STACKS
        for image, container in containers(stack)
        if image == name
        for program in programs(container)
    }
    assert used == set(upstream()[name].programs)


@pytest.mark.parametrize("stack", engine.STACKS)
def test_no_pod_depends_on_the_user_of_an_image(stack: str) -> None:
    users = {
        (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"], pod["securityContext"]["fsGroup"])
        for pod in pods(stack)
    }
    assert users == {(65532, 65532, 65532)}
