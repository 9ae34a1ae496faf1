"""Container images of servers that others publish: layers of built tools, as registries have them (OCI).

Those that a cluster needs before it can pull are written as docker archives for containerd. Our images are built from
their Dockerfiles (`lab.toolchain.containers`).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

from components.versions import IMAGES
from lab.toolchain import containers, layers
from lab.toolchain.layers import Layer, bytes_digest, programs
from lab.toolchain.recipes import COREDNS, METRICS_SERVER, VERTICAL_AUTOSCALER

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
        described = {"mediaType": f"{_OCI}.config.v1+json", "digest": bytes_digest(config), "size": len(config)}
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
        Image("lab/pause", "1", (layers.pause(),), entrypoint=("/pause",)),
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


def build() -> dict[str, str]:
    """Build what the cache lacks of the platform's images: their packages come from outside of the lab's network.

    Returns:
        Short name of each image that is built from a Dockerfile -> its id.

    Raises:
        LabError: One cannot be built.
    """
    for image in server_images():
        for layer in image.layers:
            layer.ensure()
    return containers.build(make_room=True)
