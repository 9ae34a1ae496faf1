"""The images of the embedded cluster: every one that pods name is built here, and has what its programs import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.versions import IMAGES, release
from lab.paths import CHECKOUT
from lab.toolchain import containers
from lab.toolchain.images import addon_images, server_images
from lab.toolchain.recipes import (
    COREDNS,
    METRICS_SERVER,
    PREVIOUS_KAFKA,
    PREVIOUS_KAFKA_LIBRARIES,
    RECIPES,
    VERTICAL_AUTOSCALER,
    MavenLibraries,
)
from ops.images.pins import names, pinned

NOT_RUN_HERE = {IMAGES["elasticsearch"]}
WITH_WEB_EXTRAS = {
    "backup",
    "backup_exporter",
    "runtime",
    "charts",
    "kafka_archive",
    "failover_agent",
    "regions",
    "report_server",
    "reports",
}
"""Programs that run in an image with the packages that people read from."""
LAB_IMAGES = CHECKOUT / "lab" / "images"


def test_every_image_that_pods_name_is_built_here() -> None:
    laid = [f"{image.repository}:{image.tag}" for image in (*addon_images(), *server_images())]
    from_files = {IMAGES[name] for name in {*containers.DOCKERFILES, *containers.LAB} - {containers.SIMULATOR}}
    assert len(set(laid)) == len(laid)
    assert from_files.isdisjoint(laid)
    of_the_node = {
        "lab/pause:1",
        f"coredns/coredns:{COREDNS}",
        f"metrics-server/metrics-server:{METRICS_SERVER}",
        f"autoscaling/vpa-recommender:{VERTICAL_AUTOSCALER}",
    }
    assert set(IMAGES.values()) - NOT_RUN_HERE == {*laid, *from_files} - of_the_node


def test_the_lab_builds_each_target_of_its_dockerfile() -> None:
    stages = re.findall(r"^FROM \$\{(\w+)\} AS (\w+)$", (LAB_IMAGES / "Dockerfile").read_text(), re.MULTILINE)
    assert {stage for _, stage in stages} == {*containers.LAB, "compiled"}
    assert {parent for parent, _ in stages} <= {"BASE", "SERVICES", "BACKUP", "OPENSEARCH"}


@pytest.mark.parametrize("line", re.findall(r"^COPY (?!--from)(.*)$", (LAB_IMAGES / "Dockerfile").read_text(), re.M))
def test_what_the_lab_copies_is_there_and_not_ignored(line: str) -> None:
    admitted = [
        entry[1:] for entry in (LAB_IMAGES / "Dockerfile.dockerignore").read_text().splitlines() if entry[0] == "!"
    ]
    for source in [word for word in line.split() if not word.startswith("--")][:-1]:
        assert (CHECKOUT / source).exists(), source
        assert any(Path(source).is_relative_to(entry) for entry in admitted), source


def test_an_image_is_another_one_when_a_file_that_it_copies_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "CHECKOUT", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM x AS y\nCOPY --from=x /a /b\nCOPY --chmod=755 program data /c/\n")
    (tmp_path / "program").write_text("1")
    (tmp_path / "data" / "__pycache__").mkdir(parents=True)

    def reference(parent: str = "base") -> str:
        return containers._reference("name", tmp_path / "Dockerfile", parent)

    known = [reference(), reference("other base")]
    (tmp_path / "data" / "__pycache__" / "x.pyc").write_text("")
    assert reference() == known[0]
    for file in ("program", "data/new"):
        (tmp_path / file).write_text("2")
        known.append(reference())
    assert len(set(known)) == len(known)


@pytest.mark.parametrize(
    ("known", "room", "thrown"), [(False, 2**12, True), (False, 2**20, False), (True, 2**12, False)]
)
def test_what_earlier_builds_left_is_thrown_away_where_it_is_too_much_and_one_has_to_be_built(
    known: bool, room: int, thrown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    monkeypatch.setattr(containers, "_ROOM_BYTES", room)
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(containers, "_buildah", lambda *arguments: commands.append(arguments) or "")
    monkeypatch.setattr(containers, "_present", lambda _: known)
    monkeypatch.setattr(containers, "base_image", lambda: "base")
    monkeypatch.setattr(containers, "_build_ours", lambda *_: None)
    (tmp_path / "containers" / "storage" / "overlay").mkdir(parents=True)
    (tmp_path / "containers" / "storage" / "overlay" / "layer").write_bytes(b"x" * 2**14)
    containers.build(["kafka"], [], make_room=True)
    assert (("rmi", "--all", "--force") in commands) == thrown


def test_kafka_before_is_built_of_the_same_files_with_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    monkeypatch.setattr(containers, "base_image", lambda: "base")
    present: list[str] = []
    copied: dict[str, str] = {}

    def buildah(*arguments: str, **_: object) -> str:
        if arguments[0] == "bud":
            folder = Path(arguments[-1])
            copied.update({str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()})
            present.append(arguments[arguments.index("--tag") + 1])
            assert arguments[arguments.index("--file") + 1] == str(CHECKOUT / "images/kafka/Dockerfile")
        return "1"

    monkeypatch.setattr(containers, "_buildah", buildah)
    monkeypatch.setattr(containers, "_present", lambda reference: reference in present)
    assert containers.build_previous_kafka() == "sha256:1"
    committed = {name: (CHECKOUT / name).read_text() for name in ("images/kafka/pom.xml", "images/kafka/classes.sh")}
    pom = committed["images/kafka/pom.xml"].replace(f">{release('kafka')}<", f">{PREVIOUS_KAFKA}<")
    assert copied == {**committed, "images/kafka/pom.xml": pom}
    assert pom != committed["images/kafka/pom.xml"]
    containers.build_previous_kafka()
    assert len(present) == 1, "it is built once"


def test_kafka_before_is_older_and_no_tool_that_everybody_builds() -> None:
    numbers = [tuple(map(int, version.split("."))) for version in (PREVIOUS_KAFKA, release("kafka"))]
    assert numbers[0] < numbers[1]
    assert PREVIOUS_KAFKA_LIBRARIES not in RECIPES
    [pinned_libraries] = [recipe for recipe in RECIPES if isinstance(recipe, MavenLibraries)]
    assert {artifact.replace(release("kafka"), PREVIOUS_KAFKA) for artifact in pinned_libraries.artifacts} == set(
        PREVIOUS_KAFKA_LIBRARIES.artifacts
    )


def with_dependencies(pins: Iterable[str]) -> set[str]:
    """Distributions that pip installs for requirements, as this machine's packages name them."""
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(pin) for pin in pins]
    while waiting:
        requirement = waiting.pop()
        for extra in (*requirement.extras, ""):
            known = (canonicalize_name(requirement.name), extra)
            if known in seen:
                continue
            seen.add(known)
            needed = map(Requirement, metadata.requires(requirement.name) or ())
            waiting += [
                requirement
                for requirement in needed
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def imported(folder: Path) -> set[str]:
    """Modules of other people that the programs below a folder import."""
    modules: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    return modules - sys.stdlib_module_names - {"services", "lab", "components", "ops"}


def absent(folder: Path, *lists: str) -> set[str]:
    """Modules that programs below a folder import and lists of packages do not bring."""
    packages = [name for file in lists for name in names(CHECKOUT / "images" / file)]
    present, by_module = with_dependencies(pinned(packages, CHECKOUT)), metadata.packages_distributions()
    return {
        module
        for module in imported(folder)
        if not {canonicalize_name(name) for name in by_module.get(module, ())} & present
    }


@pytest.mark.parametrize("program", sorted(path.parent.name for path in CHECKOUT.glob("services/*/__init__.py")))
def test_what_a_program_imports_is_in_its_image(program: str) -> None:
    web = ["web_extras.txt"] if program in WITH_WEB_EXTRAS else []
    assert absent(CHECKOUT / "services" / program, "packages.txt", *web) == set()


def test_what_the_fake_of_grafana_imports_is_in_the_image_that_it_is_built_from() -> None:
    assert absent(CHECKOUT / "lab" / "fakes" / "grafana", "packages.txt", "web_extras.txt") == set()


def test_the_fake_stands_where_the_real_image_has_grafana(tmp_path: Path) -> None:
    [line] = [line for line in (LAB_IMAGES / "Dockerfile").read_text().splitlines() if "grafana.sh" in line]
    assert line.split()[-2:] == ["lab/images/grafana.sh", "/usr/share/grafana/bin/grafana"]
    stand_in = tmp_path / "bin" / "python3"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    stand_in.chmod(0o755)
    given = ["server", "--homepath=/usr/share/grafana", "--config=/etc/grafana/a b.ini"]
    program = LAB_IMAGES / "grafana.sh"
    told = subprocess.run([program, *given], env={"PATH": str(stand_in.parent)}, capture_output=True, text=True)
    assert told.stdout.split("|")[:-1] == ["-m", "lab.fakes.grafana", *given]
