"""Who may import whom: a stage reaches its neighbours through contracts only, and no product code knows the lab."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.sizing import PROFILES

ROOT = Path(__file__).parents[3]
PRODUCT = ("components", "stacks", "policy", "ops", "services")
SHARED = {"alerting", "contracts", "java", "login_proxy", "naming", "versions", "rules", "k8s", "telemetry"}
SHARED |= {"collector", "masking", "shards", "storage_roles", "web_access"}
"""Parts of components that any stage may use: contracts, helpers, the catalogue, and what both collectors share."""
STAGES = sorted(
    path.name
    for path in (ROOT / "components").iterdir()
    if path.is_dir() and (path / "__init__.py").exists() and path.name not in SHARED
)


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_other_stage(stage: str) -> None:
    for path in (ROOT / "components" / stage).rglob("*.py"):
        for module in _imports(path):
            parts = module.split(".")
            if parts[0] == "components" and len(parts) > 1:
                assert parts[1] in SHARED | {stage}, f"{path.relative_to(ROOT)} imports {module}"
            assert parts[0] != "stacks", f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("shared", sorted(SHARED))
def test_shared_code_imports_no_stage(shared: str) -> None:
    base = ROOT / "components"
    files = [*(base / shared).rglob("*.py")] or [base / f"{shared}.py"]
    for path in files:
        for module in _imports(path):
            parts = module.split(".")
            if parts[0] == "components" and len(parts) > 1:
                assert parts[1] in SHARED, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("package", PRODUCT)
def test_product_code_does_not_know_the_lab(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for module in _imports(path):
            assert module.split(".")[0] not in {"lab", "tests"}, f"{path.relative_to(ROOT)} imports {module}"


def test_only_settings_read_the_configuration() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for package in ("components", "stacks")
        for path in (ROOT / package).rglob("*.py")
        if "pulumi.Config(" in path.read_text()
    ]
    assert readers == ["stacks/secrets.py", "stacks/settings.py"]


def test_components_do_not_know_roles_or_profiles() -> None:
    for path in (ROOT / "components").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in PROFILES, f"{place} speaks of the profile {node.value}"
            if isinstance(node, ast.arg | ast.Attribute | ast.Name):
                name = {ast.arg: "arg", ast.Attribute: "attr", ast.Name: "id"}[type(node)]
                assert getattr(node, name) not in {"role", "stack", "profile"}, f"{place} asks for the role"
