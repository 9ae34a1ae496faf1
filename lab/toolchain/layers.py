"""Layers of container images: a cache key and a function that fills a folder, kept as a tar in the cache."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.paths import cache_root
from lab.toolchain import tools
from lab.toolchain.build import SOURCES, atomically, fingerprint, locked, run_logged
from lab.toolchain.recipes import RECIPES

_OPEN_FILES = SOURCES / "open-files" / "open-files.c"
OPEN_FILES_PLACE = "/opt/lab/open-files.so"
"""Where a search server's image has the library of `open_files_library`."""


@dataclass(frozen=True)
class Layer:
    """One layer: a cache key and the function that fills the layer's root folder."""

    key: str
    fill: Callable[[Path], None]

    @property
    def tar(self) -> Path:
        """The layer in the cache."""
        return cache_root() / "layers" / self.key / "layer.tar"

    def ensure(self) -> Path:
        """Build the layer unless it is cached."""
        if not self.tar.exists():
            with locked(f"layer-{self.key}"):
                if not self.tar.exists():
                    print(f"  building image layer {self.key} ...", file=sys.stderr, flush=True)
                    atomically(self.tar.parent, self._build)
        return self.tar

    def _build(self, work: Path) -> None:
        root = work / "root"
        root.mkdir()
        self.fill(root)
        with tarfile.open(work / "layer.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(root, arcname=".", filter=_as_root)
        shutil.rmtree(root)


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info


def short_digest(made_from: object) -> str:
    """Key of what a layer is made from."""
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:10]


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def programs(recipe_name: str, placed: dict[str, str]) -> Layer:
    """Programs of a tool, each at its place."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == recipe_name)

    def fill(root: Path) -> None:
        (root / "tmp").mkdir(mode=0o1777)
        for program, place in placed.items():
            target = root / place.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tools.path(program), target)
            target.chmod(0o755)

    return Layer(f"{recipe_name}-{recipe.version}-{fingerprint(recipe)}", fill)


def pause() -> Layer:
    """The program that holds a pod's namespaces."""
    source = SOURCES / "pause" / "pause.c"

    def fill(root: Path) -> None:
        log = root.parent / "gcc.log"
        run_logged(["gcc", "-Os", "-static", "-s", "-o", str(root / "pause"), str(source)], cwd=root, log=log)

    return Layer(f"pause-{file_digest(source)[:10]}", fill)


def kafka() -> Layer:
    """Kafka's jars."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == "kafka")

    def fill(root: Path) -> None:
        shutil.copytree(tools.libraries("kafka"), root / "opt" / "kafka" / "libs")

    return Layer(f"kafka-{recipe.version}-{fingerprint(recipe)}", fill)


def open_files_library(target: Path) -> None:
    """Build the library that lets a search server start where root may not raise the number of open files."""
    command = ["gcc", "-O2", "-shared", "-fPIC", "-s", "-o", str(target), str(_OPEN_FILES)]
    run_logged(command, cwd=target.parent, log=target.parent / "gcc.log")


def search() -> Layer:
    """The assembled search server."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == "opensearch")

    def fill(root: Path) -> None:
        home = root / "opt" / "opensearch"
        shutil.copytree(tools.search_home(), home)
        library = root / OPEN_FILES_PLACE.lstrip("/")
        library.parent.mkdir(parents=True)
        open_files_library(library)
        (library.parent / "gcc.log").unlink()

    return Layer(f"opensearch-{recipe.version}-{fingerprint(recipe)}-{file_digest(_OPEN_FILES)[:6]}", fill)
