"""Kafka's image, built from its Dockerfile: Java finds its classes in the archive, with the flags of the pods."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence

import pytest

from components import java
from lab.toolchain import containers
from stacks.sizing import PRODUCTION, SMALL

pytestmark = pytest.mark.timeout(1800)
_LIMIT_S = 300
PROCESSES = {
    "small broker": (SMALL.broker.heap, SMALL.broker.flags),
    "small mirror": (SMALL.regions.mirror_heap, SMALL.regions.mirror_flags),
    "broker": (PRODUCTION.broker.heap, PRODUCTION.broker.flags),
    "controller": (PRODUCTION.controller.heap, PRODUCTION.controller.flags),
    "mirror": (PRODUCTION.regions.mirror_heap, PRODUCTION.regions.mirror_flags),
}


def buildah(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["buildah", *arguments],
        env=containers.environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A container of the image."""
    image = containers.build(["kafka"], [])["kafka"].removeprefix("sha256:")
    name = buildah("from", image).strip()
    try:
        buildah("run", name, "--", "bash", "-c", "cat > /tmp/jmx.yaml", given="rules: []\n")
        yield name
    finally:
        buildah("rm", name)


def sources(container: str, heap: str, flags: Sequence[str]) -> dict[str, str]:
    """Class -> where a program, which then only says how it is used, has it from."""
    command = java.command(
        heap=heap,
        flags=[*flags, "-Xlog:class+load:stdout"],
        log_file="/tmp/none.yaml",
        metrics="127.0.0.1:0:/tmp/jmx.yaml",
        main=["kafka.Kafka"],
    )
    said = buildah("run", container, "--", *command)
    assert "USAGE: java" in said, said[-2000:]
    lines = (line.partition("] ")[2].rpartition("] ")[2] or line for line in said.splitlines())
    return dict(line.strip().split(" source: ", 1) for line in lines if " source: " in line)


@pytest.mark.parametrize("process", PROCESSES)
def test_classes_come_from_the_archive_with_the_flags_of_a_pod(container: str, process: str) -> None:
    origins = sources(container, *PROCESSES[process])
    assert origins["kafka.Kafka$"].startswith("shared objects file"), origins["kafka.Kafka$"]
    archived = sum(source.startswith("shared objects file") for source in origins.values())
    assert archived > len(origins) / 2


def test_java_starts_without_an_archive_that_does_not_fit(container: str) -> None:
    compressed = "-XX:-UseCompressedOops"
    origins = sources(container, SMALL.broker.heap, (*SMALL.broker.flags, compressed))
    assert not origins["kafka.Kafka$"].startswith("shared objects file")


def test_the_class_path_has_an_order_of_its_own(container: str) -> None:
    arguments = buildah("run", container, "--", "cat", java.ARGUMENTS).splitlines()
    jars = arguments[-1].strip('"').split(":")
    files = buildah("run", container, "--", "ls", java.LIBRARIES).split()
    assert jars == sorted(f"{java.LIBRARIES}/{file}" for file in files)
