"""The platform's images: ours with their Dockerfiles, and upstream's with what images/upstream.yaml says of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.versions import GROUPS, IMAGES, OURS, UPSTREAM, group
from ops.core.errors import OpsError, one_line

CHECKOUT = Path(__file__).resolve().parents[2]
UPSTREAM_FILE = CHECKOUT / "images" / "upstream.yaml"
_SHARED = {"backup": "services", "reports": "services"}
"""Image -> the one whose Dockerfile has it as a further target."""


class Upstream(BaseModel):
    """What is known of an image that its makers publish.

    Attributes:
        source: Registry and repository, without tag.
        digest: The only digest that may be copied; None: whatever the tag is.
        entrypoint, user, volumes: Of the image's configuration.
        programs: What pods run of it, as paths or as names on PATH.
        facts: Where this was read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Annotated[str, Field(pattern=r"^[a-z0-9.-]+\.[a-z]+(/[a-z0-9._-]+)+$")]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    entrypoint: list[str]
    user: str
    volumes: list[str]
    programs: list[str]
    facts: Annotated[str, Field(pattern=r"^https://")]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    images: dict[str, Upstream]


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image.

    Attributes:
        name: Short name of ``components.versions``.
        upstream: What is known of it, unless it is ours.
    """

    name: str
    upstream: Upstream | None = None

    @property
    def repository(self) -> str:
        """Repository below the registry."""
        return IMAGES[self.name].partition(":")[0]

    @property
    def tag(self) -> str:
        """Tag, the same at its makers' and in the registry of the platform."""
        return IMAGES[self.name].partition(":")[2]

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile with a target of its name, if it is ours."""
        return CHECKOUT / "images" / _SHARED.get(self.name, self.name) / "Dockerfile"


@functools.cache
def upstream() -> Mapping[str, Upstream]:
    """Short name -> what images/upstream.yaml says.

    Raises:
        OpsError: The file is missing or wrong.
    """
    try:
        return _File.model_validate(yaml.safe_load(UPSTREAM_FILE.read_text(encoding="utf-8"))).images
    except OSError:
        raise OpsError(f"{UPSTREAM_FILE} is not there: run `obs images` in a checkout of the repository") from None
    except (ValidationError, yaml.YAMLError) as error:
        raise OpsError(f"{UPSTREAM_FILE} cannot be used: {one_line(error)}") from None


def chosen(names: Iterable[str], *, only: str | None = None) -> list[Image]:
    """Images by short names or groups, each once, in the order of ``components.versions``.

    Args:
        names: Short names, ``obs`` or ``upstream``; none: all.
        only: The group that the command is for; None: both.

    Raises:
        OpsError: There is no such image, or it is of the other group.
    """
    named = set(names) or ({only} if only else set(GROUPS))
    if unknown := sorted(named - set(IMAGES) - set(GROUPS)):
        raise OpsError(f"image {unknown[0]}: unknown; allowed: {', '.join((*GROUPS, *sorted(IMAGES)))}")
    names_chosen = [name for name in IMAGES if name in named or group(name) in named]
    for name in names_chosen if only else ():
        if group(name) != only:
            raise OpsError(
                f"image {name}: "
                + (
                    "published by its makers; `obs images mirror` copies it"
                    if only == OURS
                    else "built from this repository; `obs images build` and `push` are for it"
                )
            )
    return [Image(name=name, upstream=upstream()[name] if group(name) == UPSTREAM else None) for name in names_chosen]
