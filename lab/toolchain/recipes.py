"""What is built, from which module and at which version. Pure data; `lab.toolchain.tools` does the work.

What the platform runs is built at the release that ``components/versions.py`` names; jars of Kafka, the search server
and parts of the collector are those of the Dockerfiles of our images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import yaml

from components.versions import release
from lab.paths import CHECKOUT
from ops.images.search_home import SearchServer, read

KUBERNETES = "1.34.4"
COREDNS = "1.14.7"
METRICS_SERVER = "0.8.0"
VERTICAL_AUTOSCALER = "1.8.1"
VERSITYGW = "1.8.0"
PULUMI = "3.259.0"
PULUMI_KUBERNETES = "4.25.0"
LOAD_GENERATOR = "obs-loadgen"
KEYCLOAK = "keycloak"
VICTORIA_LOGS = "victoria-logs"
VERTICAL_AUTOSCALER_MODULE = "k8s.io/autoscaler/vertical-pod-autoscaler"

PREVIOUS_KAFKA = "4.2.0"
"""Release before the platform's, with which a platform may begin (`python -m lab up --kafka previous`)."""

_KAFKA = release("kafka")
_PULUMI_KUBERNETES_MODULE = "v4.0.0-20260115033456-f47bc2d6f199"

KAFKA_POM = CHECKOUT / "images" / "kafka" / "pom.xml"
_SEARCH = CHECKOUT / "images" / "opensearch" / "server.json"
_BUILDER = CHECKOUT / "collector" / "builder.yaml"
_POM_NAMES = "{http://maven.apache.org/POM/4.0.0}"
_KINDS = ("receivers", "processors", "exporters", "connectors", "extensions")


def kafka_artifacts(version: str = "") -> tuple[str, ...]:
    """Artifacts of Kafka's image as ``group:name:version``; of a release of Kafka, or of the one that is pinned."""
    project = ElementTree.parse(KAFKA_POM).getroot()  # noqa: S314  (a file of this checkout)
    revision = version or project.findtext(f"{_POM_NAMES}properties/{_POM_NAMES}revision", "")
    return tuple(
        ":".join(
            dependency.findtext(f"{_POM_NAMES}{part}", "") for part in ("groupId", "artifactId", "version")
        ).replace("${revision}", revision)
        for dependency in project.iter(f"{_POM_NAMES}dependency")
    )


def search_server() -> SearchServer:
    """The search server of OpenSearch's image."""
    return read(_SEARCH)


def collector_modules() -> dict[str, tuple[str, ...]]:
    """Kind of component -> modules of the collector's release."""
    return {kind: tuple(part["gomod"].split()[0] for part in parts if "import" not in part) for kind, parts in _parts()}


def collector_packages() -> dict[str, tuple[str, ...]]:
    """Kind of component -> packages of our own module."""
    own = {
        kind: tuple(part["import"].rpartition("/")[2] for part in parts if "import" in part) for kind, parts in _parts()
    }
    return {kind: packages for kind, packages in own.items() if packages}


def _parts() -> list[tuple[str, list[Mapping[str, str]]]]:
    manifest: Mapping[str, Any] = yaml.safe_load(_BUILDER.read_text(encoding="utf-8"))
    return [(kind, manifest[kind]) for kind in _KINDS]


