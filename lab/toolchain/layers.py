"""Layers of container images: a cache key and a function that fills a folder, kept as a tar in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.paths import cache_root
from lab.toolchain import tools
from lab.toolchain.recipes import RECIPES
from lab.toolchain.tools import SOURCES, atomically, fingerprint, locked, run_logged


@dataclass(frozen=True)
class Layer:
    """One layer: a cache key and the function that fills the layer's root folder."""

    key: str
    fill: Callable[[Path], None]

    @property
    def tar(self) -> Path:
        """The layer in the cache."""
        return cache_root() / "layers" / self.key / "layer.tar"

    @property
    def digest(self) -> str:
        """``sha256:...`` of the tar, which is built for it where it is not there."""
        tar, noted = self.ensure(), self.tar.with_name("digest")
        if not noted.exists():
            draft = noted.with_name(f"digest.{os.getpid()}")
            draft.write_text(f"sha256:{file_digest(tar)}")
            draft.replace(noted)
        return noted.read_text()

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


def bytes_digest(content: bytes) -> str:
    """``sha256:...`` of a text."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


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
