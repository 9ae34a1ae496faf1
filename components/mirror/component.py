"""The mirror's pod: copies Kafka of the other region into this one (requirement D2).

One process, on purpose. Two would share the work, but the mirror keeps its place in Kafka, not in the pod: a new
process goes on within half a minute, and meanwhile the other region keeps every record. Several processes would need
an interface of their own to each other (``dedicated.mode.enable.internal.rest``: a port, certificates, addresses per
pod) and would redistribute all partitions whenever one of them comes or goes, which stops the copy for seconds too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import KafkaEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    SecretKey,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    deployment,
    headless_service,
    network,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)
from components.mirror import config
from components.mirror.config import WORKLOAD, MirrorFlow

TOKEN = "obs:mirror:Mirror"  # noqa: S105  (a type token)
KEYSTORE_TOKEN = "obs:mirror:MirrorKeystore"  # noqa: S105  (a type token)
_BROKERS = "kafka"
_GRACE_S = 40


@dataclass(frozen=True, kw_only=True)
class MirrorSource:
    """Kafka of the region that is copied, as this region knows it.

    Attributes:
        region: Name of the region.
        bootstrap: ``host:port`` of every broker's external listener.
        networks: Networks that these are in.
        authority: Certificate of the authority that signed the brokers' certificates.
        password: Password of its user ``mirror``.
    """

    region: str
    bootstrap: Sequence[str]
    networks: Sequence[str]
    authority: pulumi.Input[str]
    password: pulumi.Input[str]


class MirrorKeystore(pulumi.ComponentResource):
    """The password of the key store in the mirror's certificate; there in both roles.

    cert-manager keeps a certificate's Secret when the Certificate is deleted, and does not write its key store again
    when only the password is another one: a mirror that went at a failover and is made anew could not open it.

    Attributes:
        password: Opens the key store.
        secret: Where it is kept.
    """

    def __init__(self, name: str, context: DeploymentContext, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(KEYSTORE_TOKEN, name, None, opts)
        own = f"{WORKLOAD}-keystore"
        self.password = credential(self, name=own, username="keystore").password
        keystore_secret = secret_files(self, context, name=own, workload=WORKLOAD, files={"password": self.password})
        self.secret = SecretKey(name=keystore_secret.name, key="password")
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class MirrorArgs:
    """What the mirror needs.

    Attributes:
        context: Deployment context; its region is the target.
        scrape: Its metrics endpoint.
        keystore: Password of the key store of its metrics endpoint.
        source: What is copied.
        kafka: The cluster that is copied into; ``mirror-maker`` is one of its users.
        topics: Topics; both clusters have them.
        groups: Consumer groups whose offsets are kept in step.
        replication_factor: Copies of the mirror's own topics.
        max_message_bytes: Largest record batch of the topics.
        tasks: Tasks that share the partitions.
        heap: Java heap, for example ``256m``.
        jvm_flags: Garbage collector and compiler flags.
        resources: Of the pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    keystore: MirrorKeystore
    source: MirrorSource
    kafka: KafkaEndpoint
    topics: Sequence[str]
    groups: Sequence[str]
    replication_factor: int
    max_message_bytes: int
    tasks: int
    heap: str
    jvm_flags: tuple[str, ...]
    resources: Resources


