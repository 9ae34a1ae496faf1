"""Container images of every workload, in one place.

The registry and the digests come from the settings; what is fixed here is which release the configuration is written
and tested for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

IMAGES: Mapping[str, str] = MappingProxyType(
    {
        "kafka": "obs/kafka:4.3.1",
        "otelcol": "obs/otelcol:0.149.0",
        "prometheus": "prom/prometheus:v3.16.0",
        "alertmanager": "prom/alertmanager:v0.31.1",
        "blackbox-exporter": "prom/blackbox-exporter:v0.28.0",
        "thanos": "thanosio/thanos:v0.42.0",
        "services": "obs/services:1",
        "opensearch": "obs/opensearch:2.19.4",
        "elasticsearch": "elasticsearch/elasticsearch:8.19.21",
        "jaeger": "jaegertracing/jaeger:2.13.0",
        "oauth2-proxy": "oauth2-proxy/oauth2-proxy:v7.15.6",
        "grafana": "grafana/grafana:12.3.1",
        "postgres": "library/postgres:15-bookworm",
        "postgres-exporter": "prometheuscommunity/postgres-exporter:v0.19.1",
        "kube-state-metrics": "kube-state-metrics/kube-state-metrics:v2.18.0",
        "reports": "obs/reports:1",
        "backup": "obs/backup:1",
    }
)
"""Short name -> ``repository:tag``."""


OURS = "obs"
"""Group of the images that are built from this repository, and the first part of their repositories."""
UPSTREAM = "upstream"
"""Group of the images that run as their makers publish them (images/upstream.yaml)."""
GROUPS = (OURS, UPSTREAM)


def group(image: str) -> str:
    """The group of an image.

    Raises:
        KeyError: The image is not in `IMAGES`.
    """
    return OURS if IMAGES[image].startswith(f"{OURS}/") else UPSTREAM


def release(image: str) -> str:
    """The release that an image holds, for example ``0.31.1``.

    Raises:
        KeyError: The image is not in `IMAGES`.
    """
    return IMAGES[image].rpartition(":")[2].removeprefix("v")


@dataclass(frozen=True, kw_only=True)
class ImageCatalogue:
    """Turns a short image name into the full reference that a pod uses.

    Attributes:
        registry: Host (and path) that serves the images.
        registries: Group -> registry that serves its images instead.
        digests: Short name -> ``sha256:...``; an image without an entry is pinned by its tag only.
    """

    registry: str
    registries: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def full_name(self, image: str) -> str:
        """Full reference of an image, for example ``registry.example/obs/kafka:4.3.1@sha256:...``.

        Raises:
            KeyError: The image is not in ``IMAGES``.
        """
        registry, digest = self.registries.get(group(image), self.registry), self.digests.get(image)
        return f"{registry}/{IMAGES[image]}" + (f"@{digest}" if digest else "")
