"""Which cluster a context of the kubeconfig leads to: the UID of its namespace ``kube-system``, which a cluster has for
its whole life. ``kubectl`` asks, with the same kubeconfig and credential plugins as the Kubernetes provider.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, Final

EMBEDDED: Final = ("obs-lab", "obs-lab-dr")
"""Contexts of the embedded clusters of the two regions. Their UIDs are other ones each time that they are made."""
ROLE_ANNOTATION: Final = "obs.region/role"
"""Of the platform's namespace: what its region was last made, whoever's checkout it was made from."""
NEW_ROLE: Final = "OBS_NEW_ROLE"
"""Variable with the role that a region gets: ``ops failover`` and ``ops failback`` set it for their updates."""
SYSTEM: Final = "kube-system"
_REQUEST_S: Final = 15.0
_LIMIT_S: Final = 60.0
"""A credential plugin may ask its cloud first."""
_ABSENT: Final = "(NotFound)"


class UnreachableError(Exception):
    """The cluster could not be asked; the message is one line."""


def cluster_uid(context: str | None, request_s: float = _REQUEST_S, limit_s: float = _LIMIT_S) -> str:
    """UID of the cluster behind a context.

    Args:
        context: Context of the kubeconfig; None: the current one.
        request_s: How long the server may need, seconds.
        limit_s: How long all of it may take.

    Raises:
        UnreachableError: There is no answer.
    """
    system = namespace(context, SYSTEM, request_s, limit_s)
    try:
        return str((system or {})["metadata"]["uid"])
    except (TypeError, KeyError):
        raise UnreachableError("the answer is no namespace") from None


def namespace(
    context: str | None, name: str, request_s: float = _REQUEST_S, limit_s: float = _LIMIT_S
) -> Mapping[str, Any] | None:
    """A namespace as the cluster behind a context has it; None where it has none of the name.

    Raises:
        UnreachableError: There is no answer.
    """
    return _object(context, f"/api/v1/namespaces/{name}", "namespace", request_s, limit_s)


def config_map(context: str | None, place: str, name: str) -> Mapping[str, Any] | None:
    """A ConfigMap as the cluster behind a context has it; None where it has none.

    Args:
        context: Context of the kubeconfig; None: the current one.
        place: Its namespace.
        name: Its name.

    Raises:
        UnreachableError: There is no answer.
    """
    return _object(context, f"/api/v1/namespaces/{place}/configmaps/{name}", "ConfigMap", _REQUEST_S, _LIMIT_S)


def _object(context: str | None, path: str, kind: str, request_s: float, limit_s: float) -> Mapping[str, Any] | None:
    command = ["get", "--raw", path, f"--request-timeout={request_s:g}s"]
    command += [f"--context={context}"] if context else []
    done = _kubectl(command, limit_s)
    if done.returncode != 0:
        if _ABSENT in done.stderr:
            return None
        raise UnreachableError(_reason(done.stderr))
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise UnreachableError(f"the answer is no {kind}")
    return answer


def current_context() -> str:
    """Name of the kubeconfig's current context.

    Raises:
        UnreachableError: There is none.
    """
    done = _kubectl(["config", "current-context"], _LIMIT_S)
    if done.returncode != 0 or not done.stdout.strip():
        raise UnreachableError(_reason(done.stderr))
    return done.stdout.strip()


def _kubectl(arguments: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    program = shutil.which("kubectl")
    if program is None:
        raise UnreachableError("`kubectl` is not on PATH")
    try:
        return subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"no answer in {limit_s:.0f} s") from None


def _reason(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return " ".join((lines or ["no reason given"])[-1].removeprefix("error: ").split())
