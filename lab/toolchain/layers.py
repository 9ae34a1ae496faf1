"""Layers of container images: a cache key and a function that fills a folder, kept as a tar in the cache.

Among them are those of our own Python programs: their packages and their sources.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.paths import CHECKOUT, cache_root
from lab.toolchain import tools
from lab.toolchain.recipes import RECIPES
from lab.toolchain.tools import SOURCES, atomically, fingerprint, locked, run_logged
from ops.images.pins import names, pinned

_OPEN_FILES = SOURCES / "open-files" / "open-files.c"
OPEN_FILES_PLACE = "/opt/lab/open-files.so"
"""Where a search server's image has the library of `open_files_library`."""
PYTHON_PATH = ("/opt/app", "/opt/app/site")
WEB_EXTRAS_PATH = (*PYTHON_PATH, "/opt/app/web_extras")
"""Where the images with `web_extras` look for modules."""
_IMAGES = CHECKOUT / "images"
REQUIREMENTS = names(_IMAGES / "packages.txt")
WEB_EXTRAS_REQUIREMENTS = names(_IMAGES / "web_extras.txt")
"""Names in the project's requirements: of `packages`, and of `web_extras`."""
_SOURCES = (
    "services",
    "lab/__init__.py",
    "lab/simulator",
    "lab/fakes/__init__.py",
    "lab/fakes/grafana",
    "lab/fakes/identity",
    "components/__init__.py",
    "components/telemetry",
)
_SUFFIXES = (".css", ".html", ".j2", ".json", ".py", ".toml", ".yaml")
_GRAFANA = "usr/share/grafana/bin/grafana"
_GRAFANA_SCRIPT = '#!/bin/sh\nexec python3 -m lab.fakes.grafana "$@"\n'
_DISTRIBUTION = re.compile(r"\./opt/app/site/([^/]+)-([^/-]+)\.dist-info")


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


def packages() -> Layer:
    """What every program of ours needs."""
    pins = pinned(REQUIREMENTS, CHECKOUT)
    return Layer(f"python-{short_digest(pins)}", lambda root: _install(pins, root / "opt" / "app" / "site"))


def web_extras() -> Layer:
    """What programs with a user interface need besides: web pages, charts, PDFs, a database, a directory.

    What is in `packages` too has the same version here.
    """
    pins, common = pinned(WEB_EXTRAS_REQUIREMENTS, CHECKOUT), packages()

    def fill(root: Path) -> None:
        constraints = root.parent / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in _installed(common)))
        _install(pins, root / "opt" / "app" / "web_extras", "--constraint", str(constraints))

    return Layer(f"python-web-extras-{short_digest((pins, common.key))}", fill)


def sources() -> Layer:
    """Our programs and the data files that they read."""
    files: list[Path] = []
    for source in _SOURCES:
        path = CHECKOUT / source
        files += [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(CHECKOUT)).encode() + file.read_bytes())

    def fill(root: Path) -> None:
        for file in files:
            target = root / "opt" / "app" / file.relative_to(CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)

    return Layer(f"services-{digest.hexdigest()[:10]}", fill)


def grafana_program() -> Layer:
    """Grafana's fake at the place where the real image has Grafana, so that pods start both alike."""

    def fill(root: Path) -> None:
        script = root / _GRAFANA
        script.parent.mkdir(parents=True)
        script.write_text(_GRAFANA_SCRIPT)
        script.chmod(0o755)

    return Layer(f"grafana-fake-{short_digest((_GRAFANA, _GRAFANA_SCRIPT))}", fill)


def _install(pins: list[str], target: Path, *options: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(target), *options, *pins]
    run_logged(command, cwd=CHECKOUT, log=cache_root() / "logs" / "services-packages.log")


def _installed(layer: Layer) -> list[str]:
    """Packages of a layer, as pip's constraints."""
    with tarfile.open(layer.ensure()) as archive:
        distributions = {match.groups() for name in archive.getnames() if (match := _DISTRIBUTION.match(name))}
    return [f"{name}=={version}" for name, version in sorted(distributions)]
