"""Container images without a registry: layers from built tools, written as docker archives for containerd."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.paths import CHECKOUT, cache_root
from lab.toolchain import tools
from lab.toolchain.build import SOURCES, atomically, fingerprint, locked, run_logged
from lab.toolchain.recipes import COLLECTOR, KAFKA, OPENSEARCH, RECIPES

REGISTRY = "registry.lab.internal"
_OPEN_FILES = SOURCES / "open-files" / "open-files.c"
_OPEN_FILES_PLACE = "/opt/lab/open-files.so"
_BASE_PACKAGES = ("openjdk-17-jre-headless", "python3-minimal", "libpython3-stdlib")
_BASE_SUITE = "bookworm"
_PYTHON_REQUIREMENTS = (
    "confluent-kafka",
    "prometheus-client",
    "PyYAML",
    "bcrypt",
    "joserfc",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-grpc",
    "pydantic",
)
_SERVICE_SOURCES = ("services", "lab/__init__.py", "lab/simulator", "components/__init__.py", "components/telemetry")


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


@dataclass(frozen=True)
class Image:
    """An image: its repository and tag in the lab's registry name, and its layers from the bottom up."""

    repository: str
    tag: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Full reference, as the pods name it."""
        return f"{REGISTRY}/{self.repository}:{self.tag}"

    @property
    def key(self) -> str:
        """Identity of the content, for "is it imported already"."""
        return hashlib.sha256(
            "/".join((self.name, *self.entrypoint, *self.environment, *(layer.key for layer in self.layers))).encode()
        ).hexdigest()[:16]

    def archive(self, target: io.BufferedIOBase) -> None:
        """Write the image as a docker archive."""
        digests = [_sha256(layer.ensure()) for layer in self.layers]
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {
                    "Entrypoint": list(self.entrypoint),
                    "Env": [
                        "PATH=/usr/local/bin:/usr/bin:/bin",
                        "PYTHONPATH=/opt/app:/opt/app/site",
                        *self.environment,
                    ],
                },
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
                "history": [{"created_by": f"lab layer {layer.key}"} for layer in self.layers],
            }
        ).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        paths = [f"{digest}/layer.tar" for digest in digests]
        manifest = json.dumps([{"Config": name, "RepoTags": [self.name], "Layers": paths}]).encode()
        with tarfile.open(fileobj=target, mode="w|") as archive:
            for member, content in ((name, config), ("manifest.json", manifest)):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for path, layer in zip(paths, self.layers, strict=True):
                with layer.tar.open("rb") as content_file:
                    info = tarfile.TarInfo(path)
                    info.size = layer.tar.stat().st_size
                    archive.addfile(info, content_file)


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _programs(recipe_name: str, placed: dict[str, str]) -> Layer:
    recipe = next(recipe for recipe in RECIPES if recipe.name == recipe_name)

    def fill(root: Path) -> None:
        (root / "tmp").mkdir(mode=0o1777)
        for program, place in placed.items():
            target = root / place.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tools.path(program), target)
            target.chmod(0o755)

    return Layer(f"{recipe_name}-{recipe.version}-{fingerprint(recipe)}", fill)


def _pause() -> Layer:
    source = SOURCES / "pause" / "pause.c"

    def fill(root: Path) -> None:
        log = root.parent / "gcc.log"
        run_logged(["gcc", "-Os", "-static", "-s", "-o", str(root / "pause"), str(source)], cwd=root, log=log)

    return Layer(f"pause-{_sha256(source)[:10]}", fill)


def _base() -> Layer:
    """Debian with a Java runtime and Python, shared by every image that needs either."""

    def fill(root: Path) -> None:
        mirror = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        uris = [line.split()[0] for line in mirror.stdout.splitlines() if re.search(r"/debian/? ", line)]
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(_BASE_PACKAGES)}", _BASE_SUITE, str(root)]
        run_logged([*command, *uris[:1]], cwd=root.parent, log=cache_root() / "logs" / "debootstrap.log")
        for waste in (
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
            "var/lib/apt",
            "var/cache",
            "var/log",
            "dev",
        ):
            shutil.rmtree(root / waste, ignore_errors=True)
        for folder in ("dev", "var/log", "var/cache"):
            (root / folder).mkdir()

    return Layer(f"base-{_BASE_SUITE}-{hashlib.sha256(repr(_BASE_PACKAGES).encode()).hexdigest()[:10]}", fill)


def _kafka() -> Layer:
    recipe = next(recipe for recipe in RECIPES if recipe.name == "kafka")

    def fill(root: Path) -> None:
        shutil.copytree(tools.libraries("kafka"), root / "opt" / "kafka" / "libs")

    return Layer(f"kafka-{recipe.version}-{fingerprint(recipe)}", fill)


def open_files_library(target: Path) -> None:
    """Build the library that lets a search server start where root may not raise the number of open files."""
    command = ["gcc", "-O2", "-shared", "-fPIC", "-s", "-o", str(target), str(_OPEN_FILES)]
    run_logged(command, cwd=target.parent, log=target.parent / "gcc.log")


def _search() -> Layer:
    recipe = next(recipe for recipe in RECIPES if recipe.name == "opensearch")

    def fill(root: Path) -> None:
        home = root / "opt" / "opensearch"
        shutil.copytree(tools.search_home(), home)
        library = root / _OPEN_FILES_PLACE.lstrip("/")
        library.parent.mkdir(parents=True)
        open_files_library(library)
        (library.parent / "gcc.log").unlink()

    return Layer(f"opensearch-{recipe.version}-{fingerprint(recipe)}-{_sha256(_OPEN_FILES)[:6]}", fill)


def _pinned(names: Iterable[str]) -> list[str]:
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    pins = {line.partition("==")[0].lower(): line for line in lines if "==" in line}
    return [pins[name.lower()] for name in names]


def _python_packages() -> Layer:
    pins = _pinned(_PYTHON_REQUIREMENTS)

    def fill(root: Path) -> None:
        target = root / "opt" / "app" / "site"
        log = cache_root() / "logs" / "services-packages.log"
        run_logged(
            [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(target), *pins],
            cwd=root,
            log=log,
        )

    return Layer(f"python-{hashlib.sha256(repr(pins).encode()).hexdigest()[:10]}", fill)


def _service_sources() -> Layer:
    files = []
    for source in _SERVICE_SOURCES:
        path = CHECKOUT / source
        files += (
            [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix in (".py", ".yaml"))
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(CHECKOUT)).encode() + file.read_bytes())

    def fill(root: Path) -> None:
        for file in files:
            target = root / "opt" / "app" / file.relative_to(CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)

    return Layer(f"services-{digest.hexdigest()[:10]}", fill)


def images() -> tuple[Image, ...]:
    """Every image that the embedded cluster needs, under the names that ``components/versions.py`` gives them."""
    base = _base()
    return (
        Image("lab/pause", "1", (_pause(),), entrypoint=("/pause",)),
        Image("coredns/coredns", "1.14.7", (_programs("coredns", {"coredns": "/coredns"}),)),
        Image("obs/otelcol", COLLECTOR, (_programs("otelcol", {"otelcol": "/otelcol"}),)),
        Image(
            "prom/prometheus",
            "v3.16.0",
            (_programs("prometheus", {"prometheus": "/bin/prometheus", "promtool": "/bin/promtool"}),),
        ),
        Image(
            "prom/alertmanager",
            "v0.31.1",
            (_programs("alertmanager", {"alertmanager": "/bin/alertmanager", "amtool": "/bin/amtool"}),),
        ),
        Image(
            "prom/blackbox-exporter",
            "v0.28.0",
            (_programs("blackbox-exporter", {"blackbox_exporter": "/bin/blackbox_exporter"}),),
        ),
        Image("thanosio/thanos", "v0.42.0", (_programs("thanos", {"thanos": "/bin/thanos"}),)),
        Image("jaegertracing/jaeger", "2.13.0", (_programs("jaeger", {"jaeger": "/cmd/jaeger/jaeger-linux"}),)),
        Image(
            "oauth2-proxy/oauth2-proxy",
            "v7.15.6",
            (_programs("oauth2-proxy", {"oauth2-proxy": "/bin/oauth2-proxy"}),),
        ),
        Image("obs/kafka", KAFKA, (base, _kafka())),
        Image("obs/opensearch", OPENSEARCH, (base, _search()), environment=(f"LD_PRELOAD={_OPEN_FILES_PLACE}",)),
        Image("obs/services", "1", (base, _python_packages(), _service_sources())),
    )
