"""The Pulumi program: settings of the stack -> platform -> outputs."""

from __future__ import annotations

import pulumi

from stacks import settings
from stacks.outputs import outputs
from stacks.platform import Platform


def main() -> None:
    """Build the platform of the current stack."""
    chosen = settings.load()
    for name, value in outputs(Platform(chosen.platform, chosen)).items():
        pulumi.export(name, value)


main()
