"""What is probed, as data, and how Prometheus is told.

Each pod has read its certificate at a time of its own, some only when they started. So listeners are probed **pod by
pod**: a renewed certificate that nobody reads does not help. Endpoints are probed at their Service, with the name that
people use, since their question is another one: does it answer as it should to somebody without a password?
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from components import naming
from components.contracts import ScrapeTarget
from components.k8s import DeploymentContext

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
