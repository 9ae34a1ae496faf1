"""What is probed, as data, and how Prometheus is told.

Each pod has read its certificate at a time of its own, some only when they started. So listeners are probed **pod by
pod**: a renewed certificate that nobody reads does not help. Endpoints are probed at their Service, with the name that
people use, since their question is another one: does it answer as it should to somebody without a password?

Every module verifies the certificate by the platform's authority and by name, and shows the prober's own certificate
to servers that ask for one. A module without a name verifies the name that it is asked to look at: for pods their own
DNS names, which the certificates of their workload carry.

gRPC servers are asked by HTTP, and have to answer by HTTP/2 that this is no call. Upstream's gRPC prober asks for a
health service, which collectors do not have, and waits for an answer without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from components import naming
from components.contracts import ScrapeTarget
from components.k8s import TLS_MOUNT, DeploymentContext

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
