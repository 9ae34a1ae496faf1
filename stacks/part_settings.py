"""Settings of the parts that every platform has: the cluster and its images, certificates, load and volumes, Kafka, the
gateway, Prometheus, search.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from components.cluster import EMBEDDED
from components.shards import ambiguous
from components.telemetry.fields import not_allowed
from components.telemetry.layers import LAYER_NAMES, Signal
from components.versions import GROUPS, IMAGES
from stacks import field_types
from stacks.field_types import ExternalEndpoint, ExternalHost, SettingsModel

MIN_BROKERS = 3


class DnsPods(SettingsModel):
    """Pods that answer DNS questions: all of these labels, in the namespace of this name."""

    namespace: field_types.Name
    labels: field_types.Labels


class ClusterDns(SettingsModel):
    """Where pods may send DNS questions besides the pods of ``kube-system`` that are labelled ``k8s-app: kube-dns``.

    Attributes:
        networks: Networks, such as 169.254.20.10/32 and the address of the Service kube-dns, as /32, where NodeLocal
            DNSCache answers on each node: it answers at both.
        pods: Pods with other labels.
    """

    networks: tuple[field_types.Cidr, ...]
    pods: tuple[DnsPods, ...]


class ClusterApi(SettingsModel):
    """Where pods reach the API server: what is behind the Service ``kubernetes`` of namespace ``default``.

    Attributes:
        networks: Networks of its addresses, such as ``kubectl get endpointslices`` shows them.
        port: Its port there.
    """

    networks: Annotated[tuple[field_types.Cidr, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]


class Kubelets(SettingsModel):
    """Where kubelets are: addresses of the nodes. Their certificates have to be of the cluster's authority.

    Attributes:
        networks: Networks of the nodes' addresses.
        port: Port of each kubelet.
    """

    networks: Annotated[tuple[field_types.Cidr, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 10250


class Cluster(SettingsModel):
    """The Kubernetes cluster.

    Attributes:
        context: Context of the kubeconfig.
        uid: UID of its namespace kube-system: another cluster is refused. Only the embedded cluster has none here.
        domain: DNS domain of Services.
        dns: Who answers DNS questions.
        api: Where the API server is.
        state: Of what the platform watches the state: what is in its namespace and the nodes (``cluster``, which takes
            a right in the whole cluster), its namespace alone (``namespace``), or nothing (null).
        kubelets: Who is asked how full volumes are, which takes a right in the whole cluster; null: nobody.
    """

    context: field_types.Word | None = None
    uid: field_types.Uid | None = None
    domain: field_types.Host
    dns: ClusterDns
    api: ClusterApi
    state: Literal["cluster", "namespace"] | None = "cluster"
    kubelets: Kubelets | None = None

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        missing = [name for name in ("context", "uid") if getattr(self, name) is None]
        if missing and self.context not in EMBEDDED:
            raise not_allowed(
                f"a context and a uid (here is no {' and no '.join(missing)}): `python -m ops config set-cluster` "
                "writes both"
            )
        return self


class Images(SettingsModel):
    """Where images come from; a digest pins an image beyond its tag.

    Attributes:
        registry: Registry of all images.
        registries: Another registry for a group of images: ``obs`` (built from this repository) or ``upstream``.
        pull_secrets: Secrets in the namespace that the registries take; none: the nodes may read them as they are.
        digests: Short name of an image -> digest.
    """

    registry: field_types.Registry
    registries: dict[str, field_types.Registry] = {}
    pull_secrets: tuple[field_types.ObjectName, ...] = ()
    digests: dict[str, field_types.Digest]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if others := sorted(set(self.registries) - set(GROUPS)):
            raise not_allowed(f"only the groups {', '.join(GROUPS)}; remove {', '.join(others)}")
        unknown = sorted(set(self.digests) - set(IMAGES))
        if unknown:
            raise not_allowed(f"only the images {', '.join(sorted(IMAGES))}; remove {', '.join(unknown)}")
        for digest in self.digests.values():
            shared = [name for name in IMAGES if self.digests.get(name) == digest]
            if len(shared) > 1:
                raise not_allowed(
                    f"a digest of its own for each image ({', '.join(shared)} have {digest}, which is one image): "
                    "`python -m ops images digests` names them"
                )
        return self


class Life(SettingsModel):
    """Life of certificates."""

    duration: field_types.Hours
    renew_before: field_types.Hours

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if int(self.renew_before[:-1]) * 2 > int(self.duration[:-1]):
            raise not_allowed("a renew_before of at most half of duration")
        return self


class Certificates(SettingsModel):
    """Life of the authority's and of the workloads' certificates."""

    authority: Life
    workloads: Life


class Load(SettingsModel):
    """Points, spans and log records a second that are kept, averaged over the days for which they are kept.

    Volumes must hold them. Peaks may be higher: they are a matter of cores.
    """

    points: field_types.Count
    spans: field_types.Count
    log_records: field_types.Count


class Peak(SettingsModel):
    """Points, spans and log records a second that the gateways take in for a while, of all layers together."""

    points: field_types.Count
    spans: field_types.Count
    log_records: field_types.Count

    @property
    def by_signal(self) -> dict[Signal, float]:
        """Items a second of each signal."""
        return {Signal.METRICS: self.points, Signal.TRACES: self.spans, Signal.LOGS: self.log_records}


class Storage(SettingsModel):
    """StorageClass, and the size of each pod's volume."""

    storage_class: field_types.Host
    kafka: field_types.Size
    kafka_controller: field_types.Size
    gateway: field_types.Size
    prometheus: field_types.Size
    search: field_types.Size
    alertmanager: field_types.Size
    database: field_types.Size


