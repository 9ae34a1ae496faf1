"""The package: one pin for each distribution, everything that code imports is asked for, entry points exist."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ops.core.platform import project_folder

ROOT = Path(__file__).resolve().parents[2]
OURS = {"components", "stacks", "policy", "services", "ops", "lab", "tests"}
PROGRAM, SERVICES, OPS, LAB = "program", "services", "ops", "lab"
NEEDS = {
    PROGRAM: PROGRAM,
    "components": PROGRAM,
    "stacks": PROGRAM,
    "policy": PROGRAM,
    "services": SERVICES,
    "ops": OPS,
    "lab": LAB,
}
"""Folder -> extra that has what it imports."""


@cache
def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return content


@cache
def asked_for(extra: str) -> dict[str, str]:
    """Distribution -> its line, of an extra and of those that it includes; the program's are always there."""
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    pending = [] if extra == PROGRAM else [extra]
    while pending:
        for line in project()["optional-dependencies"][pending.pop()]:
            included = re.fullmatch(r"obs-platform\[(\w+)\]", line)
            if included:
                pending.append(included[1])
            else:
                lines.append(line)
    return {re.split(r"\[|==", line)[0].lower().replace("_", "-"): line for line in lines}


def imported(folder: str) -> dict[str, Path]:
    """Top-level module -> one file that imports it."""
    files = [ROOT / "__main__.py"] if folder == PROGRAM else sorted((ROOT / folder).rglob("*.py"))
    modules: dict[str, Path] = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            modules |= {name.partition(".")[0]: file for name in names}
    return {name: file for name, file in modules.items() if name not in OURS | sys.stdlib_module_names | {"_typeshed"}}


@cache
def distributions() -> dict[str, list[str]]:
    """Module -> distributions that have it."""
    return dict(metadata.packages_distributions())


BROUGHT = {
    "botocore": "boto3",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "psycopg_pool": "psycopg",
    "google": "opentelemetry-proto",
    "grpc": "pulumi",
}
"""Module -> the pinned distribution that brings it."""


@pytest.mark.parametrize("folder", NEEDS)
def test_what_a_folder_imports_is_pinned_where_it_is_installed_from(folder: str) -> None:
    pinned = asked_for(NEEDS[folder])
    missing = {}
    for module, file in imported(folder).items():
        names = (
            {BROUGHT[module]}
            if module in BROUGHT
            else {name.lower().replace("_", "-") for name in distributions()[module]}
        )
        if not names & set(pinned):
            missing[module] = str(file.relative_to(ROOT))
    assert missing == {}


def test_each_distribution_is_pinned_once() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    lines += [line for extra in project()["optional-dependencies"].values() for line in extra if "==" in line]
    names = [re.split(r"\[|==", line)[0].lower() for line in lines]
    assert sorted(names) == sorted(set(names))


def test_entry_points_are_functions() -> None:
    for target in project()["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_folder_of_the_program_is_the_checkout_else_the_nearest_above(tmp_path: Path) -> None:
    checkout, installed = tmp_path / "checkout", tmp_path / "site-packages" / "ops"
    inside = checkout / "docs" / "runbooks"
    inside.mkdir(parents=True)
    (checkout / "Pulumi.yaml").touch()
    assert project_folder(checkout / "ops", tmp_path) == checkout
    assert project_folder(installed, inside) == checkout
    assert project_folder(installed, tmp_path) == tmp_path
    shown = [sys.executable, "-c", "from ops.core.platform import PROJECT; print(PROJECT)"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(shown, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.strip() == str(ROOT), "started outside of the checkout that holds it"
