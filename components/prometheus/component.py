"""The Prometheus replicas: pods, volumes, passwords and addresses (requirements P1, P2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import (
    AlertReceiver,
    ObjectStorage,
    ProbeJob,
    PrometheusEndpoint,
    ScrapeTarget,
    TlsIdentity,
)
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    FileSet,
    Mount,
    Probe,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    credential,
    headless_service,
    network_policy,
    secret_files,
    stateful_set,
    to_storage,
    with_access,
    workload_pods,
)
from components.prometheus.config import (
    BLOCK_DURATION,
    CONFIG_DIRECTORY,
    DATA_DIRECTORY,
    RULES_DIRECTORY,
    RULES_FILE,
    SCRAPE_DIRECTORY,
    WEB_DIRECTORY,
    WEB_PORT,
    PrometheusConfig,
    alert_targets,
    password_file_of,
    probe_scrapes,
    prometheus_command,
    prometheus_config,
    reads_at_once,
    ready_probe_command,
    rendered,
    scrape_jobs,
)
from components.prometheus.thanos import (
    GRPC_PORT,
    SIDECAR_HTTP_PORT,
    STORE_NAME,
    Encryption,
    Users,
    objects_files,
    objects_mount,
    objects_volume,
    sidecar_command,
    sidecar_name,
)
from components.rules import RuleGroup, rule_file
from components.web_access import client_config, web_file

SIDECAR_PORT_NAME = "sidecar"


def prometheus_container(
    resources: Resources,
    *,
    retention_time: str,
    retention_size: str,
    reads_at_once: int,
    block_duration: str,
    shipped: bool,
    scrapes: bool = True,
) -> Container:
    """Prometheus, with volumes ``config``, ``rules``, ``web``, ``data``, and ``scrape`` where it scrapes."""
    return Container(
        name="prometheus",
        image="prometheus",
        command=prometheus_command(
            retention_time=retention_time,
            retention_size=retention_size,
            reads_at_once=reads_at_once,
            block_duration=block_duration,
            shipped=shipped,
        ),
        resources=resources,
        ports={naming.METRICS_PORT: WEB_PORT},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="rules", path=RULES_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            *([Mount(volume="scrape", path=SCRAPE_DIRECTORY)] if scrapes else []),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
        ],
        # Reading a large write-ahead log takes minutes, during which it listens but is not ready.
        startup=Probe(command=ready_probe_command(), period_s=3, timeout_s=10, failures=400),
        liveness=Probe(tcp=WEB_PORT, period_s=15, failures=6),
        readiness=Probe(command=ready_probe_command(), period_s=15, timeout_s=10, failures=2),
        working_dir=DATA_DIRECTORY,
    )


def sidecar_container(resources: Resources, *, shipping: bool) -> Container:
    """The Thanos sidecar, with volumes ``web`` and ``data``, and ``objects`` where it ships blocks."""
    return Container(
        name="thanos-sidecar",
        image="thanos",
        command=sidecar_command(shipping=shipping),
        resources=resources,
        env=naming.heap_limit(resources.memory_limit),
        ports={"grpc": GRPC_PORT, SIDECAR_PORT_NAME: SIDECAR_HTTP_PORT},
        mounts=[
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
            *([objects_mount()] if shipping else []),
        ],
        startup=Probe(tcp=SIDECAR_HTTP_PORT, period_s=2, failures=60),
        liveness=Probe(tcp=SIDECAR_HTTP_PORT, period_s=15, failures=6),
        readiness=Probe(tcp=GRPC_PORT, period_s=10),
        working_dir=DATA_DIRECTORY,
    )


TOKEN = "obs:prometheus:Prometheus"  # noqa: S105  (a type token)
SCRAPE_SECRET = "prometheus-scrape"  # noqa: S105  (a name)
_SHARED = "prometheus"
"""Workload in whose name the replicas' common objects are."""


