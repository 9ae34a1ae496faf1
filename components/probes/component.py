"""The prober's pods (requirements P2, P3, K1, J1): they look at every listener and endpoint from inside the cluster.

Either of the two answers: the loss of a node is just when one wants to know. They may connect to everything that they
look at and hold no password, so all that they can do anywhere is to shake hands and be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import Credential, ProbeJob, ProbeTarget, ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    credential,
    deployment,
    headless_service,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)
from components.probes.config import (
    CONFIG_DIRECTORY,
    CONFIG_FILE,
    POD_JOB,
    PORT,
    SERVICE_JOB,
    WEB_DIRECTORY,
    WEB_FILE,
    Endpoint,
    Listener,
    Module,
    probe_command,
    probe_config,
    rendered,
)
from components.web_access import web_file

TOKEN = "obs:probes:Probes"  # noqa: S105  (a type token)
WORKLOAD = "probes"
_REPLICAS = 2


@dataclass(frozen=True, kw_only=True)
class ProbesArgs:
    """What the prober needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        listeners: TLS ports of pods.
        endpoints: Addresses that people and programs use.
        resources: Of each pod.
        pod_interval: How often each pod is looked at.
        service_interval: How often each endpoint is looked at.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    listeners: Sequence[Listener]
    endpoints: Sequence[Endpoint]
    resources: Resources
    pod_interval: str = "1m"
    service_interval: str = "15s"

    def __post_init__(self) -> None:
        for what, names in (
            ("listener", [listener.srv for listener in self.listeners]),
            ("endpoint", [endpoint.name for endpoint in self.endpoints]),
        ):
            if not names:
                raise ValueError(f"probes: there is no {what}: name at least one, or leave the prober out")
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"probes: {what} {twice[0]} occurs twice: name each once")


class Probes(pulumi.ComponentResource):
    """One prober.

    Attributes:
        jobs: What Prometheus asks it for.
        scrape: Its own metrics.
    """

    jobs: tuple[ProbeJob, ...]
    scrape: ScrapeTarget

    def __init__(self, name: str, args: ProbesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context

        def new_credential(job: str) -> Credential:
            user = naming.scrape_user(job)
            return credential(self, name=user, username=user)

        self.scrape = args.scrape
        self.jobs = (
            _job(
                context,
                POD_JOB,
                new_credential(POD_JOB),
                args.pod_interval,
                srvs=[listener.srv for listener in args.listeners],
            ),
            _job(
                context,
                SERVICE_JOB,
                new_credential(SERVICE_JOB),
                args.service_interval,
                targets=[
                    ProbeTarget(
                        name=endpoint.name, address=endpoint.url, module=endpoint.module.value, host=endpoint.host
                    )
                    for endpoint in args.endpoints
                ],
            ),
        )
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        cluster_service(self, context, workload=WORKLOAD, ports={"https": PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=_egress([*args.listeners, *args.endpoints]),
        )
        labels = [
            *(listener.access_label for listener in args.listeners),
            *(endpoint.access_label for endpoint in args.endpoints),
        ]
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=_REPLICAS,
                containers=[_container(args.resources)],
                volumes=self._volumes(context),
                tls=certificate(self, context, workload=WORKLOAD),
                access=sorted(set(labels)),
            ),
        )
        self.register_outputs({"pods": pods.id, "jobs": [job.job for job in self.jobs]})

    def _volumes(self, context: DeploymentContext) -> list[Volume]:
        public = config_files(
            self, context, name=WORKLOAD, workload=WORKLOAD, files={CONFIG_FILE: rendered(probe_config())}
        )
        users = [self.scrape.credential, *(job.credential for job in self.jobs)]
        secret = secret_files(
            self, context, name=f"{WORKLOAD}-web", workload=WORKLOAD, files={WEB_FILE: web_file(users)}
        )
        return [Volume(name="config", files=public), Volume(name="web", files=secret)]


def _job(
    context: DeploymentContext,
    job: str,
    user: Credential,
    interval: str,
    *,
    srvs: Sequence[str] = (),
    targets: Sequence[ProbeTarget] = (),
) -> ProbeJob:
    return ProbeJob(
        job=job,
        address=f"{context.host(WORKLOAD)}:{PORT}",
        server_name=context.host(WORKLOAD),
        workload=WORKLOAD,
        port=PORT,
        credential=user,
        interval=interval,
        module=Module.TLS.value,
        srvs=tuple(srvs),
        targets=tuple(targets),
    )


def _egress(targets: Sequence[Listener | Endpoint]) -> list[Allow]:
    """One rule per workload: its ports that are looked at, and no others."""
    ports: dict[str, set[int]] = {}
    for target in targets:
        ports.setdefault(target.workload, set()).add(target.port)
    return [Allow(peers=[workload_pods(workload)], ports=sorted(ports[workload])) for workload in sorted(ports)]


def _container(resources: Resources) -> Container:
    return Container(
        name="blackbox-exporter",
        image="blackbox-exporter",
        command=probe_command(),
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=CONFIG_DIRECTORY), Mount(volume="web", path=WEB_DIRECTORY)],
        startup=Probe(tcp=PORT, period_s=2, failures=30),
        liveness=Probe(tcp=PORT, period_s=15, failures=4),
        readiness=Probe(tcp=PORT, period_s=5, failures=2),
    )
