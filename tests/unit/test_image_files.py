"""Dockerfiles of our images: fixed bases, no root, the releases and paths that the components expect."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from components.java import AGENT, LIBRARIES
from components.k8s import UID
from components.versions import IMAGES, OURS, group, release
from lab.paths import CHECKOUT
from lab.toolchain import recipes
from ops.images.catalogue import chosen
from ops.images.pins import pinned
from tests.unit.test_upstream_images import containers, programs

DOCKERFILES = {image.name: image.dockerfile for image in chosen([], only=OURS)}
NAMES = tuple(DOCKERFILES)
GIVEN = {
    "java": "openjdk-17-jre-headless",
    "python3": "python3-minimal",
    "/usr/bin/python3": "python3-minimal",
    "bash": "",
    "/otelcol": "",
}
"""Program that pods run -> Debian package that an image of ours must install for it; empty: in the base, or built."""
_PINNED = re.compile(r"[a-z0-9.-]+\.[a-z]+/\S+:[a-z]*-?[\d.]+[\w.-]*@sha256:[0-9a-f]{64}")
_FOLLOWED = re.compile(r"\\\n\s*")


def instructions(name: str) -> list[tuple[str, str]]:
    """Instructions of an image's Dockerfile with their arguments, without comments."""
    text = DOCKERFILES[name].read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in _FOLLOWED.sub(" ", lines).splitlines())
        if word
    ]


def stages(name: str) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Stage of an image's Dockerfile -> what it is built from, and its instructions."""
    known: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    steps: list[tuple[str, str]] = []
    for word, rest in instructions(name):
        if word == "FROM":
            parent, _, stage = rest.partition(" AS ")
            known[stage] = parent, (steps := [])
        else:
            steps.append((word, rest))
    return known


def target(name: str) -> list[tuple[str, str]]:
    """Instructions of what becomes the image, those of the stages that its stage begins with first."""
    steps: list[tuple[str, str]] = []
    stage = name
    while stage in stages(name):
        stage, own = stages(name)[stage]
        steps = own + steps
    return steps


def test_each_image_of_ours_has_a_dockerfile_and_there_are_no_others() -> None:
    assert set(CHECKOUT.glob("images/*/Dockerfile")) == set(DOCKERFILES.values())
    assert [name for name in NAMES if name not in stages(name)] == []
    assert set(NAMES) == {name for name in IMAGES if group(name) == OURS}


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_no_root_no_volume_and_a_program(name: str) -> None:
    stage = target(name)
    words = [word for word, _ in stage]
    assert [rest for word, rest in stage if word == "USER"] == [f"{UID}:{UID}"]
    assert words.count("ENTRYPOINT") == 1
    assert words[-1] in {"USER", "ENTRYPOINT", "CMD"}
    assert "VOLUME" not in words
    assert "ADD" not in words


@pytest.mark.parametrize("name", NAMES)
def test_what_an_image_is_built_from_names_a_registry_a_release_and_a_digest(name: str) -> None:
    arguments = dict(rest.partition("=")[::2] for word, rest in instructions(name) if word == "ARG")
    parents = {parent for parent, _ in stages(name).values()} - set(stages(name))
    assert parents
    for parent in parents:
        reference = arguments[parent[2:-1]] if parent.startswith("${") else parent
        assert reference == "scratch" or _PINNED.fullmatch(reference), reference


def test_one_release_of_a_base_is_one_digest_in_all_dockerfiles() -> None:
    bases = {rest for name in NAMES for word, rest in instructions(name) if word == "ARG" and rest.startswith("BASE=")}
    assert len(bases) == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_a_dockerfile_copies_is_there_and_not_ignored(name: str) -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    admitted = [line[1:] for line in ignored if line.startswith("!")]
    sources = [
        source
        for word, rest in instructions(name)
        if word == "COPY" and "--from=" not in rest
        for source in shlex.split(rest)[:-1]
    ]
    assert sources
    for source in sources:
        assert (CHECKOUT / source).exists(), source
        assert any(Path(source).is_relative_to(path) for path in admitted), source


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_the_programs_that_its_pods_run(name: str) -> None:
    used = {
        program
        for stack in ("local", "prod")
        for image, container in containers(stack)
        if image == name
        for program in programs(container)
    }
    assert used
    installed = " ".join(rest for word, rest in target(name) if word == "RUN").split()
    assert [program for program in used if GIVEN[program] and GIVEN[program] not in installed] == []


def test_programs_of_ours_find_their_modules() -> None:
    for name in ("services", "backup", "reports"):
        variables = dict(
            pair.partition("=")[::2] for word, rest in target(name) if word == "ENV" for pair in shlex.split(rest)
        )
        folders = variables["PYTHONPATH"].split(":")
        copied = {rest.split()[-1] for word, rest in target(name) if word == "COPY"}
        assert [folder for folder in folders if folder not in copied] == []


def test_releases_are_those_of_the_list() -> None:
    assert {
        artifact.rpartition(":")[2] for artifact in recipes.kafka_artifacts() if artifact.startswith("org.apache.kafka")
    } == {release("kafka")}
    assert recipes.search_server().version == release("opensearch")
    agents = [artifact.split(":")[1:] for artifact in recipes.kafka_artifacts() if "javaagent" in artifact]
    assert [f"{LIBRARIES}/{name}-{version}.jar" for name, version in agents] == [AGENT]
    builder = yaml.safe_load((CHECKOUT / "collector" / "builder.yaml").read_text())
    modules = [part["gomod"] for kind in recipes.collector_modules() for part in builder[kind] if "import" not in part]
    assert {module.split()[1] for module in modules} == {f"v{release('otelcol')}"}
    runs = " ".join(rest for word, rest in instructions("otelcol") if word == "RUN")
    assert f"cmd/builder@v{release('otelcol')} " in runs
    assert builder["dist"]["version"] == release("otelcol")


def test_a_package_that_nobody_pins_is_not_left_out() -> None:
    assert pinned(["PyYAML", "psycopg"], CHECKOUT)[1].startswith("psycopg[binary,pool]==")
    with pytest.raises(KeyError, match="nonesuch"):
        pinned(["PyYAML", "nonesuch"], CHECKOUT)


def test_the_collector_is_built_with_the_go_that_its_module_asks_for() -> None:
    required = re.search(r"^go (\d+\.\d+)", (CHECKOUT / "collector" / "go.mod").read_text(), re.MULTILINE)
    assert required is not None
    [base] = [rest for word, rest in instructions("otelcol") if word == "ARG" and rest.startswith("GO=")]
    assert re.match(rf"GO=docker\.io/library/golang:{re.escape(required[1])}\.\d+-bookworm@", base)
    assert f"Go {required[1]}," in (CHECKOUT / "README.md").read_text()
