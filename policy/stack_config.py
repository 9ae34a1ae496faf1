"""What the pack takes from the file of the stack that it looks at, unless ``--policy-pack-config`` says otherwise.

The engine starts the pack in the project's folder. It does hand the stack's configuration over, but pulumi-policy drops
it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

IMAGE_REGISTRY = "image-registry"
_REGISTRIES = "registries"
_SETTINGS = "observability:settings"


def stack_options(rule: str, urn: str, folder: Path | None = None) -> Mapping[str, Any]:
    """Options of a rule: images may come from the registries that the stack's settings name.

    Args:
        rule: Id of the rule.
        urn: URN of a resource of the stack.
        folder: Folder of the stack files; None: where this program was started.
    """
    parts = urn.split(":")
    if rule != IMAGE_REGISTRY or len(parts) <= _STACK_PART or not parts[_STACK_PART]:
        return {}
    registries = _registries((folder or Path.cwd()) / f"Pulumi.{parts[_STACK_PART]}.yaml")
    return {_REGISTRIES: list(registries)} if registries else {}


_STACK_PART = 2
"""Of ``urn:pulumi:STACK::PROJECT::TYPE::NAME``."""


@functools.cache
def _registries(file: Path) -> tuple[str, ...]:
    """Registries that a stack file names; none where there is no such file or it says nothing readable."""
    try:
        images = yaml.safe_load(file.read_text(encoding="utf-8"))["config"][_SETTINGS]["images"]
        named = [images["registry"], *images.get(_REGISTRIES, {}).values()]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(dict.fromkeys(registry for registry in named if isinstance(registry, str) and registry))