@dataclass(frozen=True, kw_only=True)
class GoTool:
    """Static Go programs of one module.

    Attributes:
        name: Cache key and log name.
        version: What users know it by.
        module: Module path at ``module_version``.
        programs: Binary name -> package path. Several are built at once: each has the name of its package.
        source: Folder under ``lab/toolchain/src`` with our own ``main.go``, for modules whose command is not served.
        copied: File of the module -> file beside our ``main.go`` (for ``go:embed``).
        requires: Further modules, ``path@version``.
    """

    name: str
    version: str
    module: str
    module_version: str
    programs: dict[str, str]
    tags: tuple[str, ...] = ()
    ldflags: str = "-s -w"
    source: str = ""
    copied: dict[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Collector:
    """An OpenTelemetry Collector with the components that the platform uses, and no others.

    Attributes:
        components: Kind as the builder names it -> modules of ``version``.
        folder: Go module of this checkout with our own components; its content is part of the key.
        own: Kind -> packages of that module.
    """

    name: str
    version: str
    components: dict[str, tuple[str, ...]]
    folder: str
    own: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class MavenLibraries:
    """Jars of a Java server: runtime dependencies of the listed artifacts."""

    name: str
    version: str
    artifacts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ExtendedServer(SearchServer):
    """A search server with a small plugin of this checkout, for what Maven Central does not have of it.

    Attributes:
        source: Folder under ``lab/toolchain/src`` with the plugin's Java sources; the plugin has its name.
        main_class: Class that the server loads.
    """

    source: str
    main_class: str


@dataclass(frozen=True, kw_only=True)
class OwnProgram:
    """A Go module of this checkout. What it is built from is part of its key, so no version tells it.

    Attributes:
        name: Cache key, log name and program.
        version: For people.
        folder: Where its ``go.mod`` is, from the checkout's root.
    """

    name: str
    version: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class ServerZip:
    """A server as its makers publish it.

    Attributes:
        name: Cache key and log name.
        version: What users know it by.
        artifact: ``group:artifact`` of its zip.
        sha256: Of the zip.
        prepare: Command line, run once in the unpacked folder.
    """

    name: str
    version: str
    artifact: str
    sha256: str
    prepare: tuple[str, ...]


Recipe = GoTool | Collector | MavenLibraries | SearchServer | ExtendedServer | ServerZip | OwnProgram


def _kubernetes() -> GoTool:
    stamp = "k8s.io/component-base/version"
    flags = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": "1",
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
        "gitCommit": "lab",
    }
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return GoTool(
        name="kubernetes",
        version=KUBERNETES,
        module="k8s.io/kubernetes",
        module_version=f"v{KUBERNETES}",
        programs={name: f"k8s.io/kubernetes/cmd/{name}" for name in names},
        ldflags="-s -w " + " ".join(f"-X {stamp}.{key}={value}" for key, value in flags.items()),
    )


def _prometheus_module() -> str:
    """Version of Prometheus' module: v0.316.0 is release 3.16.0."""
    major, minor, patch = release("prometheus").split(".")
    return f"v0.{major}{minor:0>2}.{patch}"


def _server(
    image: str,
    module: str,
    programs: dict[str, str],
    *,
    module_version: str = "",
    tags: tuple[str, ...] = (),
    version_variable: str = "",
) -> GoTool:
    """Programs of a server that the platform runs, at the release of its image.

    Args:
        image: Short name of its image.
        module: Path of its module.
        programs: Binary name -> package below the module.
        module_version: Version of the module, where it is not that of the release.
        tags: Build tags.
        version_variable: Go variable that tells the release; empty: the program knows it from its module.
    """
    version = release(image)
    return GoTool(
        name=image,
        version=version,
        module=module,
        module_version=module_version or f"v{version}",
        programs={name: f"{module}{package}" for name, package in programs.items()},
        tags=tags,
        ldflags="-s -w" + (f" -X {version_variable}={version}" if version_variable else ""),
    )


