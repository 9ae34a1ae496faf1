"""Configuration of the prober (blackbox_exporter), as data.

Every module verifies the certificate by the platform's authority and by name, and shows the prober's own certificate
to servers that ask for one. A module without a name verifies the name that it is asked to look at: for pods their own
DNS names, which the certificates of their workload carry.

gRPC servers are asked by HTTP, and have to answer by HTTP/2 that this is no call. Upstream's gRPC prober asks for a
health service, which collectors do not have, and waits for an answer without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from components.k8s import TLS_MOUNT
from components.probes.targets import Module

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


def web_config(users: Mapping[str, str], tls_directory: str = TLS_MOUNT) -> Data:
    """Web configuration: TLS, and a bcrypt hash per user."""
    return {
        "tls_server_config": {
            "cert_file": f"{tls_directory}/tls.crt",
            "key_file": f"{tls_directory}/tls.key",
            "min_version": "TLS12",
        },
        "basic_auth_users": dict(sorted(users.items())),
    }


def rendered(config: Mapping[str, Any]) -> str:
    """YAML text."""
    return yaml.safe_dump(dict(config), sort_keys=False, width=120)
