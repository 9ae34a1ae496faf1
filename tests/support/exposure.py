"""Finds secret values where none may be."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException

from ops.core.kube import Kube
from ops.core.platform import Platform

SHORTEST = 12
"""Shorter values are no generated secrets, and would be found everywhere."""


def known_secrets(platform: Platform, exported: Mapping[str, Any]) -> dict[str, str]:
    """Every password that the platform has, with a name that may be shown.

    Args:
        platform: Outputs of the stack.
        exported: ``pulumi stack export --show-secrets``.
    """
    secret_values = {f"kafka user {user}": login.pair[1] for user, login in platform.kafka_users.items()}
    for kind, logins in (
        ("otlp", platform.otlp_credentials),
        ("prometheus", platform.prometheus_credentials),
        ("scrape", platform.scrape_credentials),
    ):
        secret_values |= {f"{kind} {name}": login.pair[1] for name, login in logins.items()}
    secret_values["kafka admin"], secret_values["query reader"] = (
        platform.kafka_admin.pair[1],
        platform.query_reader.pair[1],
    )
    for resource in exported["deployment"].get("resources", []):
        if resource["type"] == "random:index/randomPassword:RandomPassword":
            for key in ("result", "bcryptHash"):
                value = plain(resource.get("outputs", {}).get(key))
                if value:
                    secret_values[f"{resource['urn'].rpartition('::')[2]} {key}"] = value
    assert all(len(value) >= SHORTEST for value in secret_values.values()), "a password is too short to search for"
    return secret_values


def plain(value: Any) -> str:
    """A secret of an exported state in the clear."""
    if isinstance(value, Mapping):
        return str(json.loads(value.get("plaintext", '""')))
    return str(value or "")


def exposed(secrets: Mapping[str, str], text: str) -> list[str]:
    """Names of the secrets that stand in ``text``, as they are or in base64."""
    names = []
    for name, value in secrets.items():
        # Without its last characters, which depend on what follows, base64 of a prefix is a prefix.
        encoded = base64.b64encode(value.encode()).decode().rstrip("=")[:-1]
        if value in text or encoded in text:
            names.append(name)
    return names


def config_maps(kube: Kube) -> Iterable[tuple[str, str]]:
    """Name and whole text of every ConfigMap."""
    for item in kube.core.list_namespaced_config_map(kube.namespace, _request_timeout=30).items:
        yield f"ConfigMap {item.metadata.name}", json.dumps(item.data or {}) + "\n".join((item.data or {}).values())


def pod_specs(kube: Kube) -> Iterable[tuple[str, str]]:
    """Name and specification of every pod: command lines and environment."""
    for item in kube.core.list_namespaced_pod(kube.namespace, _request_timeout=30).items:
        yield f"specification of {item.metadata.name}", str(item.spec.to_dict())


def pod_logs(kube: Kube) -> Iterable[tuple[str, str]]:
    """Name and newest lines of every container's log, this run's and the one's before."""
    for item in kube.core.list_namespaced_pod(kube.namespace, _request_timeout=30).items:
        for container in [*(item.spec.init_containers or []), *item.spec.containers]:
            for previous in (False, True):
                try:
                    text = kube.core.read_namespaced_pod_log(
                        item.metadata.name,
                        kube.namespace,
                        container=container.name,
                        previous=previous,
                        tail_lines=5000,
                        _request_timeout=30,
                    )
                except ApiException as error:
                    # There is no earlier run of a container that never restarted.
                    if previous and error.status in (400, 404):
                        continue
                    raise
                yield f"log of {item.metadata.name}/{container.name}", text or ""


def command_lines() -> Iterable[tuple[str, str]]:
    """Command lines of this machine's processes, the embedded cluster's containers among them."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield f"command line of process {entry.name}", (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
