"""What this region takes from the other one's stack: passwords, certificates, digests of definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from stacks.settings import SettingsError

_UNKNOWN = "unknownbeforetheotherregionisthere"


class OtherRegion:
    """Reads outputs of other stacks.

    The state is not in the region, so a preview works while the region is gone.
    """

    def __init__(self, parent: pulumi.Resource) -> None:
        self._parent = parent
        self._known: dict[str, pulumi.StackReference] = {}

    def text(self, stack: str, name: str, *path: str) -> pulumi.Output[str]:
        """A secret text in the outputs of a stack; a preview may do without.

        Args:
            stack: Its full name.
            name: Name of the output.
            path: Keys inside of it.
        """
        output = self._reference(stack).get_output(name)
        return pulumi.Output.secret(output.apply(lambda known: needed(known, stack, name, *path)))

    def agree(self, stack: str, fingerprints: Mapping[str, str]) -> None:
        """Fail, already in a preview, where the two regions would not do the same.

        Args:
            stack: The other region's stack.
            fingerprints: Kind -> digest of what this region has.
        """
        theirs = self._reference(stack).get_output("fingerprints")
        pulumi.Output.all(theirs).apply(lambda all_: check_agreed(fingerprints, all_[0], stack))

    def _reference(self, stack: str) -> pulumi.StackReference:
        if stack not in self._known:
            self._known[stack] = pulumi.StackReference(stack, opts=pulumi.ResourceOptions(parent=self._parent))
        return self._known[stack]


def needed(output: Any, stack: str, name: str, *path: str) -> str:
    """A text in the outputs of another stack.

    Raises:
        SettingsError: It is not there, and this is no preview.
    """
    for key in path:
        output = output.get(key) if isinstance(output, Mapping) else None
    if isinstance(output, str) and output:
        return output
    where = ".".join((name, *path))
    message = (
        f"the stack {stack} has no output {where}: run `pulumi up` of it first, as this region takes it from there"
    )
    if not pulumi.runtime.is_dry_run():
        raise SettingsError(message)
    pulumi.log.warn(message)
    return _UNKNOWN


def check_agreed(own: Mapping[str, str], other: Any, stack: str) -> None:
    """Compare what both regions have to agree on.

    Raises:
        SettingsError: They do not; the message names what differs.
    """
    if other is None:
        pulumi.log.warn(f"the stack {stack} has no output fingerprints yet: nothing could be compared")
        return
    differing = sorted(kind for kind in {*own, *other} if own.get(kind) != other.get(kind))
    if differing:
        raise SettingsError(
            f"the two regions differ in {', '.join(differing)}: this stack and {stack} must say the same; run "
            f"`pulumi up` of {stack} from the same revision first, or take the change back"
        )
