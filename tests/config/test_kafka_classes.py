"""Kafka's image as the lab lays it: Java finds its classes in the image's archive, with the flags of its pods."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from components import java
from lab.toolchain import class_archives, debian, layers
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


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root folder of a container of the image."""
    root = tmp_path_factory.mktemp("image")
    class_archives.unpacked(root, debian.base(), layers.kafka(), class_archives.kafka_classes())
    (root / "tmp" / "jmx.yaml").write_text("rules: []\n")
    return root


def sources(image: Path, heap: str, flags: Sequence[str]) -> dict[str, str]:
    """Class -> where a program, which then only says how it is used, has it from."""
    command = java.command(
        heap=heap,
        flags=[*flags, "-Xlog:class+load:stdout"],
        log_file="/tmp/none.yaml",
        metrics="127.0.0.1:9404:/tmp/jmx.yaml",
        main=["kafka.Kafka"],
    )
    done = subprocess.run(
        class_archives.in_root(image, *command), capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    assert "USAGE: java" in done.stdout + done.stderr, done.stdout[-2000:] + done.stderr[-2000:]
    lines = (line.partition("] ")[2].rpartition("] ")[2] or line for line in done.stdout.splitlines())
    return dict(line.strip().split(" source: ", 1) for line in lines if " source: " in line)


@pytest.mark.parametrize("process", PROCESSES)
def test_classes_come_from_the_archive_with_the_flags_of_a_pod(image: Path, process: str) -> None:
    origins = sources(image, *PROCESSES[process])
    assert origins["kafka.Kafka$"].startswith("shared objects file"), origins["kafka.Kafka$"]
    archived = sum(source.startswith("shared objects file") for source in origins.values())
    assert archived > len(origins) / 2


def test_java_starts_without_an_archive_that_does_not_fit(image: Path) -> None:
    compressed = "-XX:-UseCompressedOops"
    origins = sources(image, SMALL.broker.heap, (*SMALL.broker.flags, compressed))
    assert not origins["kafka.Kafka$"].startswith("shared objects file")


def test_the_class_path_has_an_order_of_its_own(image: Path) -> None:
    arguments = (image / java.ARGUMENTS.lstrip("/")).read_text().splitlines()
    jars = arguments[-1].strip('"').split(":")
    assert jars == sorted(f"{java.LIBRARIES}/{file.name}" for file in (image / java.LIBRARIES.lstrip("/")).iterdir())
