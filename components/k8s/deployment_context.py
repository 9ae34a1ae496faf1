"""What every component needs to know about the platform that it is deployed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from components import naming
from components.versions import ImageCatalogue


@dataclass(frozen=True, kw_only=True)
class CertificatePolicy:
    """Life of the workload certificates, as Go durations (``2160h``)."""

    duration: str
    renew_before: str


@dataclass(frozen=True, kw_only=True)
class DnsPods:
    """Pods that answer DNS questions: all labels, in the namespace of that name."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class DnsServers:
    """Where DNS questions may go besides the pods of ``kube-dns``.

    Attributes:
        networks: Networks, for example the address of a cache on each node.
        pods: Pods with other labels.
    """

    networks: Sequence[str] = ()
    pods: Sequence[DnsPods] = ()


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint of nodes that pods stand, as Kubernetes reads it; what is None is left out.

    Attributes:
        key: Of the taint; None: any.
        operator: Whether its value has to be equal.
        value: Its value.
        effect: What it does to pods that do not stand it; None: any.
        seconds: How long a pod stays once the taint is there; None: for ever.
    """

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """On which nodes the pods of a stage run, how urgent they are, on which volumes, and who they are to a cloud.

    Attributes:
        node_selector: Labels of the nodes.
        tolerations: Taints that the pods stand.
        priority_class: Name of a PriorityClass, or None.
        storage_class: StorageClass of its volumes, or None for the platform's.
        service_account_annotations: For example the role in a cloud.
    """

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Toleration] = ()
    priority_class: str | None = None
    storage_class: str | None = None
    service_account_annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DeploymentContext:
    """Names, issuer and images of one platform.

    Attributes:
        platform: Name of the platform.
        region: Region it runs in.
        namespace: Name of its namespace, for DNS names and other texts.
        namespace_ref: The same name as an Output of the Namespace: every object uses it, so it is created after it.
        cluster_domain: DNS domain of the cluster.
        issuer: cert-manager Issuer of workload certificates.
        images: Where images come from.
        certificates: Life of certificates.
        storage_class: StorageClass of every claim whose stage names none.
        dns: Where DNS questions may go besides the pods of ``kube-dns``.
        pull_secrets: Names of Secrets in the namespace that images are pulled with.
        placements: Stage -> where its pods run; nothing is said of a stage that is not in it.
        size_recommendations: Whether a vertical autoscaler recommends sizes for every workload; it changes none.
    """

    platform: str
    region: str
    namespace: str
    namespace_ref: pulumi.Input[str]
    cluster_domain: str
    issuer: str
    images: ImageCatalogue
    certificates: CertificatePolicy
    storage_class: str
    dns: DnsServers = field(default_factory=DnsServers)
    pull_secrets: Sequence[str] = ()
    placements: Mapping[str, Placement] = field(default_factory=dict)
    size_recommendations: bool = False

    def placement(self, owner: pulumi.Resource) -> Placement:
        """Where the pods of a component run: its stage is the middle of its type, ``obs:<stage>:<class>``."""
        _, _, rest = owner.pulumi_resource_type.partition(":")
        return self.placements.get(rest.partition(":")[0], Placement())

    def image(self, name: str) -> str:
        """Full image reference of a short name of ``components.versions``."""
        return self.images.full_name(name)

    def host(self, service: str) -> str:
        """DNS name of a Service of this platform."""
        return naming.service_host(service, self.namespace, self.cluster_domain)

    def pod_host(self, workload: str, index: int) -> str:
        """DNS name of a StatefulSet's pod."""
        return naming.pod_host(workload, index, self.namespace, self.cluster_domain)

    def srv(self, workload: str, port_name: str = naming.METRICS_PORT) -> str:
        """SRV name that lists every pod of a workload with one of its ports."""
        return f"_{port_name}._tcp.{self.host(naming.headless(workload))}"
