"""The Pulumi program: settings of the stack -> platform -> outputs."""

from __future__ import annotations

import pulumi

from components.telemetry.file import CatalogueError
from stacks import sdk


def main() -> None:
    """Build the platform of the current stack.

    Raises:
        pulumi.RunError: The stack file, its secrets or the file of thresholds cannot be used.
    """
    sdk.spare()
    try:
        from stacks import settings
        from stacks.cluster import check_quorum, check_role, identified
        from stacks.outputs import outputs
        from stacks.platform import Platform
    except CatalogueError as error:
        raise pulumi.RunError(str(error)) from None
    chosen, role = settings.load(), settings.role()
    file = f"Pulumi.{pulumi.get_stack()}.yaml"
    cluster = identified(chosen.cluster, file)
    if cluster["uid"] is not None:
        check_role(chosen.cluster, chosen.namespace, role, file)
        check_quorum(chosen.cluster, chosen.namespace, chosen.controllers, file)
    for name, value in {**outputs(Platform(chosen.platform, chosen, role)), "cluster": cluster}.items():
        pulumi.export(name, value)


main()