class KafkaQuota(SettingsModel):
    """What a login may take of each broker, where it differs from what ``stacks/kafka_quotas.py`` works out.

    Attributes:
        produce: Written in a second, such as 20Mi.
        fetch: Read in a second, such as 20Mi.
        requests: Time of the threads that do requests, in percent of one thread.
    """

    produce: field_types.Size | None = None
    fetch: field_types.Size | None = None
    requests: field_types.Count | None = None


class Kafka(SettingsModel):
    """Brokers, and what clients may take of them.

    Attributes:
        brokers: One external address each.
        controllers: Dedicated controllers: 3, or 0 where the first three brokers vote; null: as the profile says. Fixed
            once the platform is made (docs/operations/brokers.md).
        client_cidrs: Networks that may use these addresses.
        quotas: Client -> quotas of its login, where they differ.
        login_generations: Of the logins of clients in this region: one, or two while clients change over, the newer one
            first. Both are good, and clients have the newer one.
    """

    brokers: tuple[ExternalHost, ...]
    controllers: Literal[0, 3] | None = None
    client_cidrs: tuple[field_types.Cidr, ...] = Field(min_length=1)
    quotas: dict[str, KafkaQuota] = {}
    login_generations: field_types.Generations = (1,)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if len(self.brokers) < MIN_BROKERS:
            raise not_allowed(f"at least {MIN_BROKERS} brokers, since every record has {MIN_BROKERS} copies")
        hosts = [broker.host for broker in self.brokers]
        if len(set(hosts)) != len(hosts):
            raise not_allowed("a host of its own for every broker")
        return self


class Gateway(ExternalEndpoint):
    """Where telemetry comes in.

    Attributes:
        peak: Items a second of all layers together that come in for a while. Each layer has its share of them
            (``components/telemetry/registry/layers.yaml``), and is told to come again with more.
        open_layers: Layers of which also names pass that the catalogue does not have.
        password_generations: Of the passwords of layers and node agents: one, or two while new ones are handed out,
            the newer one first. Both are taken, and the newer one is given to clients.
    """

    peak: Peak
    open_layers: tuple[str, ...]
    password_generations: field_types.Generations = (1,)

    @model_validator(mode="after")
    def _layers(self) -> Self:
        unknown = sorted(set(self.open_layers) - set(LAYER_NAMES))
        if unknown:
            raise not_allowed(f"only the layers {', '.join(LAYER_NAMES)}; remove {', '.join(unknown)}")
        return self


class Topic(SettingsModel):
    """Partitions (they may only grow) and retention of a topic, where they differ from the catalogue's."""

    # What a stack file leaves out is filled in before this model sees it.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(required=[]))

    partitions: field_types.Count
    retention_days: field_types.Count


class Prometheus(SettingsModel):
    """Replicas by name, shards of each, and how long they keep samples.

    A platform may be given more shards at any time. With fewer, what only the servers of the removed ones have is read
    no more until it is in the object storage or they are back: their volumes stay (docs/scaling.md).
    """

    replicas: tuple[field_types.Name, ...] = Field(min_length=2)
    shards: field_types.Count = 1
    retention_time: field_types.Days
    retention_size: field_types.ByteSize

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len(set(self.replicas)) != len(self.replicas):
            raise not_allowed("replica names that differ")
        if any(map(ambiguous, self.replicas)):
            raise not_allowed("replica names that are no name of a shard, such as primary")
        return self


class Search(SettingsModel):
    """Kind of search cluster, and how long it keeps what."""

    engine: Literal["opensearch", "elasticsearch"]
    trace_days: field_types.Count
    log_days: field_types.Count
