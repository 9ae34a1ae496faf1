"""A bill of materials (SBOM) of an image: one CycloneDX document in JSON, the same for the same image."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from ops.core.errors import OpsError
from ops.images.packages import File, Package, System, installed, opened

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"
SUFFIX: Final = ".cdx.json"
_VERSION = "1.5"


def write(file: Path, image: str, image_id: str, save: Callable[[Path], None]) -> bytes:
    """Describe an image of this machine.

    Args:
        file: Where the document goes.
        image: Repository and tag, without registry.
        image_id: The digest that the builder knows it by.
        save: Writes the image as an archive.

    Returns:
        The document.

    Raises:
        OpsError: The image cannot be saved, or a file in it is malformed.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside the document, since what is for temporary files may be small.
        with tempfile.TemporaryDirectory(prefix=".saved-", dir=file.parent) as folder:
            archive = Path(folder) / "image.tar"
            save(archive)
            with opened(archive) as files:
                content = document(image, image_id, files)
        file.write_bytes(content)
    except OSError as error:
        raise OpsError(f"{error.filename or file} cannot be written: {error.strerror}") from None
    except OpsError as error:
        raise OpsError(f"no SBOM of {image}: {error}") from None
    return content


def known(file: Path, image_id: str) -> bytes | None:
    """The document of an image, if the file is there and is about the image that has this id."""
    try:
        content = file.read_bytes()
        component = json.loads(content)["metadata"]["component"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if component.get("version") == image_id else None


def document(image: str, image_id: str, files: Mapping[str, File]) -> bytes:
    """The CycloneDX document of an image.

    Args:
        image: Repository and tag.
        image_id: Its digest.
        files: As of `ops.images.packages.opened`.

    Raises:
        OpsError: A file is malformed.
    """
    system, packages = installed(files)
    content: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _VERSION,
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "obs images"}]},
            "component": {"bom-ref": image_id, "type": "container", "name": image, "version": image_id},
        },
        "components": [*_operating_system(system), *_components(packages)],
    }
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))}"
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _operating_system(system: System) -> list[dict[str, Any]]:
    if not system.name:
        return []
    described = {"bom-ref": f"os:{system.name}@{system.version}", "type": "operating-system", "name": system.name}
    return [described | ({"version": system.version} if system.version else {})]


def _components(packages: Iterable[Package]) -> Iterable[dict[str, Any]]:
    """Components by their package URLs, each with all files that name it."""
    for purl, group in groupby(sorted(packages), attrgetter("purl")):
        same = list(group)
        fields = {"group": same[0].group, "name": same[0].name, "version": same[0].version}
        component: dict[str, Any] = {"bom-ref": purl, "type": "library", "purl": purl}
        component |= {key: value for key, value in fields.items() if value}
        if locations := sorted({package.location for package in same if package.location}):
            component["evidence"] = {"occurrences": [{"location": f"/{location}"} for location in locations]}
        yield component
