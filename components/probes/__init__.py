"""What is probed, as data, how Prometheus is told, and the prober's pods (requirements P2, P3, K1, J1): they look at
every listener and endpoint from inside the cluster.

Each pod has read its certificate at a time of its own, some only when they started. So listeners are probed **pod by
pod**: a renewed certificate that nobody reads does not help. Endpoints are probed at their Service, with the name that
people use, since their question is another one: does it answer as it should to somebody without a password?

Every module verifies the certificate by the platform's authority and by name, and shows the prober's own certificate
to servers that ask for one. A module without a name verifies the name that it is asked to look at: for pods their own
DNS names, which the certificates of their workload carry.

gRPC servers are asked by HTTP, and have to answer by HTTP/2 that this is no call. Upstream's gRPC prober asks for a
health service, which collectors do not have, and waits for an answer without end.

Either of the two answers: the loss of a node is just when one wants to know. They may connect to everything that they
look at and hold no password, so all that they can do anywhere is to shake hands and be refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pulumi
import yaml

from components import naming
from components.contracts import Credential, ProbeJob, ProbeTarget, ScrapeTarget
from components.k8s import (
    TLS_MOUNT,
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
from components.web_access import web_file

POD_JOB = "probe-pods"
SERVICE_JOB = "probe-services"


class Module(StrEnum):
    """How a target is looked at.

    Attributes:
        TLS: A TLS handshake is made, and that is all.
        HTTP2: It speaks HTTP/2 over TLS, as gRPC servers do.
        CLOSED: It refuses a stranger with 401 or 403.
        OPEN: It answers a stranger with 200.
    """

    TLS = "tls"
    HTTP2 = "http2"
    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A TLS port that every pod of a workload listens on.

    Attributes:
        workload: Workload of the pods.
        srv: SRV name that lists every pod with this port.
        port: Port number (for egress NetworkPolicies).
        access_label: Label that a client pod needs.
    """

    workload: str
    srv: str
    port: int
    access_label: str


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An address that people or programs use; any pod behind it answers.

    Attributes:
        name: What alerts call it.
        url: Where the prober asks, inside the cluster.
        module: How.
        workload: Workload of the pods (for egress NetworkPolicies).
        port: Port number of the pods.
        access_label: Label that a client pod needs.
        host: Name outside the cluster, which the certificate has to carry; empty: the name in ``url``.
    """

    name: str
    url: str
    module: Module
    workload: str
    port: int
    access_label: str
    host: str = ""


def metrics_listener(target: ScrapeTarget) -> Listener:
    """The port that a workload's metrics are scraped from; every workload has one, with the workload's certificate."""
    return Listener(
        workload=target.service.removesuffix("-headless"),
        srv=target.srv,
        port=target.port,
        access_label=naming.METRICS_ACCESS,
    )


def pod_listener(
    context: DeploymentContext, workload: str, port_name: str, port: int, *, access_label: str | None = None
) -> Listener:
    """A port of a workload's headless Service.

    Args:
        context: Deployment context.
        workload: The workload.
        port_name: Name of the port in the headless Service.
        port: Port number.
        access_label: Label that a client pod needs; that of the workload if not given.
    """
    return Listener(
        workload=workload,
        srv=context.srv(workload, port_name),
        port=port,
        access_label=access_label or naming.access_label(workload),
    )


Data = dict[str, Any]

PORT = 9115
CONFIG_DIRECTORY = "/etc/blackbox"
WEB_DIRECTORY = "/etc/blackbox-web"
CONFIG_FILE = "config.yml"
WEB_FILE = "web.yml"

_TIMEOUT = "8s"
"""Less than Prometheus waits for the prober."""


def probe_config(tls_directory: str = TLS_MOUNT) -> Data:
    """Content of ``config.yml``."""
    tls = {
        "ca_file": f"{tls_directory}/ca.crt",
        "cert_file": f"{tls_directory}/tls.crt",
        "key_file": f"{tls_directory}/tls.key",
        "min_version": "TLS12",
    }
    return {
        "modules": {
            Module.TLS.value: {
                "prober": "tcp",
                "timeout": _TIMEOUT,
                "tcp": {"preferred_ip_protocol": "ip4", "tls": True, "tls_config": tls},
            },
            Module.HTTP2.value: _http(tls, [405, 415], ["HTTP/2.0"]),
            Module.CLOSED.value: _http(tls, [401, 403], []),
            Module.OPEN.value: _http(tls, [200], []),
        }
    }


def _http(tls: Data, codes: list[int], versions: list[str]) -> Data:
    return {
        "prober": "http",
        "timeout": _TIMEOUT,
        "http": {
            "preferred_ip_protocol": "ip4",
            "method": "GET",
            "fail_if_not_ssl": True,
            "follow_redirects": False,
            "valid_status_codes": codes,
            **({"valid_http_versions": versions} if versions else {}),
            "body_size_limit": "1MB",
            "tls_config": tls,
        },
    }


def probe_command(*, port: int = PORT) -> list[str]:
    """Program and arguments."""
    return [
        "/bin/blackbox_exporter",
        f"--config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}",
        f"--web.config.file={WEB_DIRECTORY}/{WEB_FILE}",
        f"--web.listen-address=0.0.0.0:{port}",
        "--history.limit=50",
        # A probe that fails is a metric and an alert; its reason is in the history.
        "--log.prober=error",
        "--log.format=json",
    ]


def rendered(config: Mapping[str, Any]) -> str:
    """YAML text."""
    return yaml.safe_dump(dict(config), sort_keys=False, width=120)


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
