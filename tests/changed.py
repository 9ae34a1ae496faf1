"""Which unit tests a change can break: those that import what changed, the nearest first, as many as fit."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grimp

from lab.paths import cache_root
from tests import seconds

PACKAGES = ("components", "stacks", "ops", "lab", "services", "policy", "tests")
FOLDERS = ("tests/unit/", "tests/policy/")
"""Tests that need no server; the others are for ``make test``."""
SERVERS = ("tests/policy/test_engine.py", "tests/policy/test_mutations.py")
"""Files there that are for ``make test`` as well: they start the real engine, or judge every mutation."""
UNKNOWN_S = 3.0
"""Of a file that nobody has timed."""
_GIT_LIMIT_S = 30


@dataclass(frozen=True)
class Selection:
    """What is run.

    Attributes:
        files: Test files, those nearest to the change first.
        left_out: Test files that the change can break, for which there is no time.
        seconds: How long the files take, about, one after the other.
    """

    files: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float


def changed_files(root: Path, base: str | None = None) -> list[str]:
    """Files that differ from where this branch left ``base`` (default: origin/main, else main), and new ones.

    Where nothing differs: files of the last commit.

    Raises:
        ValueError: There is no such commit.
    """
    for name in [base] if base else ["origin/main", "main", "HEAD"]:
        try:
            changed = _since(_git(root, "merge-base", "HEAD", name).strip(), root)
        except ValueError:
            continue
        return changed or _since("HEAD~1", root)
    raise ValueError(f"no commit {base} to compare with: name another one with CHECK_BASE=")


def _since(commit: str, root: Path) -> list[str]:
    named = _git(root, "diff", "--name-only", "-z", "--no-renames", commit)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return sorted({part for part in (named + new).split("\0") if part})


def selected(files: Iterable[str], root: Path, budget_s: float, table: Mapping[str, float] | None = None) -> Selection:
    """Test files that a change can break, as many as fit.

    Args:
        files: What changed, relative to the checkout.
        root: The checkout.
        budget_s: Seconds of tests, one after the other; one file is run in any case.
        table: File -> seconds; default what is known.
    """
    distances = distance(files, root)
    ordered = sorted(distances, key=lambda file: (distances[file], file))
    takes = seconds.expected(ordered, UNKNOWN_S, table)
    chosen, left_out, total = [], [], 0.0
    for file in ordered:
        if chosen and total + takes[file] > budget_s:
            left_out.append(file)
        else:
            chosen.append(file)
            total += takes[file]
    return Selection(tuple(chosen), tuple(left_out), total)


def distance(files: Iterable[str], root: Path) -> dict[str, int]:
    """Test file -> how many imports lie between it and what changed."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=str(cache_root() / "imports"), exclude_type_checking_imports=False)
    at = _begin(list(files), graph.modules, root)
    reached, level = dict.fromkeys(at, 0), 0
    while at:
        level += 1
        at = {
            find_module for module in at for find_module in graph.find_modules_that_directly_import(module)
        } - reached.keys()
        reached.update(dict.fromkeys(at, level))
    tests = {f"{module.replace('.', '/')}.py": steps for module, steps in reached.items()}
    return {file: steps for file, steps in tests.items() if _is_test(file) and (root / file).is_file()}


def _begin(files: Sequence[str], modules: Iterable[str], root: Path) -> set[str]:
    """Modules from which to look: what changed; the folder of a conftest; whatever names a file that is no module, or
    looks for all files of its kind.
    """
    starts: set[str] = set()
    known = sorted(modules)
    for file in files:
        path = Path(file)
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        folder = ".".join(path.parent.parts)
        if path.name == "conftest.py":
            starts |= {name for name in known if name.startswith(f"{folder}.")}
        elif path.suffix == ".py":
            starts |= {module} & set(known)
        else:
            starts |= {name for name in known if _names(root, name, path.name, f'"*{path.suffix}"')}
    return starts


def _names(root: Path, module: str, *names: str) -> bool:
    file = root / f"{module.replace('.', '/')}.py"
    return file.is_file() and any(name in file.read_text() for name in names)


def _is_test(file: str) -> bool:
    return file.startswith(FOLDERS) and Path(file).name.startswith("test_") and file not in SERVERS


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=_GIT_LIMIT_S)
    if done.returncode:
        raise ValueError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
