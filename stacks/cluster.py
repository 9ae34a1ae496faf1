"""The cluster that a stack is for: asked who it is before the program makes anything, in previews too.

The answer is the UID of the namespace ``kube-system``, which a cluster has for its whole life. ``kubectl`` asks, with
the same kubeconfig, context and credential plugins as the Kubernetes provider.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Final

import pulumi

from stacks.settings import CONFIG_KEY, CONFIG_NAMESPACE, Cluster, SettingsError

_PATH: Final = "/api/v1/namespaces/kube-system"
_REQUEST_S: Final = 15
_LIMIT_S: Final = 60.0
"""A credential plugin may ask its cloud first."""


class _UnreachableError(Exception):
    """The cluster could not be asked."""


def identified(cluster: Cluster, file: str) -> dict[str, str | None]:
    """Context and UID of the cluster, for the stack's outputs.

    A preview goes on without an answer, since it changes nothing; its UID is then null.

    Args:
        cluster: What the stack file says.
        file: Name of the stack file, for messages.

    Raises:
        SettingsError: It is another cluster than the stack file names, or gives no answer to an update.
    """
    context = f"the context {cluster.context}" if cluster.context else "the current context"
    try:
        uid = _uid(cluster.context)
    except _UnreachableError as error:
        problem = f"{file}: {context} leads to no cluster that could be asked for its identity ({error})"
        if not pulumi.runtime.is_dry_run():
            raise SettingsError(f"{problem}: nothing was changed; set KUBECONFIG or settings.cluster.context") from None
        pulumi.log.warn(f"{problem}: an update would stop here")
        return {"context": cluster.context, "uid": None}
    if cluster.uid not in (None, uid):
        raise SettingsError(
            f"{file}: settings.cluster.uid is {cluster.uid}, but {context} leads to the cluster {uid}: nothing was "
            "changed; select the other stack or kubeconfig, or, where this is the right cluster, run `pulumi config "
            f"set --path {CONFIG_NAMESPACE}:{CONFIG_KEY}.cluster.uid {uid}`"
        )
    return {"context": cluster.context, "uid": uid}


def _uid(context: str | None) -> str:
    """UID of ``kube-system``.

    Raises:
        _UnreachableError: There is no answer; the message is one line.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise _UnreachableError("`kubectl` is not on PATH")
    command = [program, "get", "--raw", _PATH, f"--request-timeout={_REQUEST_S}s"]
    command += [f"--context={context}"] if context else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise _UnreachableError(f"no answer in {_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise _UnreachableError(" ".join((lines or ["no reason given"])[-1].removeprefix("error: ").split()))
    try:
        return str(json.loads(done.stdout)["metadata"]["uid"])
    except (ValueError, TypeError, KeyError):
        raise _UnreachableError("the answer is no namespace") from None


def check_apart(own: Cluster, namespace: str, other: object, other_namespace: object, stack: str) -> None:
    """Refuse two regions that are one: the same namespace of the same cluster.

    Args:
        own: This region's cluster.
        namespace: This region's namespace.
        other: The output ``cluster`` of the other region's stack, or nothing before it is there.
        other_namespace: Its output ``namespace``.
        stack: Its full name.

    Raises:
        SettingsError: They are the same.
    """
    uid = other.get("uid") if isinstance(other, dict) else None
    if own.uid is not None and (own.uid, namespace) == (uid, other_namespace):
        raise SettingsError(
            f"settings.cluster.uid is {own.uid}, and so is that of {stack}, in the same namespace {namespace}: allowed "
            "is a cluster of its own for each region; name this region's"
        )
