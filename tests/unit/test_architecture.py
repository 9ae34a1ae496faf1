"""Who may import whom: the table of docs/architecture.md, which readers and this test share."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("components", "ops")
OURS = ("components", "stacks", "policy", "services", "ops", "lab", "tests")


def table(page: str) -> dict[str, tuple[str, ...]]:
    """Folder -> folders that it may import."""
    allowed: dict[str, tuple[str, ...]] = {}
    for row in re.findall(r"^\| `.*$", page.partition("<!-- imports -->")[2].partition("<!-- /imports -->")[0], re.M):
        folders, _, imports = (re.findall(r"`([^`]+)`", cell) for cell in row[2:].rstrip("|").split(" | ", 2))
        allowed |= dict.fromkeys(folders, tuple(imports))
    return allowed


ALLOWED = table(PAGE.read_text())
MODULES = {row for row in ALLOWED if (ROOT / row).with_suffix(".py").is_file()}
"""Rows of packages that are one file."""
COMPONENTS = sorted(ROOT.glob("components/**/*.py"))


def imports(file: Path) -> Iterator[str]:
    """Paths of our own modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.replace(".", "/") for name in names if name.partition(".")[0] in OURS)


def within(module: str, folder: str) -> bool:
    return module == folder or module.startswith(f"{folder}/")


def directly_in_components(module: str) -> bool:
    return module.startswith("components/") and (ROOT / "/".join(module.split("/")[:2])).with_suffix(".py").is_file()


def of_ops(folder: str) -> tuple[str, ...]:
    return ALLOWED["ops"] if within(folder, "ops") else ()


def of_package(file: Path) -> tuple[str, ...]:
    """What the row of a file's own package, or of a module that is one, allows where all packages are looked at."""
    return next(
        (
            ALLOWED[row]
            for parts in (file.parts[-3:-1], file.with_suffix("").parts[-2:])
            if (row := "/".join(parts)) in ALLOWED
        ),
        (),
    )


def of_settings(module: str) -> bool:
    """Whether the Pulumi program may import a name: one of a program's package, or of the settings of the runtime."""
    if within(module, "services/runtime"):
        return within(module, "services/runtime/settings")
    return re.fullmatch(r"services/\w+(/\w+)?", module) is not None and not of_a_module(module)


def of_a_module(name: str) -> bool:
    """Whether a name is that of a module or a folder below a package."""
    return name.count("/") > 1 and ((ROOT / name).is_dir() or (ROOT / name).with_suffix(".py").is_file())


def refused(folder: str, file: Path) -> list[str]:
    return [
        module
        for module in imports(file)
        if not any(
            within(module, allowed) for allowed in (folder, *ALLOWED[folder], *of_ops(folder), *of_package(file))
        )
        and not (within(folder, "components") and directly_in_components(module))
        and not (folder.partition("/")[0] in ("components", "stacks") and of_settings(module))
    ]


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_the_architecture_allows(folder: str) -> None:
    path = ROOT / folder
    files = [path.with_suffix(".py")] if folder in MODULES else sorted(path.rglob("*.py"))
    assert files, f"{folder} of docs/architecture.md is not there"
    refusals = {str(file.relative_to(ROOT)): modules for file in files if (modules := refused(folder, file))}
    assert refusals == {}


RENDERED = sorted(
    file
    for file in ROOT.glob("services/*/__init__.py")
    if re.search(rf"services\.{file.parent.name} import", "".join(map(Path.read_text, COMPONENTS)))
)


@pytest.mark.parametrize("file", RENDERED, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_settings_model_brings_nothing_into_the_pulumi_program(file: Path) -> None:
    names = {
        name
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in others} <= {"pydantic", "pydantic_core", "yaml", "services"}
    assert [name for name in others if name.startswith("services") and not of_settings(name.replace(".", "/"))] == []


def test_every_folder_with_code_has_a_row() -> None:
    folders = {file.relative_to(ROOT).parts[0] for name in OURS for file in (ROOT / name).glob("*.py")} - {"tests"}
    packages = {
        f"{file.parents[1].name}/{file.parent.name}" for of in PACKAGES for file in ROOT.glob(f"{of}/*/__init__.py")
    }
    assert (folders - {"components"}) | packages | MODULES == set(ALLOWED)


def test_no_package_of_ops_imports_one_that_imports_it() -> None:
    left = {folder: {other for other in ALLOWED[folder] if within(other, "ops")} for folder in ALLOWED}
    while free := {folder for folder, others in left.items() if not others}:
        left = {folder: others - free for folder, others in left.items() if folder not in free}
    assert left == {}


def test_a_stage_that_imports_another_one_is_found(tmp_path: Path) -> None:
    file = tmp_path / "component.py"
    file.write_text(
        "from components.kafka.component import Kafka\nfrom components import naming\nfrom components.k8s import a\n"
    )
    assert refused("components/gateway", file) == ["components/kafka/component/Kafka"]


def test_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`((?:components|stacks|policy|ops|lab|tests|evidence|docs)/[\w./*-]+)`", PAGE.read_text())
    there = [*MODULES, *(str(file.relative_to(ROOT).with_suffix("")) for file in ROOT.glob("components/*.py"))]
    assert [name for name in named if name not in there and not any(ROOT.glob(name.rstrip("/")))] == []


def test_nothing_about_a_group_is_asked_by_librdkafka() -> None:
    """Its administrator's client ends the process where a coordinator moves: see `ops.core.kafka`."""
    calls = re.compile(r"\.(?:describe|list|delete|alter)_consumer_group\w*\(")
    files = (
        file for folder in ("components", "stacks", "services", "ops", "lab") for file in ROOT.glob(f"{folder}/**/*.py")
    )
    assert [str(file.relative_to(ROOT)) for file in files if calls.search(file.read_text())] == []
