"""References of container images, as pods name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Image:
    """The parts of an image reference; tag and digest are empty where it has none."""

    name: str
    tag: str
    digest: str

    @classmethod
    def of(cls, reference: str) -> Self:
        """Take a reference apart: ``registry:5000/path/name:tag@sha256:...``."""
        rest, _, digest = reference.partition("@")
        head, slash, last = rest.rpartition("/")
        name, _, tag = last.partition(":")
        return cls(f"{head}{slash}{name}", tag, digest)
