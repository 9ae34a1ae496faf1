"""What Pulumi remembers of a stack, where the lab has changed a cluster behind its back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def declare_replicas(exported: dict[str, Any], namespace: str, parts: Collection[str]) -> list[str]:
    """Let Pulumi remember of parts the replicas that its program declares, in place.

    Pulumi compares the program with what it saw last. A part that was scaled to nothing while Pulumi waited for it was
    seen without replicas: every later `pulumi up`, whatever it is for, would start it again.

    Args:
        exported: What ``pulumi stack export`` printed.
        namespace: Where the parts are.
        parts: ``kind/name``, in small letters.

    Returns:
        Parts of which something else was remembered.
    """
    changed = []
    for resource in exported.get("deployment", {}).get("resources", []):
        declared, seen = resource.get("inputs", {}), resource.get("outputs", {})
        metadata, kind = declared.get("metadata", {}), str(declared.get("kind", "")).lower()
        name = f"{kind}/{metadata.get('name')}"
        replicas = declared.get("spec", {}).get("replicas")
        # A job that comes by the clock has none.
        if replicas is None or name not in parts or metadata.get("namespace") != namespace:
            continue
        if seen["spec"].get("replicas") != replicas:
            seen["spec"]["replicas"] = replicas
            changed.append(name)
    return changed
