"""The digests of images as a stack file says them: ``images.digests`` of ``observability:settings``."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from components.versions import IMAGES
from ops.core.errors import OpsError

_IMAGES = re.compile(r"^(?P<indent> +)images:[^\n]*\n(?:(?P=indent) +[^\n]*\n)+", re.MULTILINE)
_DIGESTS = re.compile(r"^(?P<indent> +)digests:[^\n]*\n(?:(?P=indent) +[^\n]*\n)*", re.MULTILINE)


def block(registry: str, digests: Mapping[str, str]) -> str:
    """The group ``images``, to be put into a stack file by hand."""
    return f"images:\n  registry: {registry}\n{_indented(digests, '  ')}"


def written(text: str, digests: Mapping[str, str], name: str) -> str:
    """A stack file with these digests; those of other images stay, and so does every other line.

    Args:
        text: The file.
        digests: Short name -> digest.
        name: Name of the file, for messages.

    Raises:
        OpsError: The file has no ``images.digests``.
    """
    images = _IMAGES.search(text)
    present = images and _DIGESTS.search(images[0])
    if images is None or present is None:
        raise OpsError(f"{name} has no images.digests: add `digests: {{}}` under images, then repeat")
    known = yaml.safe_load(present[0])["digests"] or {}
    start = images.start() + present.start()
    return text[:start] + _indented({**known, **digests}, present["indent"]) + text[start + len(present[0]) :]


def _indented(digests: Mapping[str, str], indent: str) -> str:
    if not digests:
        return f"{indent}digests: {{}}\n"
    lines = [f"{indent}  {image}: {digests[image]}\n" for image in IMAGES if image in digests]
    return f"{indent}digests:\n{''.join(lines)}"