@dataclass(frozen=True, kw_only=True)
class _SharedFiles:
    """Files that several servers mount.

    Attributes:
        rules: Of the first shard.
        shard_rules: Of each other one; None where there is none.
        scrape_passwords: By which the first shard scrapes and tells its alerts.
        objects: How sidecars reach the object storage; None where nothing is shipped.
    """

    rules: FileSet
    shard_rules: FileSet | None
    scrape_passwords: FileSet
    objects: FileSet | None

    def rules_of(self, shard: int) -> FileSet:
        """What the servers of a shard evaluate."""
        return self.shard_rules if shard and self.shard_rules else self.rules


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    """What the Prometheus replicas need.

    Attributes:
        context: Deployment context.
        endpoints: The servers, those of a shard together, which have the same data: `prometheus_endpoint`.
        scrapes: Job -> metrics endpoint of everything, replicas and sidecars included.
        alert_receivers: What takes the alerts, from every replica.
        probes: What a prober is asked for.
        rule_groups: Rules that the first shard evaluates.
        shard_rule_groups: Rules that each other one evaluates for its own part.
        runbook_base: Address under which runbooks are found.
        resources: Of Prometheus.
        sidecar_resources: Of the Thanos sidecar.
        storage: Size of each volume.
        retention_time: Age at which samples go.
        retention_size: Size of blocks at which the oldest go; leave a quarter of the volume free.
        out_of_order_window: Longest outage of a replica after which Kafka still fills the gap.
        scrape_interval: How often targets are scraped and rules evaluated.
        gogc: Growth of the heap, in percent, after which it is collected.
        block_duration: Time that a block covers; samples are shipped at most one and a half of it after they came.
        objects: Where the sidecars ship blocks to, or None.
        encryption: How the object storage is asked to encrypt them; None: as the bucket says.
    """

    context: DeploymentContext
    endpoints: Sequence[PrometheusEndpoint]
    scrapes: Mapping[str, ScrapeTarget]
    alert_receivers: Sequence[AlertReceiver]
    probes: Sequence[ProbeJob]
    rule_groups: Sequence[RuleGroup]
    shard_rule_groups: Sequence[RuleGroup] = ()
    runbook_base: str
    resources: Resources
    sidecar_resources: Resources
    storage: str
    retention_time: str
    retention_size: str
    out_of_order_window: str
    scrape_interval: str
    gogc: int = 75
    block_duration: str = BLOCK_DURATION
    objects: ObjectStorage | None = None
    encryption: Encryption | None = None

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("prometheus.replicas is empty: name at least one replica, for example primary")


