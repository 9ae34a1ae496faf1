"""Secrets with which nodes pull images, from the logins at the registries that this machine has."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client.exceptions import ApiException

from ops.core.errors import OpsError
from ops.core.kube import Kube, call_errors
from ops.images import registry
from ops.preflight.images import KEY, KIND

_MANAGER: Final = "obs"
_LIMIT_S: Final = 15


def login_file(hosts: Sequence[str]) -> str:
    """Logins at registries, as a pull secret holds them.

    Args:
        hosts: Registries with their ports.

    Raises:
        OpsError: This machine has no login at one of them.
    """
    logins = {host: registry.login(host) for host in hosts}
    if without := [host for host, pair in logins.items() if pair is None]:
        raise OpsError(
            f"--pull-secrets: this machine has no login at {', '.join(without)}: log in with the account that nodes "
            "are to have (`skopeo login HOST`, `docker login HOST`), or name its file in REGISTRY_AUTH_FILE"
        )
    pairs = {host: ":".join(pair) for host, pair in logins.items() if pair}
    return json.dumps(
        {"auths": {host: {"auth": base64.b64encode(pair.encode()).decode()} for host, pair in pairs.items()}}
    )


def apply(kube: Kube, name: str, content: str) -> bool:
    """Make a pull secret, or give one of this kind that there is this content.

    Args:
        kube: The platform's namespace.
        name: Of the Secret.
        content: As of `login_file`.

    Returns:
        Whether it is there: False while the namespace is not.

    Raises:
        OpsError: It may not be made, or the cluster does not answer.
    """
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": KIND,
        "data": {KEY: base64.b64encode(content.encode()).decode()},
    }
    options: dict[str, Any] = {"field_manager": _MANAGER, "_request_timeout": _LIMIT_S}
    with call_errors(f"cannot make the Secret {name} of namespace {kube.namespace}"):
        try:
            kube.core.create_namespaced_secret(kube.namespace, body, **options)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            if error.status != HTTPStatus.CONFLICT:
                raise
            kube.core.patch_namespaced_secret(name, kube.namespace, {"data": body["data"]}, **options)
    return True
