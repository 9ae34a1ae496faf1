"""What the program of this checkout would make for a stack."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import yaml

from ops.config.source import Configuration
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.preflight.demand import Demand, demand
from policy.model import Resource

_PROGRAM: Final = ("__main__.py", "Pulumi.yaml", "components", "stacks", "services", "policy")
_PLAIN: Final = ("settings", "role")
"""Keys of the configuration that decide what is rendered; without the others a preview goes on."""


def render(configuration: Configuration, namespace: str) -> Demand:
    """What the program of this checkout asks of a cluster for a stack.

    Raises:
        OpsError: The program is not there, or fails.
    """
    return demand(namespace, rendered(configuration))


def rendered(configuration: Configuration) -> list[Resource]:
    """What the program of this checkout makes for a stack, without any cluster and without secrets.

    Raises:
        OpsError: The program is not there, or fails.
    """
    # Here, since the policies, whose model of resources it shares, are slow to load.
    from ops.review.review import plan

    if not (PROJECT / _PROGRAM[0]).exists():
        raise OpsError(f"there is no program at {PROJECT}: run from a whole checkout of this repository")
    with tempfile.TemporaryDirectory(prefix="obs-preflight-") as folder:
        root = Path(folder)
        for name in _PROGRAM:
            (root / name).symlink_to(PROJECT / name)
        values = {key: value for key, value in configuration.values.items() if key.rpartition(":")[2] in _PLAIN}
        (root / f"Pulumi.{configuration.stack}.yaml").write_text(yaml.safe_dump({"config": values}))
        return plan(root, configuration.stack, "this checkout").resources
