"""Container images of servers that others publish: layers of built tools, as registries have them (OCI). A layer is a
cache key and a function that fills a folder, kept as a tar in the cache.

Those that a cluster needs before it can pull are written as docker archives for containerd. Our images are built from
their Dockerfiles (`lab.toolchain.containers`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.versions import IMAGES
from lab.paths import cache_root
from lab.toolchain import tools
from lab.toolchain.recipes import COREDNS, METRICS_SERVER, RECIPES, VERTICAL_AUTOSCALER
from lab.toolchain.tools import SOURCES, atomically, fingerprint, locked, run_logged
from ops.images.registry import digest_of


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


REGISTRY = "registry.lab.internal"
_OCI = "application/vnd.oci.image"
_VARIABLES = ("PATH=/usr/local/bin:/usr/bin:/bin",)


@dataclass(frozen=True)
class Image:
    """An image: its repository and tag in the lab's registry name, and its layers from the bottom up."""

    repository: str
    tag: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Full reference, as the pods name it."""
        return f"{REGISTRY}/{self.repository}:{self.tag}"

    @property
    def key(self) -> str:
        """Identity of the content, for "is it imported already"."""
        return hashlib.sha256(
            "/".join((self.name, *self.entrypoint, *(layer.key for layer in self.layers))).encode()
        ).hexdigest()[:16]

    def config(self) -> bytes:
        """Its configuration (OCI image specification)."""
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": list(self.entrypoint), "Env": list(_VARIABLES)},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
                "history": [{"created_by": f"lab layer {layer.key}"} for layer in self.layers],
            }
        ).encode()

    def manifest(self) -> bytes:
        """Its manifest, whose digest is the image's."""
        config = self.config()
        described = {"mediaType": f"{_OCI}.config.v1+json", "digest": digest_of(config), "size": len(config)}
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{_OCI}.manifest.v1+json",
                "config": described,
                "layers": [
                    {
                        "mediaType": f"{_OCI}.layer.v1.tar",
                        "digest": layer.digest,
                        "size": layer.tar.stat().st_size,
                    }
                    for layer in self.layers
                ],
            }
        ).encode()

    def archive(self, target: io.BufferedIOBase) -> None:
        """Write the image as a docker archive."""
        config = self.config()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        paths = [f"{layer.digest.partition(':')[2]}/layer.tar" for layer in self.layers]
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


def addon_images() -> tuple[Image, ...]:
    """What the cluster itself runs: a cluster of one's own comes with these."""
    return (
        Image("lab/pause", "1", (pause(),), entrypoint=("/pause",)),
        Image("coredns/coredns", COREDNS, (programs("coredns", {"coredns": "/coredns"}),)),
        Image(
            "metrics-server/metrics-server",
            METRICS_SERVER,
            (programs("metrics-server", {"metrics-server": "/metrics-server"}),),
        ),
        Image(
            "autoscaling/vpa-recommender",
            VERTICAL_AUTOSCALER,
            (programs("vertical-pod-autoscaler", {"vpa-recommender": "/recommender"}),),
        ),
    )


def server_images() -> tuple[Image, ...]:
    """Servers of the platform that are one program each, under the names of ``components/versions.py``."""
    servers = {
        "otelcol": {"otelcol": "/otelcol"},
        "prometheus": {"prometheus": "/bin/prometheus", "promtool": "/bin/promtool"},
        "alertmanager": {"alertmanager": "/bin/alertmanager", "amtool": "/bin/amtool"},
        "blackbox-exporter": {"blackbox_exporter": "/bin/blackbox_exporter"},
        "thanos": {"thanos": "/bin/thanos"},
        "jaeger": {"jaeger": "/cmd/jaeger/jaeger-linux"},
        "oauth2-proxy": {"oauth2-proxy": "/bin/oauth2-proxy"},
        "postgres-exporter": {"postgres_exporter": "/bin/postgres_exporter"},
        "kube-state-metrics": {"kube-state-metrics": "/kube-state-metrics"},
    }

    def image(name: str, paths: dict[str, str]) -> Image:
        repository, _, tag = IMAGES[name].partition(":")
        return Image(repository, tag, (programs(name, paths),))

    return tuple(image(name, paths) for name, paths in servers.items())