class Prometheus(pulumi.ComponentResource):
    """Prometheus replicas with equal content, each server fed from Kafka by a consumer of its own."""

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        shared = self._shared_files(args)
        before: dict[int, list[pulumi.Resource]] = {}
        for endpoint in args.endpoints:
            # One of a shard after the other: an update never takes all replicas from readers and alerts.
            server = self._server(args, endpoint, shared, before.get(endpoint.shard, []))
            before[endpoint.shard] = [server]
        self.register_outputs({"servers": [endpoint.server for endpoint in args.endpoints]})

    def _shared_files(self, args: PrometheusArgs) -> _SharedFiles:
        sharded = any(endpoint.shard for endpoint in args.endpoints)
        return _SharedFiles(
            rules=self._rules(args, "prometheus-rules", args.rule_groups),
            shard_rules=self._rules(args, "prometheus-shard-rules", args.shard_rule_groups) if sharded else None,
            scrape_passwords=secret_files(
                self,
                args.context,
                name=SCRAPE_SECRET,
                workload=_SHARED,
                files={
                    **{job: target.credential.password for job, target in args.scrapes.items()},
                    **{job.job: job.credential.password for job in args.probes},
                    **{
                        password_file_of(alert_receiver.name): alert_receiver.credential.password
                        for alert_receiver in args.alert_receivers
                    },
                },
            ),
            objects=objects_files(
                self, args.context, workload=_SHARED, storage=args.objects, encryption=args.encryption
            )
            if args.objects
            else None,
        )

    def _rules(self, args: PrometheusArgs, name: str, groups: Sequence[RuleGroup]) -> FileSet:
        files = {RULES_FILE: rendered(rule_file(groups, args.runbook_base))}
        return config_files(self, args.context, name=name, workload=_SHARED, files=files)

    def _server(
        self,
        args: PrometheusArgs,
        endpoint: PrometheusEndpoint,
        shared: _SharedFiles,
        after: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        context, workload = args.context, endpoint.workload
        tls = certificate(self, context, workload=workload, services=[STORE_NAME])
        cluster_service(self, context, workload=workload, ports={"https": WEB_PORT, "grpc": GRPC_PORT})
        headless_service(
            self,
            context,
            workload=workload,
            ports={naming.METRICS_PORT: WEB_PORT, SIDECAR_PORT_NAME: SIDECAR_HTTP_PORT, "grpc": GRPC_PORT},
        )
        network_policy(
            self,
            context,
            workload=workload,
            ingress=[
                Allow(peers=[with_access(endpoint.access_label)], ports=[WEB_PORT, GRPC_PORT]),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[WEB_PORT, SIDECAR_HTTP_PORT]),
            ],
            egress=[
                *(_of_the_first_shard(args) if endpoint.shard == 0 else []),
                *([to_storage(args.objects)] if args.objects else []),
            ],
        )
        return stateful_set(
            self,
            context,
            self._workload(args, endpoint, shared, tls),
            claims=[StorageClaim(name="data", size=args.storage)],
            after=after,
        )

    def _users(self, args: PrometheusArgs, endpoint: PrometheusEndpoint) -> Users:
        return Users(
            reader=endpoint.reader,
            writer=endpoint.writer,
            sidecar=credential(self, name=f"{endpoint.workload}-sidecar", username="sidecar"),
            scrape=args.scrapes[endpoint.workload].credential,
            sidecar_scrape=args.scrapes[sidecar_name(endpoint.server)].credential,
        )

    def _workload(
        self,
        args: PrometheusArgs,
        endpoint: PrometheusEndpoint,
        shared: _SharedFiles,
        tls: TlsIdentity,
    ) -> Workload:
        workload, users = endpoint.workload, self._users(args, endpoint)
        config = config_files(
            self,
            args.context,
            name=workload,
            workload=workload,
            files={"prometheus.yml": rendered(prometheus_config(_config(args, endpoint)))},
        )
        secret = secret_files(
            self,
            args.context,
            name=f"{workload}-web",
            workload=workload,
            files={
                "web.yml": web_file(users.all()),
                "sidecar-web.yml": web_file([users.sidecar_scrape]),
                "client.yml": rendered(
                    client_config(username=users.sidecar.username, password_file=f"{WEB_DIRECTORY}/client-password")
                ),
                "client-password": users.sidecar.password,
            },
        )
        return Workload(
            name=workload,
            replicas=1,
            containers=[
                prometheus_container(
                    args.resources,
                    retention_time=args.retention_time,
                    retention_size=args.retention_size,
                    reads_at_once=reads_at_once(args.sidecar_resources),
                    block_duration=args.block_duration,
                    shipped=shared.objects is not None,
                    scrapes=endpoint.shard == 0,
                ),
                sidecar_container(args.sidecar_resources, shipping=shared.objects is not None),
            ],
            volumes=[
                Volume(name="config", files=config, reloaded=True),
                Volume(name="rules", files=shared.rules_of(endpoint.shard), reloaded=True),
                Volume(name="web", files=secret),
                *([Volume(name="scrape", files=shared.scrape_passwords, reloaded=True)] if endpoint.shard == 0 else []),
                *([objects_volume(shared.objects)] if shared.objects else []),
            ],
            tls=tls,
            access=[naming.METRICS_ACCESS, *(receiver.access_label for receiver in args.alert_receivers)]
            if endpoint.shard == 0
            else [],
            grace_s=120,
        )


def _of_the_first_shard(args: PrometheusArgs) -> list[Allow]:
    """Whom a server calls that scrapes the platform and raises alerts."""
    return [
        *(
            Allow(peers=[workload_pods(target.service.removesuffix("-headless"))], ports=[target.port])
            for target in args.scrapes.values()
        ),
        *(
            Allow(peers=[workload_pods(alert_receiver.workload)], ports=[alert_receiver.port])
            for alert_receiver in args.alert_receivers
        ),
        *(Allow(peers=[workload_pods(probe.workload)], ports=[probe.port]) for probe in args.probes),
    ]


def _config(args: PrometheusArgs, endpoint: PrometheusEndpoint) -> PrometheusConfig:
    first = endpoint.shard == 0
    return PrometheusConfig(
        platform=args.context.platform,
        region=args.context.region,
        replica=endpoint.replica,
        shard=endpoint.shard,
        jobs=scrape_jobs([*args.scrapes.values()]) if first else (),
        alerts=alert_targets(args.alert_receivers) if first else (),
        probes=probe_scrapes(args.probes) if first else (),
        scrape_interval=args.scrape_interval,
        gogc=args.gogc,
        out_of_order_window=args.out_of_order_window,
    )