class Mirror(pulumi.ComponentResource):
    """MirrorMaker 2 in the region that is copied into.

    Attributes:
        flow: What is copied from where to where.
        scrape: Its metrics.
    """

    flow: MirrorFlow
    scrape: ScrapeTarget

    def __init__(self, name: str, args: MirrorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.flow = mirror_flow(args)
        self.scrape = args.scrape
        tls = certificate(self, context, workload=WORKLOAD, keystore_password=args.keystore.secret)
        metrics = self._metrics(args)
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: config.METRICS_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[config.METRICS_PORT])],
            egress=[
                Allow(peers=[network(cidr) for cidr in args.source.networks], ports=ports(args.source.bootstrap)),
                Allow(peers=[workload_pods(_BROKERS)], ports=[args.kafka.port]),
            ],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[_container(self.flow, args)],
                volumes=[self._public(args), self._passwords(args), metrics],
                tls=tls,
                access=[args.kafka.access_label],
                grace_s=_GRACE_S,
                certificate_at_start=True,
            ),
            recreate=True,
        )
        self.register_outputs({"pods": pods.id})

    def _public(self, args: MirrorArgs) -> Volume:
        """What is no secret: properties, logging, the authority of the other region."""
        files: dict[str, pulumi.Input[str]] = {
            config.PROPERTIES: config.render(config.mirror_properties(self.flow)),
            config.SOURCE_AUTHORITY: args.source.authority,
            "log4j2.yaml": config.log_configuration(),
        }
        return Volume(
            name="config", files=config_files(self, args.context, name=WORKLOAD, workload=WORKLOAD, files=files)
        )

    def _passwords(self, args: MirrorArgs) -> Volume:
        """Both logins."""
        known = pulumi.Output.all(args.source.password, args.kafka.users[WORKLOAD].password)
        text = known.apply(lambda all_: config.passwords(str(all_[0]), str(all_[1])))
        name = f"{WORKLOAD}-auth"
        files = secret_files(self, args.context, name=name, workload=WORKLOAD, files={config.PASSWORDS: text})
        return Volume(name="auth", files=files)

    def _metrics(self, args: MirrorArgs) -> Volume:
        """Configuration of Java's metrics agent, which reads the key store of the certificate."""
        user = self.scrape.credential
        text = pulumi.Output.all(user.password, args.keystore.password).apply(
            lambda both: config.jmx_exporter(user=user.username, password=str(both[0]), keystore_password=str(both[1]))
        )
        name = f"{WORKLOAD}-metrics"
        files = secret_files(self, args.context, name=name, workload=WORKLOAD, files={"jmx-exporter.yaml": text})
        return Volume(name="metrics", files=files)


def mirror_flow(args: MirrorArgs) -> MirrorFlow:
    """The flow as its configuration sees it."""
    return MirrorFlow(
        source=args.source.region,
        target=args.context.region,
        source_bootstrap=tuple(args.source.bootstrap),
        target_bootstrap=(args.kafka.bootstrap,),
        target_user=args.kafka.users[WORKLOAD].username,
        topics=tuple(args.topics),
        groups=tuple(args.groups),
        replication_factor=args.replication_factor,
        max_message_bytes=args.max_message_bytes,
        tasks=args.tasks,
    )


def ports(bootstrap: Sequence[str]) -> list[int]:
    """Ports of brokers, each once.

    Raises:
        ValueError: An address has no port.
    """
    port_numbers: list[int] = []
    for address in bootstrap:
        port = address.rpartition(":")[2]
        if not port.isdigit():
            raise ValueError(f"mirror.source.bootstrap has {address!r}: write host:port")
        port_numbers.append(int(port))
    return sorted(set(port_numbers))


def _container(flow: MirrorFlow, args: MirrorArgs) -> Container:
    """The process. It answers on its metrics port only; whether it copies is a matter of alerts."""
    return Container(
        name="mirror-maker",
        image="kafka",
        command=config.mirror_command(flow, args.heap, args.jvm_flags),
        resources=args.resources,
        ports={naming.METRICS_PORT: config.METRICS_PORT},
        mounts=[
            Mount(volume="config", path=config.CONFIG_DIRECTORY),
            Mount(volume="auth", path=config.AUTH_DIRECTORY),
            Mount(volume="metrics", path=config.METRICS_DIRECTORY),
        ],
        startup=Probe(tcp=config.METRICS_PORT, period_s=5, failures=60),
        readiness=Probe(tcp=config.METRICS_PORT, period_s=5),
        liveness=Probe(tcp=config.METRICS_PORT, period_s=20, failures=6),
    )
