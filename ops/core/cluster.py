"""The cluster that a stack file names, asked who it is before a command opens the stack's secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from components.cluster import UnreachableError, cluster_uid
from ops.core.errors import OpsError

_SETTINGS: Final = "observability:settings"
_FOLDER: Final = "PULUMI_OPTION_CWD"
"""Variable of Pulumi with the folder in which it looks for the project and its stack files."""
_ANSWER_S: Final = 5.0


def refuse_another(cwd: Path, stack: str, selected: Callable[[], str]) -> None:
    """Refuse another cluster than the one that the stack file names.

    A cluster that gives no answer is let pass: commands that reach servers alone need no kubeconfig, and those that use
    Kubernetes tell themselves that there is no answer, and ask again (`ops.core.kube.Kube.of`). So is a folder without
    the stack's file, and a stack of an embedded cluster whose file names its context alone.

    Args:
        cwd: Folder of the project, unless Pulumi is told another one.
        stack: The stack; empty: that of ``PULUMI_STACK``, else the selected one.
        selected: Its name, asked of Pulumi where nothing else names it.

    Raises:
        OpsError: The context leads to another cluster.
    """
    folder = Path(os.environ.get(_FOLDER) or cwd)
    if not any(folder.glob("Pulumi.*.yaml")):
        return
    name = (stack or os.environ.get("PULUMI_STACK") or selected()).rpartition("/")[2]
    cluster = _named(folder / f"Pulumi.{name}.yaml")
    context, uid = cluster.get("context"), cluster.get("uid")
    if not (context and uid):
        return
    try:
        there = cluster_uid(str(context), request_s=_ANSWER_S, limit_s=2 * _ANSWER_S)
    except UnreachableError:
        return
    if there != uid:
        raise OpsError(
            f"the context {context} leads to the cluster {there}, but Pulumi.{name}.yaml names {uid}: nothing was "
            "done; select the other stack, or set KUBECONFIG"
        )


def _named(file: Path) -> Mapping[str, Any]:
    """``cluster`` of a stack file, whatever else is wrong with it."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        cluster = content["config"][_SETTINGS]["cluster"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
        return {}
    return cluster if isinstance(cluster, Mapping) else {}
