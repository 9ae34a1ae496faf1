"""Container images: layers from built tools, with configuration and manifest as registries have them (OCI).

Those that a cluster needs before it can pull are written as docker archives for containerd.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

from components.versions import IMAGES
from lab.toolchain import class_archives, debian, layers
from lab.toolchain.layers import Layer, bytes_digest, programs
from lab.toolchain.recipes import COREDNS, METRICS_SERVER, VERTICAL_AUTOSCALER

REGISTRY = "registry.lab.internal"
_OCI = "application/vnd.oci.image"
_WEB_EXTRAS = (f"PYTHONPATH={':'.join(layers.WEB_EXTRAS_PATH)}",)
_DRAWING = (*_WEB_EXTRAS, "XDG_CACHE_HOME=/tmp/cache", "MPLCONFIGDIR=/tmp/matplotlib")


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

    @property
    def variables(self) -> list[str]:
        """Environment of its programs; what the image gives wins over what all images have."""
        common = ("PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHONPATH={':'.join(layers.PYTHON_PATH)}")
        named = {assignment.partition("=")[0]: assignment for assignment in (*common, *self.environment)}
        return list(named.values())

    def config(self) -> bytes:
        """Its configuration (OCI image specification)."""
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": list(self.entrypoint), "Env": self.variables},
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


def _platform_image(name: str, *image_layers: Layer, environment: tuple[str, ...] = ()) -> Image:
    """An image under the repository and tag that ``components/versions.py`` gives its short name."""
    repository, _, tag = IMAGES[name].partition(":")
    return Image(repository, tag, image_layers, environment=environment)


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


def platform_images() -> tuple[Image, ...]:
    """What the platform runs, under the names of ``components/versions.py``."""
    base, packages, web_extras = debian.base(), layers.packages(), layers.web_extras()
    sources = layers.sources()
    go_servers = {
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
    return (
        *(_platform_image(name, programs(name, paths)) for name, paths in go_servers.items()),
        _platform_image("kafka", base, layers.kafka(), class_archives.kafka_classes()),
        _platform_image("opensearch", base, layers.search(), environment=(f"LD_PRELOAD={layers.OPEN_FILES_PLACE}",)),
        _platform_image("services", base, packages, sources),
        _platform_image("postgres", base, debian.postgres()),
        _platform_image(
            "grafana", base, packages, web_extras, sources, layers.grafana_program(), environment=_WEB_EXTRAS
        ),
        _platform_image(
            "backup", base, packages, web_extras, debian.postgres_tools(), sources, environment=_WEB_EXTRAS
        ),
        _platform_image("reports", base, packages, web_extras, debian.typesetting(), sources, environment=_DRAWING),
    )


def build() -> None:
    """Build what the cache lacks of the platform's images: their packages come from outside of the lab's network."""
    for image in platform_images():
        for layer in image.layers:
            layer.ensure()