PREVIOUS_KAFKA_LIBRARIES = MavenLibraries(
    name="kafka", version=PREVIOUS_KAFKA, artifacts=kafka_artifacts(PREVIOUS_KAFKA)
)
"""Built only where somebody asks for it: it is none of `RECIPES`."""
_COMMON_VERSION = "github.com/prometheus/common/version.Version"
RECIPES: tuple[Recipe, ...] = (
    MavenLibraries(
        name="kafka",
        version=_KAFKA,
        artifacts=kafka_artifacts(),
    ),
    search_server(),
    ExtendedServer(
        name="elasticsearch",
        version=release("elasticsearch"),
        distribution=f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{release('elasticsearch')}",
        modules=(),
        plugins=(),
        source="elasticsearch-parts",
        main_class="lab.parts.Parts",
    ),
    _kubernetes(),
    GoTool(
        name="pulumi",
        version=PULUMI,
        module="github.com/pulumi/pulumi/pkg/v3",
        module_version=f"v{PULUMI}",
        programs={"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
        ldflags=f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",
    ),
    GoTool(
        name="pulumi-resource-kubernetes",
        version=PULUMI_KUBERNETES,
        module="github.com/pulumi/pulumi-kubernetes/provider/v4",
        module_version=_PULUMI_KUBERNETES_MODULE,
        programs={"pulumi-resource-kubernetes": "."},
        source="pulumi-resource-kubernetes",
        copied={
            "cmd/pulumi-resource-kubernetes/schema.json": "schema.json",
            "cmd/pulumi-resource-kubernetes/terraform-mapping.json": "mapping.json",
        },
    ),
    GoTool(
        name="cert-manager",
        version="1.21.2",
        module="github.com/cert-manager/cert-manager",
        module_version="v1.21.2",
        programs={"cert-manager": "."},
        source="cert-manager",
    ),
    GoTool(
        name="coredns",
        version=COREDNS,
        module="github.com/coredns/coredns",
        module_version=f"v{COREDNS}",
        programs={"coredns": "github.com/coredns/coredns"},
    ),
    GoTool(
        name="kube-router",
        version="2.1.0",
        module="github.com/cloudnativelabs/kube-router/v2",
        module_version="v2.1.0",
        programs={"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"},
    ),
    GoTool(
        name="metrics-server",
        version=METRICS_SERVER,
        module="sigs.k8s.io/metrics-server",
        module_version=f"v{METRICS_SERVER}",
        programs={"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
    ),
    GoTool(
        name="vertical-pod-autoscaler",
        version=VERTICAL_AUTOSCALER,
        module=VERTICAL_AUTOSCALER_MODULE,
        module_version=f"v{VERTICAL_AUTOSCALER}",
        programs={"vpa-recommender": f"{VERTICAL_AUTOSCALER_MODULE}/pkg/recommender"},
    ),
    Collector(
        name="otelcol",
        version=release("otelcol"),
        components=collector_modules(),
        folder="collector",
        own=collector_packages(),
    ),
    _server(
        "prometheus",
        "github.com/prometheus/prometheus",
        {"prometheus": "/cmd/prometheus", "promtool": "/cmd/promtool"},
        module_version=_prometheus_module(),
        tags=("remove_all_sd", "enable_dns_sd"),
        version_variable=_COMMON_VERSION,
    ),
    _server(
        "alertmanager",
        "github.com/prometheus/alertmanager",
        {"alertmanager": "/cmd/alertmanager", "amtool": "/cmd/amtool"},
        version_variable=_COMMON_VERSION,
    ),
    _server(
        "blackbox-exporter",
        "github.com/prometheus/blackbox_exporter",
        {"blackbox_exporter": ""},
        version_variable=_COMMON_VERSION,
    ),
    _server(
        "thanos",
        "github.com/thanos-io/thanos",
        {"thanos": "/cmd/thanos"},
        tags=("netgo", "slicelabels"),
        version_variable=_COMMON_VERSION,
    ),
    _server(
        "jaeger",
        "github.com/jaegertracing/jaeger",
        {"jaeger": "/cmd/jaeger", "es-rollover": "/cmd/es-rollover", "es-index-cleaner": "/cmd/es-index-cleaner"},
        module_version="v1.76.0",
    ),
    _server("oauth2-proxy", "github.com/oauth2-proxy/oauth2-proxy/v7", {"oauth2-proxy": ""}),
    _server(
        "postgres-exporter",
        "github.com/prometheus-community/postgres_exporter",
        {"postgres_exporter": "/cmd/postgres_exporter"},
        version_variable=_COMMON_VERSION,
    ),
    _server(
        "kube-state-metrics",
        "k8s.io/kube-state-metrics/v2",
        {"kube-state-metrics": ""},
        version_variable=_COMMON_VERSION,
    ),
    GoTool(
        name="versitygw",
        version=VERSITYGW,
        module="github.com/versity/versitygw",
        module_version=f"v{VERSITYGW}",
        programs={"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
        ldflags=f"-s -w -X main.Version=v{VERSITYGW}",
    ),
    GoTool(
        name="kubeconform",
        version="0.7.0",
        module="github.com/yannh/kubeconform",
        module_version="v0.7.0",
        programs={"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
    ),
    GoTool(
        name=VICTORIA_LOGS,
        version="1.52.1",
        module="github.com/VictoriaMetrics/VictoriaLogs",
        module_version="v1.52.1",
        programs={VICTORIA_LOGS: "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs"},
    ),
    OwnProgram(name=LOAD_GENERATOR, version="1", folder="collector/loadgen"),
    ServerZip(
        name=KEYCLOAK,
        version="26.7.3",
        artifact="org.keycloak:keycloak-quarkus-dist",
        sha256="27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f",
        prepare=("bin/kc.sh", "build", "--db=dev-mem"),
    ),
)
ON_DEMAND = frozenset({KEYCLOAK, VICTORIA_LOGS})
"""Names of the recipes that only drills and the bench beside a peer use: they ask for them, `make tools` does not."""
