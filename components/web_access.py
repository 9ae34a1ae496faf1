"""Who may use the web interface of a server with Prometheus' exporter toolkit, and how its pod's own helpers do: files.

Prometheus, Thanos, Alertmanager, the prober and PostgreSQL's exporter read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import yaml

from components.contracts import Credential
from components.k8s import TLS_MOUNT

Data = dict[str, Any]


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


def web_file(users: Sequence[Credential]) -> pulumi.Output[str]:
    """The web configuration that lets these users in."""
    hashes = pulumi.Output.all(**{user.username: user.bcrypt for user in users})
    return hashes.apply(lambda known: yaml.safe_dump(web_config(known), sort_keys=False, width=120))


def client_config(*, username: str, password_file: str, tls_directory: str = TLS_MOUNT) -> Data:
    """HTTP client configuration by which a probe or a sidecar asks the server on ``localhost``."""
    return {
        "basic_auth": {"username": username, "password_file": password_file},
        "tls_config": {"ca_file": f"{tls_directory}/ca.crt", "server_name": "localhost"},
    }
