"""Pods as the cluster tells of them, for what reads them."""

from __future__ import annotations

from typing import Any

from ops.core.kube import Pod


def running(name: str, workload: str = "", **known: Any) -> Pod:
    """A pod that is ready.

    Args:
        name: Its name, and its uid where `known` has none.
        workload: Of which it is one.
        known: Other fields of `Pod`.
    """
    usual = {"uid": name, "phase": "Running", "ready": True, "restarts": 0}
    unknown: dict[str, Any] = {"container_ids": (), "containers": (), "images": ()}
    return Pod(name=name, workload=workload, **{**usual, **unknown, **known})
